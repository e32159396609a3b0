"""COCO: one JSON file for a split, with images, annotations and categories."""

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from temperance.data.annotated.pictures import (
    MOST_CLASSES,
    VOID,
    AnnotatedPicture,
    AnnotatedSet,
    ClassMap,
    checked_box,
)
from temperance.errors import InputError
from temperance.runs import read_json


def read_coco(path: Path, images: Path | None = None) -> AnnotatedSet:
    """Read the instances of a COCO file (Lin et al. 2014, arXiv 1405.0312).

    Classes are the categories in the order of their numbers. Crowds are ignored in training and, as COCO's
    own evaluation does, in scores. Boxes without area, of which the published files have a few, are left out
    and counted in the notes.

    Args:
        path: ``instances_NAME.json``.
        images: folder of the pictures; unless given, it is looked for where people keep it: ``NAME/`` or
            ``images/NAME/`` beside ``annotations/``, ``images/`` or the folder itself.

    Raises:
        InputError: names the first entry that is not what it should be.
    """
    whole = read_json(path)
    try:
        entries, objects, kinds = (
            list(whole[key]) for key in ("images", "annotations", "categories")
        )
        categories = {int(kind["id"]): str(kind["name"]) for kind in kinds}
        known = {entry["id"]: _Entry(entry, path) for entry in entries}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is no COCO file of instances (it lacks {error}); give one with images, annotations and "
            "categories"
        ) from error
    if len(categories) > MOST_CLASSES:
        raise InputError(f"{path} has {len(categories)} categories; give at most {MOST_CLASSES}")
    folder = images or _images_of(path, [entry.file for entry in known.values()])
    numbers = {identifier: i for i, identifier in enumerate(sorted(categories))}
    found: dict[Any, list[_Object]] = defaultdict(list)
    empty = 0
    for given in objects:
        item = f"{path.name}: annotation {given.get('id') if isinstance(given, dict) else given!r}"
        made = _object(given, item, known, numbers)
        if made is None:
            empty += 1
        else:
            found[given["image_id"]].append(made)
    pictures = [_picture(entry, folder, path, found[key]) for key, entry in known.items()]
    notes = (f"{path.name}: left out {empty} boxes without area",) if empty else ()
    return AnnotatedSet(
        path.stem.removeprefix("instances_"),
        tuple(categories[identifier] for identifier in sorted(categories)),
        tuple(pictures),
        notes=notes,
    )


class _Entry:
    """An image as the file lists it."""

    def __init__(self, given: dict[str, Any], path: Path) -> None:
        self.file = str(given["file_name"])
        self.height, self.width = int(given["height"]), int(given["width"])
        if Path(self.file).is_absolute() or ".." in Path(self.file).parts:
            raise InputError(
                f"{path.name}: image {given['id']} names {self.file}, outside its folder; correct it"
            )


class _Object:
    """An annotation, checked."""

    def __init__(
        self, box: tuple[float, float, float, float], label: int, crowd: bool, outline: Any
    ) -> None:
        self.box, self.label, self.crowd, self.outline = box, label, crowd, outline


def _object(
    given: Any, item: str, known: dict[Any, _Entry], numbers: dict[int, int]
) -> _Object | None:
    try:
        image, category = given["image_id"], given["category_id"]
        left, top, width, height = (float(x) for x in given["bbox"])
        crowd, outline = bool(given.get("iscrowd", 0)), given.get("segmentation")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{item} lacks image_id, category_id or a bbox of four numbers; correct or remove it"
        ) from error
    if image not in known:
        raise InputError(f"{item} is of image {image}, which is not listed; add it or remove this")
    entry = known[image]
    if category not in numbers:
        raise InputError(
            f"{item} of {entry.file} has category {category}, which is not listed; add it or correct this"
        )
    box = checked_box(
        (left, top, left + width, top + height),
        entry.height,
        entry.width,
        f"{item} of {entry.file}",
    )
    if box[2] <= box[0] or box[3] <= box[1]:
        return None
    return _Object(box, numbers[category], crowd, outline)


def _picture(entry: _Entry, folder: Path, path: Path, objects: list[_Object]) -> AnnotatedPicture:
    file = folder / entry.file
    if not file.is_file():
        raise InputError(f"{path.name}: image {entry.file} is not in {folder}; restore it")
    outlined = all(x.outline for x in objects)
    return AnnotatedPicture(
        path=file,
        height=entry.height,
        width=entry.width,
        boxes=np.array([x.box for x in objects], np.float32).reshape(-1, 4),
        labels=np.array([x.label for x in objects], np.int64),
        ignored=np.array([x.crowd for x in objects], bool),
        class_map=partial(_class_map, entry, path.name, objects) if outlined else None,
    )


def _class_map(entry: _Entry, source: str, objects: list[_Object]) -> ClassMap:
    """Larger objects first, so that what stands before them is seen; crowds are void."""
    try:
        from pycocotools import mask as coco
    except ImportError as error:
        raise InputError(
            "COCO's masks are read by pycocotools; install it with: pip install 'temperance[detection]'"
        ) from error
    found = np.zeros((entry.height, entry.width), np.uint8)
    drawn = []
    for one in objects:
        outline = one.outline
        try:
            if isinstance(outline, list):
                runs = coco.merge(coco.frPyObjects(outline, entry.height, entry.width))
            elif isinstance(outline["counts"], list):
                runs = coco.frPyObjects(outline, entry.height, entry.width)
            else:
                runs = outline
            mask = coco.decode(runs).astype(bool)
            if mask.shape != found.shape:
                raise ValueError(f"it is of {mask.shape[1]} × {mask.shape[0]} pixels")
        except Exception as error:  # of a library that reads whatever it is given
            raise InputError(
                f"{source}: a segmentation of {entry.file} cannot be read ({error}); correct or remove it"
            ) from error
        drawn.append((int(mask.sum()), mask, VOID if one.crowd else one.label + 1))
    for _, mask, value in sorted(drawn, key=lambda x: -x[0]):
        found[mask] = value
    return found


def _images_of(path: Path, files: list[str]) -> Path:
    name = path.stem.removeprefix("instances_")
    top = path.parent.parent if path.parent.name == "annotations" else path.parent
    places = [top / name, top / "images" / name, top / "images", top]
    first = files[0] if files else ""
    for place in places:
        if (place / first).is_file() if first else place.is_dir():
            return place
    raise InputError(
        f"{path.name}: image {first} is in none of {', '.join(str(p) for p in places)}; move it there"
    )
