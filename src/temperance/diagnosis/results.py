"""What a diagnosis finds: schema 1 of its ``results.json``, which scripts and notebooks read."""

import html
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from temperance.runs import write_json

SCHEMA: Literal[1] = 1
RESULTS = "results.json"

Level = Literal["good", "note", "warning"]
Direction = Literal["lower", "keep", "raise"]
MARKS: dict[Level, str] = {"good": "✓", "note": "·", "warning": "!"}


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Source(_Record):
    """What was looked at."""

    name: str
    rows: int
    width: int
    pairs: str | None
    negatives: int
    classes: list[str]
    anchors: int
    notes: list[str]


class Figure(_Record):
    """A mean over anchors and, where anchors are a sample, its 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None


class Curve(_Record):
    """A mean over anchors at each temperature of the profile, with 95 % intervals."""

    mean: list[float]
    low: list[float]
    high: list[float]


class Profile(_Record):
    """The loss and the push at each temperature, on the space as it is.

    ``curves`` has ``effective_share`` (effective negatives as a share of all), ``top1``, ``top10``,
    ``top100`` (their
    shares of the push); with pairs ``loss`` (nats), ``pull`` (which is the sum of all pushes), ``unsolved``
    (1 - P of
    the positive) and ``slope`` (of the loss in τ); with labels ``false_negative_mass``, without them
    ``estimated_false_negative_mass``.
    """

    temperature: list[float]
    exact: list[float]
    interpolation_error: float
    curves: dict[str, Curve]
    effective_negatives: dict[str, list[float]]


class Reading(_Record):
    """The profile at one temperature."""

    temperature: float
    figures: dict[str, Figure]
    effective_negatives: float
    negatives_with_90_percent: int | None


class Measure(_Record):
    """One measure of the space beside what random and collapsed spaces of this shape have."""

    name: str
    title: str
    meaning: str
    figure: Figure
    random: float | None
    collapsed: float | None
    published: tuple[float, float] | None = None


class Histogram(_Record):
    """Shares of similarities in equal bins."""

    edges: list[float]
    shares: dict[str, list[float]]


class Verdict(_Record):
    """What a figure means: its value, the threshold it is held against, and why there."""

    name: str
    level: Level
    value: float
    threshold: float
    sentence: str
    reason: str


class Suggestion(_Record):
    """A range of temperatures read off this space."""

    low: float
    high: float
    direction: Direction | None
    sentence: str
    lowering: str | None
    raising: str | None
    reason: str


class Negative(_Record):
    """A hard negative; ``false`` says that it is of the anchor's class, or suspected to be so."""

    row: int
    similarity: float
    false: bool | None


class Case(_Record):
    """An anchor, its positive and its hardest negatives; the share of negative s is exp(s/τ - log_sum)."""

    row: int
    positive_similarity: float | None
    negatives: list[Negative]
    log_sum: list[float]


class Suspect(_Record):
    """A pair for relabelling."""

    anchor: int
    negative: int
    similarity: float
    share: float
    false: bool | None


class Diagnosis(_Record):
    """All that a diagnosis says; prints as text, and as a table in a notebook."""

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    command: Literal["diagnose"] = "diagnose"
    data: Source
    temperature: float | None
    reading: Reading | None
    profile: Profile
    measures: list[Measure]
    histogram: Histogram
    verdicts: list[Verdict]
    suggestion: Suggestion | None
    cases: list[Case]
    environment: dict[str, str | int | float]

    _suspects: list[Suspect] = PrivateAttr(default_factory=list)

    @property
    def suspects(self) -> list[Suspect]:
        """Hard negatives of all anchors, suspected false ones first; not in ``results.json``."""
        return self._suspects

    def measure(self, name: str) -> float | None:
        """The value of a measure of the space, or None if it was not taken."""
        return next((m.figure.value for m in self.measures if m.name == name), None)

    def __str__(self) -> str:
        lines = [self.headline()]
        lines += [f"note: {note}" for note in self.data.notes]
        lines += [f"{MARKS[v.level]} {v.sentence}" for v in self.verdicts]
        lines += self.advice()
        return "\n".join(lines)

    def headline(self) -> str:
        """What was looked at, in a line."""
        d = self.data
        beside = f" with {d.pairs}" if d.pairs else ""
        at = "" if self.temperature is None else f" at τ = {self.temperature:.4g}"
        return (
            f"{d.name}{beside}: {d.rows:,} × {d.width}, {d.anchors:,} anchors against {d.negatives:,} "
            f"negatives each{at}"
        )

    def advice(self) -> list[str]:
        """The suggested range, and what lowering and raising τ would do."""
        s = self.suggestion
        if s is None:
            return []
        return [x for x in (s.sentence, s.lowering, s.raising) if x is not None]

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{MARKS[v.level]}</td><td style='text-align:left'>{html.escape(v.sentence)}</td></tr>"
            for v in self.verdicts
        )
        words = "".join(f"<p>{html.escape(x)}</p>" for x in [*self.data.notes, *self.advice()])
        return f"<p><b>{html.escape(self.headline())}</b></p><table>{rows}</table>{words}"


def write_diagnosis(folder: Path, found: Diagnosis) -> None:
    """Write ``results.json`` into a folder."""
    write_json(folder / RESULTS, found.model_dump(mode="json", by_alias=True))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of ``results.json``, which is committed beside this file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Diagnosis.model_json_schema(by_alias=True, mode="serialization"),
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1, ensure_ascii=False))
