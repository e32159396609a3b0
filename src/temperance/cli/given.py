"""What commands share: numbers as people type them, data, folders, notes."""

import sys
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from temperance.data import ImageSet, Splits, load_images, split
from temperance.errors import InputError
from temperance.methods.config import checked_temperature
from temperance.runs.config import explain, read_config

Model = TypeVar("Model", bound=BaseModel)


def temperature(text: str) -> float:
    """A temperature as typed.

    Raises:
        InputError: if it is not a number, or not positive and finite.

    Example:
        >>> temperature("0.2")
        0.2
    """
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(
            f"temperature {text!r} is not a number; give a positive one such as 0.1"
        ) from error
    return checked_temperature(value)


def temperatures(text: str) -> tuple[float, ...]:
    """Temperatures as typed, with commas between.

    Example:
        >>> temperatures("0.05, 0.2")
        (0.05, 0.2)
    """
    return tuple(temperature(part.strip()) for part in text.split(",") if part.strip())


def images_and_parts(name: str, size: int | None) -> tuple[ImageSet, Splits]:
    """The data asked for and their splits; what a person should know of them goes to the error stream."""
    images = load_images(name, size)
    for note in images.notes:
        print(f"note: {note}", file=sys.stderr)
    return images, split(images)


def earlier(config: Path | None, kind: type[Model], given: dict[str, Any]) -> dict[str, Any]:
    """The settings of an earlier run, if one is named, under those given now."""
    values = {} if config is None else read_config(config, kind).model_dump()
    return values | {name: value for name, value in given.items() if value is not None}


def checked(kind: type[Model], values: dict[str, Any]) -> Model:
    """The configuration that the values make.

    Raises:
        InputError: names the first value that does not fit.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{explain(error)}; see --help") from error


def default_folder(command: str, data: str) -> Path:
    """``runs/COMMAND-DATA``."""
    return Path("runs") / f"{command}-{Path(data).resolve().name if '/' in data else data}"
