"""Whether learning was worth it: features against raw pixels, on test images."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from temperance.runs.results import Results
from temperance.transfer import METRICS

WORDS = {
    "knn_accuracy": "kNN",
    "linear_accuracy": "the linear probe",
    "few_shot_accuracy": "five labels a class",
}


Verdict = Literal["better", "level", "worse"]


@dataclass(frozen=True)
class AgainstPixels:
    """The features of the extractors at one temperature beside raw pixels.

    Attributes:
        metric: ``knn_accuracy`` and the like.
        temperature: the one tried that is nearest to the one recommended.
        learned: mean test accuracy over seeds, in [0, 1].
        standard_error: of that mean, from the spread of the seeds; nan with one seed.
        pixels: test accuracy of raw pixels with the same head.
    """

    metric: str
    temperature: float
    learned: float
    standard_error: float
    pixels: float

    @property
    def verdict(self) -> Verdict:
        """Which is better, by more than two standard errors."""
        margin = self.learned - self.pixels
        noise = 0.0 if np.isnan(self.standard_error) else 2 * self.standard_error
        if abs(margin) <= noise:
            return "level"
        return "better" if margin > 0 else "worse"


def against_pixels(results: Results) -> list[AgainstPixels]:
    """Compare the features at the recommended temperature with raw pixels, head by head.

    Args:
        results: of a sweep; without labels there is nothing to compare.
    """
    chosen = results.recommendation
    if chosen is None or not results.data.classes:
        return []
    groups = results.by_temperature()
    nearest = min(groups, key=lambda t: abs(np.log(t / chosen.temperature)))
    found = []
    for metric in METRICS:
        values = [run.test.accuracy(f"features.{metric}") for run in groups[nearest]]
        pixels = results.baselines.raw_pixels.test.accuracy(f"features.{metric}")
        assert pixels is not None
        spread = np.array(values, dtype=np.float64)
        error = spread.std(ddof=1) / np.sqrt(len(spread)) if len(spread) > 1 else np.nan
        found.append(AgainstPixels(metric, nearest, float(spread.mean()), float(error), pixels))
    return found


def pixels_in_words(comparisons: list[AgainstPixels]) -> str:
    """Say in a sentence or two where the features beat raw pixels and where they do not."""
    if not comparisons:
        return ""

    def listed(verdict: Verdict) -> str:
        return ", ".join(
            f"{WORDS[c.metric]} ({100 * c.learned:.1f} % against {100 * c.pixels:.1f} %)"
            for c in comparisons
            if c.verdict == verdict
        )

    temperature = f"{comparisons[0].temperature:g}"
    words = []
    if better := listed("better"):
        words.append(
            f"At τ = {temperature} the features beat raw pixels on test images by {better}."
        )
    if level := listed("level"):
        words.append(
            f"At τ = {temperature} they are level with raw pixels, within the noise of seeds, by {level}."
        )
    if worse := listed("worse"):
        words.append(
            f"At τ = {temperature} the learned features do not beat raw pixels by {worse}: train longer, or "
            "take another encoder, before you trust what this sweep says of that use."
        )
    return " ".join(words)
