"""What a sweep is asked to do."""

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, field_validator, model_validator

from temperance.errors import InputError
from temperance.methods.config import (
    HARDEST,
    PAPERS,
    SIMPLE,
    Method,
    Recipe,
    Rule,
    Temperature,
    TrainingConfig,
    check_loss,
    rule_or_number,
)

DEFAULT_TEMPERATURES = tuple(float(t) for t in np.geomspace(0.03, 1.0, 8).round(3))
# Optimiser steps of a default run: on the built-in data enough for the features to beat raw pixels.
DEFAULT_STEPS = 240

Metric = Literal["linear", "knn", "few-shot"]
# What people do with an extractor, and the accuracy that stands for it.
METRIC_NAMES: dict[Metric, str] = {
    "linear": "features.linear_accuracy",
    "knn": "projection.knn_accuracy",
    "few-shot": "projection.few_shot_accuracy",
}
# The constant that no rule without labels beat; benchmarks/search/rules.md has the figures.
UNSEARCHED = 0.2
# What a temperature a factor of e away from it must be better by, as accuracy of a short training; twice as
# far, four times as much. Whichever data set was left out there, the others asked for this.
PULL = 0.02
# The choice that needs no labels: of those judged there the best.
LABEL_FREE = "geometry.neighbour_consistency"
# The temperature that a search is to find.
AUTO = "auto"


def _auto_or_rule(value: float | str) -> float | str:
    return value if value == AUTO else rule_or_number(value)


class TrainConfig(TrainingConfig):
    """One training run with its data, as ``train`` keeps it in ``config.yaml``.

    Attributes:
        temperature: as for every training, or ``"auto"``: what a search within ``budget`` finds.
        data: built-in name or folder.
        fingerprint: of the images.
        image_size: to which a folder's images are scaled; None for the default.
        budget: of that search, in whole trainings, this one included.
    """

    temperature: Annotated[float | str, AfterValidator(_auto_or_rule)] = (
        TrainingConfig.model_fields["temperature"].default
    )
    data: str
    fingerprint: str
    image_size: int | None = Field(default=None, ge=8)
    budget: float = Field(default=2.0, ge=1.5, le=100)

    def search(self) -> "SearchConfig":
        """The search for the temperature: the same recipe, seed and data."""
        return SearchConfig(**self.model_dump(include=set(SearchConfig.model_fields)))


class SweepConfig(Recipe):
    """A sweep; together with the data it fixes every number that comes out, timings aside.

    How its extractors are trained is said as for one of them; see ``Recipe``.

    Attributes:
        data: built-in name or folder.
        fingerprint: of the images, so that a folder that has changed is not mixed with the old one.
        image_size: to which a folder's images are scaled; None for the default.
        temperatures: rising, each once.
        rules: words of rules that are compared with the best of them; see ``temperance.temperatures``.
        seeds: how many runs at each temperature, with seeds 0, 1, ...
        metric: what the headline recommendation is for.
        losses: whether the simple loss is compared, too, and the same with the hardest negatives alone.
    """

    data: str
    fingerprint: str
    image_size: int | None = Field(default=None, ge=8)
    temperatures: tuple[Temperature, ...] = DEFAULT_TEMPERATURES
    rules: tuple[Rule, ...] = ()
    seeds: int = Field(default=3, ge=1)
    metric: Metric = "linear"
    losses: bool = False

    @model_validator(mode="before")
    @classmethod
    def _with_simple(cls, given: dict[str, Any]) -> dict[str, Any]:
        if not given.get("losses"):
            return given
        return given | {"rules": (*(given.get("rules") or ()), SIMPLE)}

    @field_validator("temperatures")
    @classmethod
    def _rising(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not values:
            raise InputError("no temperatures given; give some, such as 0.05,0.1,0.2,0.5")
        return tuple(sorted(set(values)))

    @field_validator("rules")
    @classmethod
    def _rules(cls, values: tuple[float | str, ...]) -> tuple[float | str, ...]:
        for value in values:
            if not isinstance(value, str):
                raise InputError(
                    f"{value:g} is a temperature, no rule; give it with --temperatures"
                )
        return tuple(dict.fromkeys(values))

    @model_validator(mode="after")
    def _fits(self) -> "SweepConfig":
        if self.losses and self.hardest is not None:
            raise InputError(
                "losses keeps to the hardest negatives in a sweep of its own; leave hardest out"
            )
        for temperature in (*self.temperatures, *self.rules):
            check_loss(self.method, temperature, self.hardest)
        return self

    def hardest_alone(self) -> "SweepConfig":
        """The same sweep with the hardest negatives alone."""
        changed = {"losses": False, "rules": (SIMPLE,), "hardest": HARDEST}
        return self.model_copy(update=changed)

    def trainings(self) -> list[TrainingConfig]:
        """One training a temperature and seed, the seeds of each temperature spread over the sweep."""
        return [
            self.at(temperature, seed)
            for seed in range(self.seeds)
            for temperature in (*self.temperatures, *self.rules)
        ]


class SearchConfig(Recipe):
    """A search; together with the data it fixes every number that comes out, timings aside.

    How its extractors are trained is said as for one of them; see ``Recipe``.

    Attributes:
        data: built-in name or folder.
        fingerprint: of the images.
        image_size: to which a folder's images are scaled; None for the default.
        budget: what it may cost, in whole trainings, the last one included.
        lowest: of the temperatures tried.
        highest: of them.
        seed: of every training.
        metric: what the temperature is for.
    """

    data: str
    fingerprint: str
    image_size: int | None = Field(default=None, ge=8)
    budget: float = Field(ge=1.5, le=100)
    # About the constant that does best: with few candidates a wide range was worse than that constant.
    lowest: Temperature = 0.08
    highest: Temperature = 0.4
    seed: int = Field(default=0, ge=0)
    metric: Metric = "linear"

    @model_validator(mode="after")
    def _fits(self) -> "SearchConfig":
        check_loss(self.method, self.lowest, self.hardest)
        return self


def in_epochs(count: int) -> str:
    """A length of training in words.

    Example:
        >>> in_epochs(1), in_epochs(12)
        ('1 epoch', '12 epochs')
    """
    return f"{count} epoch{'s' * (count != 1)}"


def default_epochs(training_images: int, batch_size: int, method: Method = "simclr") -> int:
    """Epochs that make about ``DEFAULT_STEPS`` steps, and at least five; InstDisc takes four times as many.

    Example:
        >>> default_epochs(training_images=3000, batch_size=256)
        22
        >>> default_epochs(training_images=3000, batch_size=256, method="instdisc")
        88
    """
    steps = max(1, training_images // min(batch_size, training_images))
    return max(5, math.ceil(DEFAULT_STEPS / steps)) * PAPERS[method].epoch_factor
