"""Rules for the temperature beside the best fixed one, at the same budget."""

from dataclasses import dataclass

import numpy as np

from temperance.runs.results import Results, Run
from temperance.search.config import METRIC_NAMES


@dataclass(frozen=True)
class BesideFixed:
    """One rule and the best fixed temperature, for one use.

    Attributes:
        rule: its words.
        metric: such as ``features.linear_accuracy``.
        fixed: the temperature that validation images chose for that metric.
        difference: mean test accuracy under the rule less that at the fixed temperature, over the seeds
            that both have, in [-1, 1].
        standard_error: of that mean, from the seeds' own differences; nan with one seed.
    """

    rule: str
    metric: str
    fixed: float
    difference: float
    standard_error: float

    @property
    def in_points(self) -> str:
        """The difference in percentage points, with its standard error."""
        error = "" if np.isnan(self.standard_error) else f" ± {100 * self.standard_error:.1f}"
        return f"{100 * self.difference:+.1f}{error}".replace("-", "−")

    @property
    def verdict(self) -> str:
        """Which is better, by more than two standard errors."""
        if not abs(self.difference) > 2 * self.standard_error:
            return "level"
        return "better" if self.difference > 0 else "worse"


def beside_fixed(results: Results) -> list[BesideFixed]:
    """Compare each rule with the temperature that validation images chose, use by use, on test images.

    Seeds are paired: the same seed begins with the same weights and draws the same views.

    Args:
        results: of a sweep; without labels there is nothing to compare.
    """
    if not results.data.classes:
        return []
    found = []
    for rule, runs in results.by_rule().items():
        for metric in METRIC_NAMES.values():
            fixed, others = _best(results, metric)
            pairs = [(run, others[run.seed]) for run in runs if run.seed in others]
            gaps = np.array([_test(ours, metric) - _test(theirs, metric) for ours, theirs in pairs])
            error = gaps.std(ddof=1) / np.sqrt(len(gaps)) if len(gaps) > 1 else np.nan
            found.append(BesideFixed(rule, metric, fixed, float(gaps.mean()), float(error)))
    return found


def _best(results: Results, metric: str) -> tuple[float, dict[int, Run]]:
    """The fixed temperature with the highest mean on validation images, and its runs by seed."""

    def mean(runs: list[Run]) -> float:
        return float(np.mean([run.validation.accuracy(metric) for run in runs]))

    temperature, runs = max(results.by_temperature().items(), key=lambda item: mean(item[1]))
    return temperature, {run.seed: run for run in runs}


def _test(run: Run, metric: str) -> float:
    value = run.test.accuracy(metric)
    assert value is not None
    return value
