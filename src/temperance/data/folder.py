"""A folder of images; its first-level sub-folders are classes."""

import os
from dataclasses import replace
from pathlib import Path

from temperance.data.images import ImageSet
from temperance.data.pictures import Picture, gathered_pictures, plain
from temperance.errors import InputError

ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def read_folder(folder: Path, size: int | None = None) -> ImageSet:
    """Read every image below a folder; first-level sub-folders are classes.

    Args:
        folder: of images, or of sub-folders of images.
        size: side of the squares, in pixels; see ``pictures.gathered_pictures``.

    Raises:
        InputError: if no image is there, or none can be read.
    """
    files = image_files(folder)
    if not files:
        raise InputError(f"{folder} holds no images ({', '.join(sorted(ENDINGS))}); give another")
    parts = [path.relative_to(folder).parts for path in files]
    loose = sum(len(p) == 1 for p in parts)
    pictures = (
        Picture(plain(path), path, None if loose else p[0])
        for path, p in zip(files, parts, strict=True)
    )
    images = gathered_pictures(plain(folder), pictures, size)
    if 0 < loose < len(parts):
        note = (
            f"{loose} of {len(parts)} images lie beside the class sub-folders of {folder}: "
            "all are taken without labels; move them into sub-folders to use labels"
        )
        images = replace(images, notes=(*images.notes, note))
    return images


def image_files(folder: Path) -> list[Path]:
    """Every image below a folder, through links too, but never round in circles; nothing hidden."""
    found: list[Path] = []
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            path
            for name in names
            if not name.startswith(".") and (path := Path(parent, name)).suffix.lower() in ENDINGS
            if path.is_file()
        ]
    return sorted(found)
