"""The results of an evaluation: schema 1 of ``evaluation.json``, which scripts and notebooks read."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from temperance.errors import InputError
from temperance.runs import read_json, write_json
from temperance.runs.config import explain

EVALUATION = "evaluation.json"
SCHEMA: Literal[1] = 1

Start = Literal["pretrained", "random", "supervised"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Part(_Record):
    """One task from one start with one seed. Metrics are in [0, 1], the headline first."""

    task: str
    start: Start
    extractor: str
    temperature: float | None
    seed: int = Field(ge=0)
    seconds: float = Field(ge=0)
    metrics: dict[str, float]
    per_class: dict[str, float]

    @property
    def headline(self) -> float:
        """The first metric."""
        return next(iter(self.metrics.values()))

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What no two parts share."""
        return self.task, self.start, self.extractor, self.seed


class Settings(_Record):
    """What was asked for; another evaluation belongs in another folder."""

    images: str | None
    pictures: str | None
    steps: int | None
    frozen: bool


class Evaluation(_Record):
    """The whole file."""

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    settings: Settings
    parts: list[Part]

    def of(self, task: str, start: str) -> list[Part]:
        """The parts of a task from a start."""
        return [part for part in self.parts if (part.task, part.start) == (task, start)]

    @property
    def tasks(self) -> list[str]:
        """The tasks, in the order in which they were first measured."""
        return list(dict.fromkeys(part.task for part in self.parts))


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write ``evaluation.json`` into a folder."""
    write_json(folder / EVALUATION, evaluation.model_dump(mode="json", by_alias=True))


def begun_evaluation(folder: Path, settings: Settings) -> Evaluation:
    """The evaluation that a folder holds, to go on with, or an empty one.

    Raises:
        InputError: if it holds one with other settings, or one that is damaged.
    """
    path = folder / EVALUATION
    if not path.exists():
        return Evaluation(settings=settings, parts=[])
    try:
        found = Evaluation.model_validate(read_json(path))
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error)}; remove it or name another --out") from error
    for name in Settings.model_fields:
        was, now = getattr(found.settings, name), getattr(settings, name)
        if was != now:
            raise InputError(
                f"{path} was measured with {name} = {was}, not {now}; name another folder with --out"
            )
    return found


def json_schema() -> dict[str, Any]:
    """The JSON Schema of ``evaluation.json``, which is committed beside this file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Evaluation.model_json_schema(by_alias=True, mode="serialization"),
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1, ensure_ascii=False))
