"""VOC: JPEGImages, an XML file of boxes for each in Annotations, palette masks in SegmentationClass."""

from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from temperance.data.annotated.pictures import (
    AnnotatedPicture,
    AnnotatedSet,
    checked_box,
    read_mask,
    size_of,
)
from temperance.errors import InputError

# In the order of VOC's own masks.
CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *(
        "diningtable",
        "dog",
        "horse",
        "motorbike",
        "person",
        "pottedplant",
        "sheep",
        "sofa",
        "train",
    ),
    "tvmonitor",
)
ENDINGS = (".jpg", ".png", ".jpeg")


def read_voc(folder: Path, split: str, classes: tuple[str, ...] | None = None) -> AnnotatedSet:
    """Read one split of a VOC folder (Everingham et al. 2010).

    Difficult objects are ignored in training and in scores, as VOC's own evaluation does.

    Args:
        folder: with ``JPEGImages``, ``Annotations``, ``ImageSets`` and, for masks, ``SegmentationClass``.
        split: ``train``, ``val`` or ``test``: a list in ``ImageSets/Main`` (or, failing that,
            ``Segmentation``).
        classes: names in the order of the masks' numbers; VOC's twenty unless given, or those of a
            ``classes.txt`` in the folder.

    Raises:
        InputError: names the first file or object that is not what it should be.
    """
    names = classes or _classes(folder)
    numbers = {name: i for i, name in enumerate(names)}
    listed = next(
        (p for kind in ("Main", "Segmentation") if (p := _list(folder, kind, split)).is_file()),
        None,
    )
    if listed is None:
        raise InputError(
            f"{folder} holds no {_list(folder, 'Main', split)}; give a list of pictures"
        )
    pictures = [
        _picture(folder, line.split()[0], numbers)
        for line in listed.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    return AnnotatedSet(split, tuple(names), tuple(pictures))


def _list(folder: Path, kind: str, split: str) -> Path:
    return folder / "ImageSets" / kind / f"{split}.txt"


def _classes(folder: Path) -> tuple[str, ...]:
    own = folder / "classes.txt"
    if own.is_file():
        return tuple(x.strip() for x in own.read_text(encoding="utf-8").splitlines() if x.strip())
    return CLASSES


def _picture(folder: Path, name: str, numbers: dict[str, int]) -> AnnotatedPicture:
    if Path(name).name != name:
        raise InputError(f"{folder}: a list names {name!r}, which is no plain name; correct it")
    files = [folder / "JPEGImages" / f"{name}{ending}" for ending in ENDINGS]
    file = next((f for f in files if f.is_file()), files[0])
    height, width = size_of(file, f"{folder.name}: picture {name}")
    notes = folder / "Annotations" / f"{name}.xml"
    boxes, labels, ignored = [], [], []
    for number, given in enumerate(_objects(notes), 1):
        item = f"{notes.name}: object {number}"
        kind, box, difficult = _object(given, item)
        if kind not in numbers:
            raise InputError(
                f"{item} is a {kind!r}, which is no class here; correct it, or name it in classes.txt"
            )
        box = checked_box(box, height, width, item)
        if box[2] <= box[0] or box[3] <= box[1]:
            raise InputError(f"{item} has a box without area; correct or remove it")
        boxes.append(box)
        labels.append(numbers[kind])
        ignored.append(difficult)
    mask = folder / "SegmentationClass" / f"{name}.png"
    return AnnotatedPicture(
        path=file,
        height=height,
        width=width,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(labels, np.int64),
        ignored=np.array(ignored, bool),
        class_map=partial(read_mask, mask, len(numbers), height, width) if mask.is_file() else None,
    )


def _objects(path: Path) -> list[ElementTree.Element]:
    try:
        return ElementTree.parse(path).getroot().findall("object")
    except FileNotFoundError as error:
        raise InputError(
            f"there is no {path}; restore it or take its picture off the list"
        ) from error
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise InputError(f"{path} is not XML ({error}); correct it") from error


def _object(
    given: ElementTree.Element, item: str
) -> tuple[str, tuple[float, float, float, float], bool]:
    try:
        kind = (given.findtext("name") or "").strip()
        place = given.find("bndbox")
        assert place is not None
        left, top, right, bottom = (
            float(place.findtext(side) or "") for side in ("xmin", "ymin", "xmax", "ymax")
        )
        difficult = int(given.findtext("difficult") or 0) == 1
    except (AssertionError, ValueError) as error:
        raise InputError(
            f"{item} has no bndbox of four numbers, or its difficult flag is none; correct or remove it"
        ) from error
    # Pixels are counted from 1, and the last one belongs to the box.
    return kind, (left - 1, top - 1, right, bottom), difficult
