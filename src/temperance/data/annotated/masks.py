"""A plain folder of pictures beside a folder of masks of the same names."""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from temperance.data.annotated.pictures import (
    MOST_CLASSES,
    VOID,
    AnnotatedPicture,
    AnnotatedSet,
    read_mask,
    size_of,
)
from temperance.data.folder import image_files
from temperance.errors import InputError

CLASSES = "classes.txt"


def read_masks(folder: Path, split: str | None = None) -> AnnotatedSet:
    """Read ``images/NAME`` and ``masks/NAME.png``, or ``images/SPLIT/NAME`` and ``masks/SPLIT/NAME.png``.

    A mask holds class numbers, in grey of 8 or 16 bits or in a palette: 0 is the ground, and 255 (65535 in 16
    bits) void. There are no boxes.

    Args:
        folder: with both; a ``classes.txt`` in it names the classes from 1, one a line. Without it they are
            numbered up to the largest that the masks hold.
        split: name of a sub-folder, or None.

    Raises:
        InputError: names the first picture without a mask, or mask that cannot be used.
    """
    images, masks = (folder / kind / (split or "") for kind in ("images", "masks"))
    files = image_files(images)
    if not files:
        raise InputError(f"{images} holds no images; give a folder with images and masks")
    pairs = [(file, (masks / file.relative_to(images)).with_suffix(".png")) for file in files]
    for file, mask in pairs:
        if not mask.is_file():
            raise InputError(f"{file} has no mask {mask}; add it or remove the picture")
    names = _names(folder)
    sizes = [size_of(file, f"{folder.name}: picture {file.name}") for file in files]
    none = np.zeros(0, np.int64)
    return AnnotatedSet(
        split or folder.name,
        names,
        tuple(
            AnnotatedPicture(
                path=file,
                height=height,
                width=width,
                boxes=np.zeros((0, 4), np.float32),
                labels=none,
                ignored=none.astype(bool),
                class_map=partial(read_mask, mask, len(names), height, width),
            )
            for (file, mask), (height, width) in zip(pairs, sizes, strict=True)
        ),
        boxed=False,
    )


def _names(folder: Path) -> tuple[str, ...]:
    """The classes of all splits, so that those of train and test are the same."""
    own = folder / CLASSES
    if own.is_file():
        return tuple(x.strip() for x in own.read_text(encoding="utf-8").splitlines() if x.strip())
    largest = 0
    for path in image_files(folder / "masks"):
        try:
            with Image.open(path) as opened:
                void = 65535 if opened.mode.startswith("I") else VOID
                values = np.asarray(opened)
        except (OSError, ValueError, SyntaxError):
            continue  # said when it is read
        largest = max(largest, int(values[values != void].max(initial=0)))
    if largest > MOST_CLASSES:
        raise InputError(
            f"the masks of {folder} hold class {largest}; give class numbers up to {MOST_CLASSES}"
        )
    return tuple(str(number) for number in range(1, largest + 1))
