"""A folder of images, as people have them: any size, any mode, some broken."""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from temperance.data.images import ImageSet
from temperance.errors import InputError

DEFAULT_SIZE = 32
ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
# A note names this many of the files that could not be read; the rest are counted.
NAMED = 5


def read_folder(folder: Path, size: int = DEFAULT_SIZE) -> ImageSet:
    """Read every image below a folder; first-level sub-folders are classes.

    Each image is turned as its EXIF says, laid on white where it is transparent, scaled so that its
    shorter side is ``size``, and cropped to the middle square. A file that cannot be read is left out and
    named in the notes.

    Args:
        folder: of images, or of sub-folders of images.
        size: side of the squares, in pixels.

    Raises:
        InputError: if no image is there, or none can be read.
    """
    files = _files(folder)
    if not files:
        raise InputError(f"{folder} holds no images ({', '.join(sorted(ENDINGS))}); give another")
    # Filters are the whole process's: set once around the threads, not by each.
    with warnings.catch_warnings(), ThreadPoolExecutor(cpu_count()) as pool:
        # A picture large enough to exhaust memory is a fault of the file, not a passing remark.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning)
        pictures = list(pool.map(lambda path: _read(path, size), files))
    kept = [(f, p) for f, p in zip(files, pictures, strict=True) if isinstance(p, np.ndarray)]
    failed = [(f, p) for f, p in zip(files, pictures, strict=True) if isinstance(p, str)]
    if not kept:
        path, fault = failed[0]
        raise InputError(
            f"none of the {len(files)} images in {_plain(folder)} can be read, the first, {_plain(path)}, "
            f"because: {fault}; give another folder"
        )
    images = np.stack([picture for _, picture in kept])
    labels, classes, label_notes = _labels(folder, [path for path, _ in kept])
    return ImageSet(
        name=_plain(folder),
        images=_as_grey(images),
        labels=labels,
        classes=classes,
        notes=(*_skipped(failed, len(files)), *label_notes),
    )


def _files(folder: Path) -> list[Path]:
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


def _plain(path: object) -> str:
    """A name that any file and any page can hold, whatever bytes the disk has for it."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _read(path: Path, size: int) -> UInt8[np.ndarray, "3 h w"] | str:
    """The picture as (3, size, size) bytes, or why it cannot be read."""
    try:
        with Image.open(path) as opened:
            picture = _rgb(ImageOps.exif_transpose(opened))
        square = ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
        return np.asarray(square).transpose(2, 0, 1)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombWarning) as error:
        return _one_line(error)
    except Image.DecompressionBombError as error:
        return _one_line(error)


def _one_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):  # 16 or 32 bits of grey, or fractions
        wide = np.nan_to_num(np.asarray(picture).astype(np.float64))
        top = next((top for top in (1, 255, 65535) if wide.max() <= top), wide.max())
        top = 255 if top == 1 and picture.mode.startswith("I") else top
        return Image.fromarray((wide * (255 / top)).clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        see_through = picture.convert("RGBA")
        white = Image.new("RGBA", see_through.size, "white")
        return Image.alpha_composite(white, see_through).convert("RGB")
    return picture.convert("RGB")


def _as_grey(images: UInt8[np.ndarray, "n 3 h w"]) -> UInt8[np.ndarray, "n c h w"]:
    """One channel if every picture is grey."""
    grey = (images[:, :1] == images).all()
    return np.ascontiguousarray(images[:, :1]) if grey else images


def _labels(
    folder: Path, files: list[Path]
) -> tuple[np.ndarray | None, tuple[str, ...], tuple[str, ...]]:
    parts = [path.relative_to(folder).parts for path in files]
    loose = sum(len(p) == 1 for p in parts)
    if loose == len(parts):
        return None, (), ()
    if loose:
        note = (
            f"{loose} of {len(parts)} images lie beside the class sub-folders of {folder}: "
            "all are taken without labels; move them into sub-folders to use labels"
        )
        return None, (), (note,)
    classes, labels, counts = np.unique(
        [p[0] for p in parts], return_inverse=True, return_counts=True
    )
    names = tuple(_plain(name) for name in classes)
    if len(names) == 1:
        note = (
            f"{folder} has one class only ({names[0]}): accuracy says nothing there, so its images are "
            "taken without labels"
        )
        return None, (), (note,)
    small = [f"{name} ({count})" for name, count in zip(names, counts, strict=True) if count < 3]
    notes = (
        (
            f"too few images to measure these classes, which take part in training only: {', '.join(small)}; "
            "give each class at least 3",
        )
        if small
        else ()
    )
    return labels.astype(np.int64), names, notes


def _skipped(failed: list[tuple[Path, str]], total: int) -> tuple[str, ...]:
    if not failed:
        return ()
    named = "; ".join(f"{_plain(path)} ({fault})" for path, fault in failed[:NAMED])
    more = f"; and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
    return (f"skipped {len(failed)} of {total} images that cannot be read: {named}{more}",)
