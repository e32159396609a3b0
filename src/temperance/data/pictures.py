"""Pictures as people have them, any size, any mode, some broken, made into squares of one size."""

import io
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from os import cpu_count
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image, ImageOps

from temperance.data.images import ImageSet
from temperance.errors import InputError

DEFAULT_SIZE = 32
# Pictures that are all squares of one size between these keep it unless another is asked for.
SMALLEST_OWN, LARGEST_OWN = 8, 64
# A note names this many of the pictures that could not be read; the rest are counted.
NAMED = 5
# Pictures read before they are all decoded: what is in memory at a time besides the result.
AT_A_TIME = 1024

Label = str | int | None


@dataclass(frozen=True)
class Picture:
    """An encoded picture and what its source says of it.

    Attributes:
        name: for messages.
        content: where it lies, or its bytes.
        label: its class, or None.
        test: whether the source keeps it for testing.
    """

    name: str
    content: Path | bytes
    label: Label = None
    test: bool = False


def gathered_pictures(name: str, pictures: Iterable[Picture], size: int | None) -> ImageSet:
    """Read pictures into a set of squares.

    Each is turned as its EXIF says, laid on white where it is transparent, scaled so that its shorter side is
    ``size``, and cropped to the middle square. One that cannot be read is left out and named in the notes.

    Args:
        name: of the set.
        pictures: taken one after the other, and decoded in parallel.
        size: side of the squares; unless told, that of the pictures where they are all squares of one small
            size, and 32 otherwise.

    Raises:
        InputError: if there are none, or none can be read.
    """
    kept: list[tuple[Picture, UInt8[np.ndarray, "h w 3"]]] = []
    failed: list[tuple[Picture, str]] = []
    rest = iter(pictures)
    # Filters are the whole process's: set once around the threads, not by each.
    with warnings.catch_warnings(), ThreadPoolExecutor(cpu_count()) as pool:
        # A picture large enough to exhaust memory is a fault of the file, not a passing remark.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning)
        while some := list(islice(rest, AT_A_TIME)):
            for picture, read in zip(
                some, pool.map(lambda p: read_image(p.content, size), some), strict=True
            ):
                if isinstance(read, str):
                    failed.append((picture, read))
                else:
                    kept.append((picture, read))
    if not kept:
        if not failed:
            raise InputError(f"{name} holds no images; give another")
        first, fault = failed[0]
        raise InputError(
            f"none of the {len(failed)} images in {name} can be read, the first, {first.name}, "
            f"because: {fault}; give another"
        )
    labels, classes, notes = numbered(name, [picture.label for picture, _ in kept])
    test = np.array([picture.test for picture, _ in kept])
    return ImageSet(
        name=name,
        images=_of_one_size([read for _, read in kept]),
        labels=labels,
        classes=classes,
        test=test if test.any() else None,
        paths=tuple(picture.name for picture, _ in kept),
        notes=(*_skipped(failed, len(kept) + len(failed)), *notes),
    )


def numbered(
    name: str, labels: Sequence[Label]
) -> tuple[Int64[np.ndarray, " n"] | None, tuple[str, ...], tuple[str, ...]]:
    """Labels as class numbers, with the names of the classes and what a person should know.

    Args:
        name: of the set.
        labels: names or numbers of classes; None for pictures without.
    """
    missing = sum(label is None for label in labels)
    if missing == len(labels):
        return None, (), ()
    if missing:
        note = f"{missing} of {len(labels)} images of {name} have no label: all are taken without"
        return None, (), (note,)
    whole = all(isinstance(label, int) for label in labels)
    classes, numbers, counts = np.unique(
        [label if whole else str(label) for label in labels],
        return_inverse=True,
        return_counts=True,
    )
    names = tuple(plain(x) for x in classes)
    if len(names) == 1:
        note = (
            f"{name} has one class only ({names[0]}): accuracy says nothing there, so its images are "
            "taken without labels"
        )
        return None, (), (note,)
    small = [f"{c} ({count})" for c, count in zip(names, counts, strict=True) if count < 3]
    notes = (
        (
            f"too few images to measure these classes, which take part in training only: {', '.join(small)}; "
            "give each class at least 3",
        )
        if small
        else ()
    )
    return numbers.astype(np.int64), names, notes


def plain(name: object) -> str:
    """A name that any file and any page can hold, whatever bytes the disk has for it."""
    return str(name).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def one_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def files_of(path: Path, ending: str) -> list[Path]:
    """The path itself if it is a file, or the files with that ending in it, in their order."""
    return [path] if path.is_file() else sorted(path.glob(f"*{ending}"))


def read_image(content: Path | bytes, size: int | None) -> UInt8[np.ndarray, "h w 3"] | str:
    """The picture as a square of bytes, or why it cannot be read.

    Args:
        content: where it lies, or its bytes.
        size: side of the square; None for its own where it is a small square, and 32 otherwise.
    """
    try:
        with Image.open(content if isinstance(content, Path) else io.BytesIO(content)) as opened:
            picture = _rgb(ImageOps.exif_transpose(opened))
        width, height = picture.size
        if size is None and width == height and SMALLEST_OWN <= width <= LARGEST_OWN:
            return np.asarray(picture)
        return _square(picture, size or DEFAULT_SIZE)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombWarning) as error:
        return one_line(error)
    except Image.DecompressionBombError as error:
        return one_line(error)


def _square(picture: Image.Image, size: int) -> UInt8[np.ndarray, "h w 3"]:
    return np.asarray(ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC))


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


def _of_one_size(squares: list[UInt8[np.ndarray, "_ _ 3"]]) -> UInt8[np.ndarray, "n c h w"]:
    """All in one array, in the default size where they differ; one channel if every picture is grey."""
    if len({square.shape for square in squares}) > 1:
        squares = [_square(Image.fromarray(square), DEFAULT_SIZE) for square in squares]
    images = np.stack(squares).transpose(0, 3, 1, 2)
    grey = (images[:, :1] == images).all()
    return np.ascontiguousarray(images[:, :1] if grey else images)


def _skipped(failed: list[tuple[Picture, str]], total: int) -> tuple[str, ...]:
    if not failed:
        return ()
    named = "; ".join(f"{picture.name} ({fault})" for picture, fault in failed[:NAMED])
    more = f"; and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
    return (f"skipped {len(failed)} of {total} images that cannot be read: {named}{more}",)
