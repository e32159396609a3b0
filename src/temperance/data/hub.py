"""Data sets of the Hugging Face hub, by their names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from temperance.data.images import ImageSet
from temperance.data.pictures import Label, Picture, gathered_pictures, one_line
from temperance.errors import InputError

PREFIX = "hf:"
PARTS = ("train", "test")


def read_hub(name: str, size: int | None = None, root: Path | None = None) -> ImageSet:
    """Read ``hf:NAME`` or ``hf:NAME:CONFIGURATION``: its parts ``train`` and ``test``, or else the first.

    Args:
        name: of a data set of the hub, or a folder that the library ``datasets`` can read.
        size: side of the squares, in pixels; see ``pictures.gathered_pictures``.
        root: where what is downloaded is kept; unless told, where the library keeps it.

    Raises:
        InputError: if the library is missing, or there is no such set, or no image in it can be read.
    """
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            f"{name} is read by Hugging Face's datasets; install it with: pip install 'temperance[hf]'"
        ) from error
    repository, _, configuration = name.removeprefix(PREFIX).partition(":")
    try:
        found = datasets.load_dataset(
            repository, configuration or None, cache_dir=None if root is None else str(root)
        )
    except Exception as error:  # of the library, of what it reads, and of the network
        raise InputError(
            f"{name} cannot be loaded ({one_line(error)}); look at its name, or fetch it and give the folder"
        ) from error
    parts = [part for part in PARTS if part in found] or list(found)[:1]
    pictures = (p for part in parts for p in _pictures(name, found[part], part))
    return gathered_pictures(name, pictures, size)


def _pictures(name: str, rows: Any, part: str) -> Iterator[Picture]:
    from datasets import ClassLabel, Image, Value

    features = rows.features
    image = next((column for column, kind in features.items() if isinstance(kind, Image)), None)
    if image is None:
        raise InputError(
            f"{name} has no column of images, only {', '.join(features)}; give another"
        )
    known = [column for column, kind in features.items() if isinstance(kind, ClassLabel)]
    plain = isinstance(features.get("label"), Value)
    column = known[0] if known else "label" if plain else None
    kept = [image] if column is None else [image, column]
    for number, row in enumerate(rows.select_columns(kept).cast_column(image, Image(decode=False))):
        content = row[image]["bytes"] or Path(row[image]["path"] or "")
        label: Label = None if column is None else row[column]
        if known and isinstance(label, int):
            label = features[column].int2str(label) if label >= 0 else None
        yield Picture(f"row {number} of {part}", content, label, test=part == "test")
