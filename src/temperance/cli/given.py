"""What commands share: numbers as people type them, data, folders, notes."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from temperance.data import SOURCES, ImageSet, Splits, load_images, split
from temperance.errors import InputError
from temperance.methods import Recipe, check_recipe
from temperance.methods.config import checked_temperature
from temperance.runs.config import explain, read_config
from temperance.search import Executor, cluster, default_epochs, local

DEFAULT_DATA = "glyphs"
SMALLEST = 8
# Fewer images than this, held out, measure nothing.
FEWEST_HELD_OUT = 5

Settings = TypeVar("Settings", bound=Recipe)


def temperature(text: str) -> float:
    """A temperature as typed.

    Raises:
        InputError: if it is not a number, or not positive and finite.

    Example:
        >>> temperature("0.2")
        0.2
    """
    return checked_temperature(number("temperature", text))


def number(name: str, text: str) -> float:
    """A number as typed.

    Raises:
        InputError: if it is none.

    Example:
        >>> number("scale", "20")
        20.0
    """
    try:
        return float(text)
    except ValueError as error:
        raise InputError(
            f"{name} {text!r} is not a number; give a positive one such as 0.1"
        ) from error


def temperatures(text: str) -> tuple[float, ...]:
    """Temperatures as typed, with commas between.

    Example:
        >>> temperatures("0.05, 0.2")
        (0.05, 0.2)
    """
    return tuple(temperature(part.strip()) for part in text.split(",") if part.strip())


def executor(name: str, workers: int | None = None) -> AbstractContextManager[Executor]:
    """Where runs are worked on, and how many at a time: as asked, or one a core of this machine or cluster.

    Raises:
        InputError: if the number is not positive, and as ``cluster``.
    """
    if workers is not None and workers < 1:
        raise InputError(f"--workers {workers} is not positive; give 1 or more")
    if name == "ray":
        return cluster(workers)
    return nullcontext(local(workers or os.cpu_count() or 1))


def noted_images(name: str, size: int | None, root: Path | None) -> ImageSet:
    """The data asked for; what a person should know of them goes to the error stream.

    Raises:
        InputError: as ``load_images``, and if the size is too small.
    """
    if size is not None and size < SMALLEST:
        raise InputError(f"--image-size {size} is too small; give at least {SMALLEST}")
    images = load_images(name, size, root)
    for note in images.notes:
        print(f"note: {note}", file=sys.stderr)
    return images


def _parts(images: ImageSet) -> Splits:
    parts = split(images)
    held_out = min(len(parts.validation), len(parts.test))
    if held_out < FEWEST_HELD_OUT:
        raise InputError(
            f"{images.name} leaves {held_out} images to measure on; give more, and at least 3 of each class"
        )
    return parts


def settle(
    kind: type[Settings], given: dict[str, Any], config: Path | None, processes: int = 1
) -> tuple[Settings, ImageSet, Splits]:
    """The settings of an earlier run, if one is named, under those given now; and the data they speak of.

    Raises:
        InputError: names the first value that does not fit, or the data, if they are not the earlier run's.
    """
    given = dict(given)
    root = given.pop("root", None)
    values = {} if config is None else read_config(config, kind).model_dump()
    if given["data"] is not None:
        values.pop("fingerprint", None)
    values |= {name: value for name, value in given.items() if value is not None}
    values.setdefault("data", DEFAULT_DATA)
    images = noted_images(values["data"], values.get("image_size"), root)
    parts = _parts(images)
    if values.setdefault("fingerprint", images.fingerprint) != images.fingerprint:
        raise InputError(
            f"the images of {values['data']} are not those of {config}; restore them, or name the data to "
            "take as they are now"
        )
    try:
        settings = kind.model_validate({"epochs": 1} | values)
        if "epochs" not in values:
            usual = default_epochs(len(parts.train), settings.batch_size, settings.method)
            settings = kind.model_validate(values | {"epochs": usual})
    except ValidationError as error:
        raise InputError(f"{explain(error)}; see --help") from error
    check_recipe(
        images.images[parts.train],
        settings,
        labelled=images.labels is not None,
        processes=processes,
    )
    return settings, images, parts


def recipe_given(settings: list[str] | None, **named: Any) -> dict[str, Any]:
    """What ``--set NAME=VALUE`` and the options with names of their own say of the training.

    Raises:
        InputError: if there is no such name.
    """
    found: dict[str, Any] = {}
    for words in settings or []:
        name, equals, value = words.partition("=")
        if not equals or name not in Recipe.model_fields:
            known = ", ".join(name for name in Recipe.model_fields if name not in named)
            raise InputError(f"--set {words}: give NAME=VALUE with one of {known}")
        numbers = [part.strip() for part in value.split(",")]
        found[name] = tuple(numbers) if name == "widths" else value
    return found | {name: value for name, value in named.items() if value is not None}


def default_folder(command: str, data: str) -> Path:
    """``runs/COMMAND-DATA``."""
    name = data if data in SOURCES else Path(data).resolve().name
    return Path("runs") / f"{command}-{name}"


def console(*, stderr: bool = False) -> Console:
    """Prints what it is given: names from outside may hold what looks like markup."""
    return Console(stderr=stderr, markup=False, highlight=False)


class _Bars(Progress):
    """Bars, each with a line of words below it, which beside it would leave no room on 80 columns."""

    words = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        """The bars, and below each what there is to say."""
        if not self.words:
            yield from super().get_renderables()
            return
        for task in self.tasks:
            yield self.make_tasks_table([task])
            if words := self.words.format(task=task):
                yield Text(words, no_wrap=True, overflow="ellipsis")


def progress(
    output: Console, count: str, below: str, *, first: bool = True, **options: Any
) -> Progress:
    """A bar with time left, on a terminal; elsewhere nothing.

    Args:
        output: where it is drawn.
        count: what stands beside the bar, as rich formats it: ``"{task.completed} of {task.total}"``.
        below: what stands below it, in the same way.
        first: whether this is the one process of several that shows anything.
        **options: further ones of rich's.
    """
    bars = _Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(count),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=output,
        disable=not (first and output.is_terminal),
        **options,
    )
    bars.words = below
    return bars
