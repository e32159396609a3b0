"""Images that lie in NumPy arrays already."""

import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8

from temperance.data.images import ImageSet
from temperance.data.pictures import numbered, one_line, plain
from temperance.errors import InputError

ENDINGS = (".npy", ".npz")


def read_arrays(path: Path) -> ImageSet:
    """Read ``.npy`` (images), or ``.npz`` with ``images`` and, if there are any, ``labels`` and ``partners``.

    No pickles.

    Args:
        path: images are bytes, ``(n, size, size)``, or with 1 or 3 channels last or first; labels ``(n,)``;
            partners like images: row i is paired with image i.

    Raises:
        InputError: if the file is damaged, or holds something else.
    """
    name = plain(path)
    labels = partners = None
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                images = loaded
            elif "images" in loaded:
                images, labels = loaded["images"], loaded.get("labels")
                partners = loaded.get("partners")
            else:
                raise InputError(
                    f"{name} holds {', '.join(loaded) or 'nothing'}; call the array of images 'images'"
                )
    except InputError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{name} cannot be read ({one_line(error)}); write it with numpy.save or savez, without objects"
        ) from error
    if labels is not None and (labels.shape != images.shape[:1] or labels.dtype.kind not in "iuU"):
        raise InputError(
            f"labels of {name} are {labels.dtype} of shape {labels.shape}; give one whole number or name for "
            "each image"
        )
    numbers, classes, notes = numbered(
        name, [None] * len(images) if labels is None else labels.tolist()
    )
    images = channels_first(name, images)
    if partners is not None:
        partners = channels_first(f"{name} (partners)", partners)
        if partners.shape != images.shape:
            raise InputError(
                f"partners of {name} have shape {partners.shape}, images {images.shape}; give one like it "
                "for each image"
            )
    return ImageSet(name, images, numbers, classes, partners=partners, notes=notes)


def channels_first(name: str, images: Shaped[np.ndarray, "..."]) -> UInt8[np.ndarray, "n c h w"]:
    """Images as ``(n, channels, size, size)``, wherever their channels stood.

    Raises:
        InputError: if they are not bytes, not square, or have neither 1 nor 3 channels.
    """
    if images.dtype != np.uint8:
        raise InputError(f"images of {name} are {images.dtype}; give bytes (uint8), 0 to 255")
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[3] in (1, 3) and images.shape[1] == images.shape[2]:
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.shape[2] != images.shape[3]:
        raise InputError(
            f"images of {name} have shape {images.shape}; give squares, (n, size, size), 1 or 3 channels "
            "last or first"
        )
    return np.ascontiguousarray(images)
