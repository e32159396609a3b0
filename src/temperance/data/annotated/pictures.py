"""What every reader makes: pictures on disk, and what is known of each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8
from PIL import Image

from temperance.data.pictures import one_line
from temperance.errors import InputError

# In a class map: no class is asked for here (a crowd, a border, what lies beyond the picture).
VOID = 255
# Class numbers of a map go from 0, the ground, to this.
MOST_CLASSES = 254
# Boxes reach over the edge by rounding in files that are right; what lies further out is a fault.
OVER = 1.0

ClassMap = UInt8[np.ndarray, "h w"]


@dataclass(frozen=True)
class AnnotatedPicture:
    """One picture and what is in it.

    Attributes:
        path: of the picture.
        height: in pixels.
        width: in pixels.
        boxes: ``(n, 4)`` left, top, right, bottom, in pixels from the picture's corner.
        labels: ``(n,)`` class numbers, from 0.
        ignored: ``(n,)`` which neither teach nor count: COCO's crowds, VOC's difficult objects.
        class_map: reads ``(h, w)``: 0 for the ground, class number + 1, or 255 (void); None where the source
            has no masks.
    """

    path: Path
    height: int
    width: int
    boxes: Float32[np.ndarray, "n 4"]
    labels: Int64[np.ndarray, " n"]
    ignored: Bool[np.ndarray, " n"]
    class_map: Callable[[], ClassMap] | None = None


@dataclass(frozen=True)
class Sample:
    """A picture read, scaled so that its longer side fits, and laid at the top left of a square.

    Attributes:
        image: ``(c, side, side)`` bytes, 0 beyond the picture.
        boxes: ``(n, 4)``, scaled alike.
        labels: ``(n,)``.
        ignored: ``(n,)``.
        class_map: ``(side, side)``, void beyond the picture; None where there is none.
    """

    image: UInt8[np.ndarray, "c s s"]
    boxes: Float32[np.ndarray, "n 4"]
    labels: Int64[np.ndarray, " n"]
    ignored: Bool[np.ndarray, " n"]
    class_map: UInt8[np.ndarray, "s s"] | None


@dataclass(frozen=True)
class AnnotatedSet:
    """Annotated pictures of one split.

    Attributes:
        name: for messages.
        classes: names; the ground is none of them.
        pictures: in the order of their files.
        boxed: whether the source has boxes at all.
        notes: what a person should know about how it was read.
    """

    name: str
    classes: tuple[str, ...]
    pictures: tuple[AnnotatedPicture, ...]
    boxed: bool = True
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.pictures)

    @property
    def masked(self) -> bool:
        """Whether every picture has a class map."""
        return all(picture.class_map is not None for picture in self.pictures)

    def sample(self, index: int, channels: int, side: int) -> Sample:
        """Read one picture.

        Args:
            index: which.
            channels: 1 (grey) or 3 (RGB).
            side: of the square, in pixels.

        Raises:
            InputError: names the file that cannot be read, or whose mask is not as large as the picture.
        """
        picture = self.pictures[index]
        scale = side / max(picture.height, picture.width)
        height, width = (max(1, round(scale * x)) for x in (picture.height, picture.width))
        pixels = _pixels(picture, channels, (width, height))
        image = np.zeros((channels, side, side), np.uint8)
        image[:, :height, :width] = pixels
        class_map = None
        if picture.class_map is not None:
            drawn = Image.fromarray(picture.class_map())
            class_map = np.full((side, side), VOID, np.uint8)
            class_map[:height, :width] = np.asarray(
                drawn.resize((width, height), Image.Resampling.NEAREST)
            )
        return Sample(
            image,
            (picture.boxes * scale).astype(np.float32),
            picture.labels,
            picture.ignored,
            class_map,
        )

    def part(self, rows: Int64[np.ndarray, " m"], name: str) -> "AnnotatedSet":
        """The pictures of some rows, under a name of their own."""
        chosen = tuple(self.pictures[row] for row in rows.tolist())
        return AnnotatedSet(name, self.classes, chosen, self.boxed, self.notes)


@dataclass(frozen=True)
class AnnotatedSplits:
    """What is learned from, and what is measured on.

    Attributes:
        train: heads learn from these.
        test: measured on these.
    """

    train: AnnotatedSet
    test: AnnotatedSet


def checked_box(
    box: tuple[float, float, float, float], height: int, width: int, item: str
) -> tuple[float, float, float, float]:
    """A box as left, top, right, bottom, cut to the picture.

    Args:
        box: as given, in pixels.
        height: of the picture.
        width: of the picture.
        item: what a message calls the box.

    Raises:
        InputError: if it lies outside the picture by more than a pixel, or is not finite.
    """
    left, top, right, bottom = box
    if not all(np.isfinite(x) for x in box):
        raise InputError(f"{item} has a box that is not finite; correct or remove it")
    if left < -OVER or top < -OVER or right > width + OVER or bottom > height + OVER:
        given = ", ".join(f"{x:g}" for x in box)
        raise InputError(
            f"{item} has its box ({given}: left, top, right, bottom) outside the image of {width} × {height} "
            "pixels; correct or remove it"
        )
    return max(0.0, left), max(0.0, top), min(float(width), right), min(float(height), bottom)


def size_of(path: Path, item: str) -> tuple[int, int]:
    """Height and width of a picture, from its head.

    Raises:
        InputError: if it is missing, or is no picture.
    """
    try:
        with Image.open(path) as opened:
            return opened.height, opened.width
    except FileNotFoundError as error:
        raise InputError(
            f"{item}: there is no file {path}; restore it or remove the entry"
        ) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{item}: {path} cannot be read ({one_line(error)}); restore it"
        ) from error


def read_mask(path: Path, classes: int, height: int, width: int) -> ClassMap:
    """A mask as a class map: grey of 8 or 16 bits or a palette, whose values are class numbers.

    Args:
        path: of the mask; 0 is the ground, 255 (65535 in 16 bits) void.
        classes: how many there are besides the ground.
        height: of the picture.
        width: of the picture.

    Raises:
        InputError: if it cannot be read, is of another size, in colours, or holds an unknown number.
    """
    try:
        with Image.open(path) as opened:
            mode, values = opened.mode, np.asarray(opened)
    except FileNotFoundError as error:
        raise InputError(f"there is no mask {path}; restore it or remove its picture") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"mask {path} cannot be read ({one_line(error)}); restore it") from error
    if values.ndim != 2:
        raise InputError(
            f"mask {path} is in colours ({mode}); give class numbers in grey or in a palette"
        )
    if values.shape != (height, width):
        raise InputError(
            f"mask {path} is {values.shape[1]} × {values.shape[0]} pixels, its picture {width} × {height}; "
            "give one of the same size"
        )
    numbers = values.astype(np.int64)
    numbers[numbers == (65535 if mode.startswith("I") else VOID)] = VOID
    unknown = numbers[(numbers > classes) & (numbers != VOID)]
    if len(unknown):
        raise InputError(
            f"mask {path} holds class {unknown[0]}, and there are {classes} besides the ground; "
            "correct it or name its class"
        )
    return numbers.astype(np.uint8)


def _pixels(
    picture: AnnotatedPicture, channels: int, size: tuple[int, int]
) -> UInt8[np.ndarray, "c h w"]:
    # EXIF orientation is left alone, as annotation tools and COCO's and VOC's own readers do.
    try:
        with Image.open(picture.path) as opened:
            if (opened.height, opened.width) != (picture.height, picture.width):
                raise InputError(
                    f"{picture.path} is {opened.width} × {opened.height} pixels, its annotation says "
                    f"{picture.width} × {picture.height}; correct one of them"
                )
            converted = opened.convert("L" if channels == 1 else "RGB")
            pixels = np.asarray(converted.resize(size, Image.Resampling.BILINEAR))
    except FileNotFoundError as error:
        raise InputError(f"there is no file {picture.path}; restore it") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{picture.path} cannot be read ({one_line(error)}); restore it"
        ) from error
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
