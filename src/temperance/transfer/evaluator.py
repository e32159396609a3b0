"""What all evaluators share: three verbs, and what a score is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

Data = TypeVar("Data", contravariant=True)


@dataclass(frozen=True)
class Score:
    """How well a task was done on held-out data.

    Attributes:
        metrics: by name, in [0, 1]; the first is the headline.
        per_class: the headline's kind, class by class, for those that occur.
    """

    metrics: Mapping[str, float]
    per_class: Mapping[str, float] = field(default_factory=dict)

    @property
    def headline(self) -> float:
        """The first metric."""
        return next(iter(self.metrics.values()))


@runtime_checkable
class Evaluator(Protocol[Data]):
    """A head on an extractor: it learns from labelled data, predicts, and is scored on held-out data.

    What it learns from and predicts for is an ``ImageSet`` (classification) or an ``AnnotatedSet``
    (detection, segmentation). The extractor that it is given is never changed: where a task trains it too,
    a copy is trained.
    """

    def fit(self, data: Data) -> "Evaluator[Data]":
        """Learn from labelled data."""
        ...

    def predict(self, data: Data) -> Any:
        """What it says of data, in their order."""
        ...

    def score(self, data: Data) -> Score:
        """How right it is on held-out data."""
        ...
