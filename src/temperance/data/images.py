"""A set of images in memory."""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt8


@dataclass(frozen=True)
class ImageSet:
    """Square images of one size, with what is known about them.

    Attributes:
        name: what the person called it.
        images: ``(n, channels, size, size)`` bytes; 1 channel if every image is grey, otherwise 3.
        labels: ``(n,)`` class numbers, or None. Training never sees them.
        classes: names of the classes.
        groups: ``(n,)`` numbers of what a split must keep together (a family of fonts), or None.
        test: ``(n,)`` which images the source keeps for testing, or None where it does not say.
        partners: ``(n, channels, size, size)`` what each image is paired with, or None.
        paths: where each image was read, or nothing where they lay in one array.
        notes: what a person should know about how the set was read (files skipped, say).
    """

    name: str
    images: UInt8[np.ndarray, "n c h w"]
    labels: Int64[np.ndarray, " n"] | None = None
    classes: tuple[str, ...] = ()
    groups: Int64[np.ndarray, " n"] | None = None
    test: Bool[np.ndarray, " n"] | None = None
    partners: UInt8[np.ndarray, "n c h w"] | None = None
    paths: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.images)

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        return int(self.images.shape[1])

    @property
    def size(self) -> int:
        """Side of the images, in pixels."""
        return int(self.images.shape[2])

    @property
    def fingerprint(self) -> str:
        """A hash of all that is trained and measured on: the same if and only if the data are the same."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        for part in (self.images, self.labels, self.groups):
            digest.update(b"none" if part is None else np.ascontiguousarray(part).tobytes())
        for further in (self.test, self.partners):
            if further is not None:
                digest.update(np.ascontiguousarray(further).tobytes())
        return digest.hexdigest()[:16]
