"""``config.yaml``: everything needed to run again, exactly."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from temperance.errors import InputError
from temperance.runs.files import remove_partial, write_atomic

CONFIG = "config.yaml"

Model = TypeVar("Model", bound=BaseModel)


def read_config(path: Path, kind: type[Model]) -> Model:
    """Read a configuration file.

    Args:
        path: a ``config.yaml``.
        kind: the model that it should fit.

    Raises:
        InputError: if it cannot be read, or does not fit; names the entry at fault.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read {path}: {error}; give a config.yaml that a run wrote"
        ) from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not YAML ({reason}); restore it or remove it") from error
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error)}") from error


def claim_folder(folder: Path, config: BaseModel) -> None:
    """Make a run folder this run's own: write its configuration, or check that it holds the same one.

    What a run that was killed while writing has left half-written in it is removed.

    Args:
        folder: exists.
        config: of the run that is about to begin or to go on.

    Raises:
        InputError: if the folder holds another configuration or files that are not a run's.
    """
    path = folder / CONFIG
    if not path.exists():
        strangers = [p for p in folder.iterdir() if not p.name.startswith(".")]
        if strangers:
            raise InputError(
                f"{folder} holds files but no {CONFIG}, so it is not a run to go on with; "
                "name another folder with --out"
            )
        remove_partial(folder)
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        write_atomic(path, text)
        return
    found = read_config(path, type(config))
    changed = [
        name for name in type(config).model_fields if getattr(found, name) != getattr(config, name)
    ]
    if changed:
        name = changed[0]
        was, now = getattr(found, name), getattr(config, name)
        raise InputError(
            f"{folder} holds a run with {name} = {_short(was)}, not {_short(now)}; name another folder "
            "with --out, remove that one, or give the settings it was begun with"
        )
    remove_partial(folder)


def explain(error: ValidationError) -> str:
    """The first fault of a validation in one line."""
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    said = fault["type"] == "value_error" or isinstance(fault["input"], dict)  # names it itself
    given = "" if said else f", given {_short(fault['input'])}"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{where}: {message}{given}" if where else f"{message}{given}"


def _short(value: object) -> str:
    text = str(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 60 else text[:57] + "..."
