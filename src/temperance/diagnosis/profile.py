"""What the loss pushes on, at each temperature of a dense grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from temperance.diagnosis.intervals import Resampling
from temperance.diagnosis.moments import SMALLEST, LogSums
from temperance.diagnosis.results import Curve, Figure, Profile, Reading
from temperance.diagnosis.streaming import CHECKED, Seen
from temperance.diagnosis.suspects import Suspects, mass

LOW, HIGH = 0.01, 1.0
EXACT = 12
POINTS = 61
TOP = 100
COUNTS = (1, 10, TOP)
# Of a given τ, how far up and down one may want to go.
ROOM = 2.0
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST = 0.9


@dataclass(frozen=True)
class Grid:
    """Temperatures.

    Attributes:
        exact: at which sums are taken.
        between: one between each two of them, at which the interpolation is checked.
        points: at which the profile is drawn.
    """

    exact: list[float]
    between: list[float]
    points: list[float]

    @staticmethod
    def around(temperature: float | None) -> "Grid":
        """The usual range, widened such that it holds half and twice the temperature, which is exact.

        Example:
            >>> len(Grid.around(0.07).exact), 0.07 in Grid.around(0.07).exact
            (12, True)
        """
        low, high, count = LOW, HIGH, EXACT
        if temperature is not None:
            low, high = min(low, temperature / ROOM), max(high, temperature * ROOM)
            count -= 1
        part = np.linspace(0, 1, count)
        # Sums change fastest at low τ: there the steps are a third of those at the other end.
        exact = set((low * (high / low) ** (part * (1 + part) / 2)).tolist())
        if temperature is not None:
            exact.add(temperature)
        nodes = sorted(exact)
        middles = [(a * b) ** 0.5 for a, b in pairwise(nodes)]
        return Grid(nodes, middles, np.geomspace(nodes[0], nodes[-1], POINTS).tolist())


@dataclass(frozen=True, eq=False)
class Sight:
    """What the anchors see, from which every figure of the profile comes.

    Attributes:
        seen: sums and hardest negatives.
        positive: ``(a,)`` similarity to the positive, or None.
        negatives: how many an anchor has.
        suspects: negatives thought to be false, or None.
        resampling: of the anchors.
        resampling_of_suspects: of those whose negatives were looked at for suspects.
    """

    seen: Seen
    positive: Float[Tensor, " a"] | None
    negatives: int
    suspects: Suspects | None
    resampling: Resampling
    resampling_of_suspects: Resampling | None

    def quantities(self, temperatures: Sequence[float]) -> dict[str, Float[Tensor, "t _"]]:
        """Every figure for each anchor at each temperature, by the names of the profile's curves."""
        sums = self.seen.negatives.at(temperatures)
        tau = sums.temperatures[:, None]
        found = {"effective_share": sums.entropy.exp() / self.negatives}
        found |= self._top_shares(sums)
        if self.positive is not None:
            margin = sums.log_sum - self.positive / tau
            unsolved = torch.sigmoid(margin)
            found |= {
                "loss": softplus(margin, threshold=40.0),
                "pull": unsolved / tau,
                "unsolved": unsolved,
                "slope": unsolved * (self.positive - sums.mean) / tau**2,
            }
        if self.seen.same_class is not None:
            within = self.seen.same_class.at(temperatures).log_sum
            found["false_negative_mass"] = (within - sums.log_sum).exp()
        elif self.suspects is not None:
            found["estimated_false_negative_mass"] = mass(
                self.suspects, self.seen, sums.temperatures, sums.log_sum
            )
        return found

    def profile(self, grid: Grid) -> Profile:
        """The curves over the grid, with intervals."""
        found = self.quantities(grid.points)
        few = slice(0, CHECKED)
        between = self.seen.negatives.at(grid.between).log_sum[:, few]
        error = (self.seen.between.at(grid.between).log_sum - between).abs().max()
        quantiles = torch.tensor(QUANTILES, dtype=torch.float64)
        effective = torch.quantile(found["effective_share"] * self.negatives, quantiles, dim=1)
        return Profile(
            temperature=grid.points,
            exact=grid.exact,
            interpolation_error=float(error),
            curves={name: self._curve(name, values) for name, values in found.items()},
            effective_negatives={
                f"{q:g}": values.tolist() for q, values in zip(QUANTILES, effective, strict=True)
            },
        )

    def reading(self, temperature: float) -> Reading:
        """All figures at one temperature."""
        found = self.quantities([temperature])
        figures = {}
        for name, values in found.items():
            curve = self._curve(name, values)
            figures[name] = Figure(value=curve.mean[0], low=curve.low[0], high=curve.high[0])
        return Reading(
            temperature=temperature,
            figures=figures,
            effective_negatives=float(found["effective_share"].median() * self.negatives),
            negatives_with_90_percent=self._most(temperature),
        )

    def _most(self, temperature: float) -> int | None:
        """The median number of negatives that have 90 % of an anchor's push; None beyond the hardest 100."""
        log_sum = self.seen.negatives.at([temperature]).log_sum[0]
        log_share = self.seen.top_similarity.double() / temperature - log_sum[:, None]
        short = (log_share.exp().cumsum(dim=1) < MOST).sum(dim=1)
        median = int(short.median())
        return median + 1 if median < self.seen.top_similarity.shape[1] else None

    def _top_shares(self, sums: LogSums) -> dict[str, Float[Tensor, "t a"]]:
        hardest = self.seen.top_similarity.double()
        found: dict[str, list[Tensor]] = {f"top{count}": [] for count in COUNTS}
        for tau, log_sum in zip(sums.temperatures, sums.log_sum, strict=True):
            # What underflows takes long, and is nothing.
            shares = (hardest / tau - log_sum[:, None]).float().clamp_min_(SMALLEST).exp_()
            for count in COUNTS:
                found[f"top{count}"].append(shares[:, :count].sum(dim=1))
        return {name: torch.stack(parts) for name, parts in found.items()}

    def _curve(self, name: str, values: Float[Tensor, "t _"]) -> Curve:
        estimated = name == "estimated_false_negative_mass"
        resampling = self.resampling_of_suspects if estimated else self.resampling
        assert resampling is not None
        mean, low, high = (x.tolist() for x in resampling.interval(values))
        return Curve(mean=mean, low=low, high=high)
