"""The results of a run: schema 1 of ``results.json``, which scripts and notebooks read."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from temperance.errors import InputError
from temperance.geometry import Geometry
from temperance.runs.files import read_json, write_json

SCHEMA: Literal[1] = 1
RESULTS = "results.json"

Shape = Literal["peak", "edge-low", "edge-high", "flat"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Accuracies(_Record):
    """Accuracies in [0, 1]; null without labels."""

    knn_accuracy: float | None = Field(default=None, ge=0, le=1)
    linear_accuracy: float | None = Field(default=None, ge=0, le=1)
    few_shot_accuracy: float | None = Field(default=None, ge=0, le=1)


class Spaces(_Record):
    """Accuracies on the encoder's features and on the projection; null where a space does not exist."""

    features: Accuracies
    projection: Accuracies | None

    def accuracy(self, metric: str) -> float | None:
        """The accuracy of a name such as ``projection.knn_accuracy``; None without labels.

        Raw pixels have no projection: their features stand for both.
        """
        space, name = metric.split(".")
        chosen = self.projection if space == "projection" else None
        value: float | None = getattr(chosen or self.features, name)
        return value


class Run(_Record):
    """One extractor: one temperature and one seed.

    Under a rule the temperature is that of the last batch, and ``rule`` says its words.
    """

    temperature: float = Field(gt=0)
    rule: str | None = None
    seed: int = Field(ge=0)
    epochs: int = Field(ge=1)
    seconds: float = Field(ge=0)
    folder: str
    losses: list[float]
    validation: Spaces
    test: Spaces
    geometry: Geometry

    def value(self, metric: str) -> float | None:
        """A validation accuracy, or a measure of the space such as ``geometry.tolerance``."""
        space, name = metric.split(".")
        if space == "geometry":
            measured: float | None = getattr(self.geometry, name)
            return measured
        return self.validation.accuracy(metric)


class Baseline(_Record):
    """What needs no contrastive learning, on the same splits."""

    validation: Spaces
    test: Spaces


class Baselines(_Record):
    """Raw pixels, and the encoder before training (mean over seeds)."""

    raw_pixels: Baseline
    untrained: Baseline


class Curve(_Record):
    """The fitted curve over τ, with its pointwise 90 % band."""

    temperature: list[float]
    value: list[float]
    low: list[float]
    high: list[float]


class Choice(_Record):
    """The best temperature for one metric."""

    temperature: float = Field(gt=0)
    interval: tuple[float, float] | None
    metric: str
    shape: Shape
    reason: str
    best_per_seed: dict[str, float]
    ties: list[float]
    curve: Curve | None


class Recommendation(Choice):
    """The choice for the metric asked for, the command that trains with it, and every other metric."""

    command: str
    by_metric: dict[str, Choice]


class Images(_Record):
    """What was trained and measured on."""

    name: str
    fingerprint: str
    channels: int
    size: int
    train: int
    validation: int
    test: int
    classes: list[str]
    notes: list[str]


class Trial(_Record):
    """One training of a budgeted search, and the validation accuracy it reached."""

    temperature: float = Field(gt=0)
    epochs: int = Field(ge=1)
    value: float
    seconds: float = Field(ge=0)


class AgainstGrid(_Record):
    """A full sweep beside a search: test accuracy at its best temperature, and at the one chosen."""

    folder: str
    trainings: int
    temperature: float = Field(gt=0)
    best: float
    chosen: float

    @property
    def regret(self) -> float:
        """What the search lost, as accuracy."""
        return self.best - self.chosen


class Search(_Record):
    """How a budget was spent; ``budget`` and ``spent`` in whole trainings."""

    budget: float
    spent: float
    seconds: float
    trials: list[Trial]
    grid: AgainstGrid | None = None


class Results(_Record):
    """The whole file.

    ``budgets`` lists shorter trainings, in epochs: the same sweep of each is in ``budgets/EPOCHS``. Where
    ``config`` has ``losses``, the same sweep with the hardest negatives alone is in ``hard``.
    """

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    command: Literal["sweep", "train"]
    config: dict[str, Any]
    environment: dict[str, str | int]
    data: Images
    baselines: Baselines
    runs: list[Run]
    rules: list[Run] = Field(default_factory=list)
    recommendation: Recommendation | None
    search: Search | None = None
    budgets: list[int] = Field(default_factory=list)

    def by_rule(self) -> dict[str, list[Run]]:
        """The runs of each rule for the temperature, as given; seeds in order."""
        groups: dict[str, list[Run]] = {}
        for run in self.rules:
            groups.setdefault(run.rule or "", []).append(run)
        return groups

    def by_temperature(self) -> dict[float, list[Run]]:
        """The runs at each temperature, rising; seeds in order."""
        groups: dict[float, list[Run]] = {}
        for run in sorted(self.runs, key=lambda run: (run.temperature, run.seed)):
            groups.setdefault(run.temperature, []).append(run)
        return groups


def write_results(folder: Path, results: Results) -> None:
    """Write ``results.json`` into a run folder."""
    write_json(folder / RESULTS, results.model_dump(mode="json", by_alias=True))


def check_results(folder: Path) -> None:
    """Refuse a folder whose ``results.json`` this version would not have written.

    Raises:
        InputError: as ``read_results``; not if there is no such file.
    """
    if (folder / RESULTS).exists():
        read_results(folder)


def read_results(folder: Path) -> Results:
    """Read ``results.json`` of a run folder.

    Raises:
        InputError: if it is missing, of another schema, or not what it should be.
    """
    path = folder / RESULTS
    value = read_json(path)
    found = value.get("schema") if isinstance(value, dict) else None
    if found != SCHEMA:
        raise InputError(
            f"{path} has schema {found}, this version reads {SCHEMA}; run the command again in a new --out"
        )
    try:
        return Results.model_validate(value)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise InputError(
            f"{path} is damaged at {where} ({fault['msg']}); run the command again"
        ) from error


def json_schema() -> dict[str, Any]:
    """The JSON Schema of ``results.json``, which is committed beside this file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Results.model_json_schema(by_alias=True, mode="serialization"),
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1, ensure_ascii=False))
