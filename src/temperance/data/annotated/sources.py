"""From a name or a folder to annotated pictures, in two splits."""

from pathlib import Path

import numpy as np

from temperance.data.annotated.coco import read_coco
from temperance.data.annotated.masks import read_masks
from temperance.data.annotated.pictures import AnnotatedSet, AnnotatedSplits
from temperance.data.annotated.voc import read_voc
from temperance.data.scenes import SCENES, write_scenes
from temperance.errors import InputError

# What people call the part that is measured on, in the order in which it is looked for.
HELD_OUT = ("test", "val")
SHARE = 0.2
CACHE = Path.home() / ".cache" / "temperance"

ANNOTATED = {
    "scenes": "letters A-Z on textured grounds, 128 × 128, with boxes and masks; fonts held out whole",
    "digit-scenes": "handwritten digits on textured grounds, 128 × 128, with boxes and masks",
    "COCO": "a folder with annotations/instances_*.json, or one such file",
    "VOC": "a folder with JPEGImages, Annotations, ImageSets and SegmentationClass",
    "MASKS": "a folder with images and masks of the same names (segmentation only)",
}


def is_annotated(name: str) -> bool:
    """Whether a name, or what lies at a path, has boxes or masks.

    Example:
        >>> is_annotated("scenes"), is_annotated("glyphs")
        (True, False)
    """
    path = Path(name)
    return name in SCENES or name.lower().endswith(".json") or bool(_kind(path))


def load_annotated(name: str, root: Path | None = None) -> AnnotatedSplits:
    """Load annotated pictures by name or path.

    Splits are the source's own (``train`` and ``test`` or ``val``); a source without them is divided 80 / 20.

    Args:
        name: ``scenes``, ``digit-scenes``, or a path; see ``ANNOTATED``.
        root: where scenes are kept once written; ``~/.cache/temperance`` unless told.

    Raises:
        InputError: if there is nothing of the kind, or an entry of it is not what it should be.
    """
    if name in SCENES:
        return _coco(write_scenes(name, root or CACHE))
    path = Path(name)
    if path.suffix.lower() == ".json":
        return _divided(read_coco(path))
    kind = _kind(path)
    if kind == "COCO":
        return _coco(path)
    if kind == "VOC":
        train, held_out = _named(
            [p.stem for p in sorted(path.glob("ImageSets/*/*.txt"))], f"{path}/ImageSets"
        )
        return AnnotatedSplits(read_voc(path, train), read_voc(path, held_out))
    if kind == "MASKS":
        splits = [p.name for p in sorted((path / "images").iterdir()) if p.is_dir()]
        if not splits:
            return _divided(read_masks(path))
        train, held_out = _named(splits, str(path / "images"))
        return AnnotatedSplits(read_masks(path, train), read_masks(path, held_out))
    raise InputError(
        f"no annotated pictures {name!r}; give scenes, digit-scenes, a COCO file or folder, a VOC folder, "
        "or a folder with images and masks"
    )


def _kind(path: Path) -> str | None:
    # Scenes have masks beside their COCO file: the file says more.
    if list(path.glob("annotations/instances_*.json")):
        return "COCO"
    if (path / "JPEGImages").is_dir() and (path / "Annotations").is_dir():
        return "VOC"
    if (path / "images").is_dir() and (path / "masks").is_dir():
        return "MASKS"
    return None


def _coco(folder: Path) -> AnnotatedSplits:
    files = {
        p.stem.removeprefix("instances_"): p
        for p in sorted(folder.glob("annotations/instances_*.json"))
    }
    if len(files) == 1:
        return _divided(read_coco(next(iter(files.values()))))
    train, held_out = _named(list(files), f"{folder}/annotations")
    return AnnotatedSplits(read_coco(files[train]), read_coco(files[held_out]))


def _named(names: list[str], where: str) -> tuple[str, str]:
    """The split to learn from and the one to measure on: ``train2017`` and ``val2017``, say."""
    train = next((name for name in names if name.startswith("train")), None)
    held_out = next((n for prefix in HELD_OUT for n in names if n.startswith(prefix)), None)
    if train is None or held_out is None:
        raise InputError(
            f"{where} holds {', '.join(sorted(set(names))) or 'nothing'}; call one train, one test or val"
        )
    return train, held_out


def _divided(whole: AnnotatedSet) -> AnnotatedSplits:
    order = np.random.default_rng(0).permutation(len(whole))
    held = round(SHARE * len(whole))
    if not held:
        raise InputError(
            f"{whole.name} holds {len(whole)} pictures; give at least 5, or two splits"
        )
    return AnnotatedSplits(
        whole.part(np.sort(order[held:]), f"{whole.name}, 80 %"),
        whole.part(np.sort(order[:held]), f"{whole.name}, 20 %"),
    )
