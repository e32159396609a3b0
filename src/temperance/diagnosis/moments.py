"""Sums over similarities at several temperatures, taken as the similarities come by.

For each anchor and τ five sums are kept: Σ e^{s/τ}, and with that as a weight those of s to s⁴. They give the
log of the sum and its first four derivatives in log τ. Between two temperatures stands the polynomial that
meets all five at both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from temperance.contrast import LOG2_E

# The similarity of what does not count. Its exponential is nothing at any τ, and neither is its fourth power
# times that.
LEFT_OUT = -1e5
# Below this an exponential is nothing beside that of the most similar, which is 1; float32 would lose
# much time on it.
SMALLEST = -80.0
# The sum itself and its derivatives.
ORDER = 5
# No cosine is lower.
LOWEST = -2.0
# Rows and columns of similarities that are worked on at a time. Smaller tiles would stay in a core's cache,
# and lose more by threads that wait for Python's lock between operations.
HEIGHT, WIDTH = 64, 2048


class Moments:
    """Running sums; each thread adds to rows of its own.

    Args:
        anchors: how many.
        temperatures: each τ > 0, rising.
    """

    def __init__(self, anchors: int, temperatures: Sequence[float]) -> None:
        self._slopes = 1 / torch.tensor(temperatures, dtype=torch.float64)
        self._base = torch.full((anchors,), LOWEST, dtype=torch.float64)
        self._sums = torch.zeros(anchors, len(temperatures), ORDER, dtype=torch.float64)

    def add(
        self,
        rows: slice,
        similarities: Float[Tensor, "h w"],
        spare: "Spare",
        largest: Float[Tensor, " h"] | None = None,
    ) -> None:
        """Add similarities of some anchors; those of ``LEFT_OUT`` do not count.

        Args:
            rows: which anchors.
            similarities: of them.
            spare: memory of this thread.
            largest: the largest similarity of each, if it is known.
        """
        largest = similarities.amax(dim=1) if largest is None else largest
        tops = torch.clamp_min(largest, LOWEST).double()
        base = torch.maximum(self._base[rows], tops)
        sums = self._moved(self._sums[rows], base - self._base[rows])
        self._base[rows] = base
        h, w = similarities.shape
        slopes = self._slopes.float()[:, None]
        # Cosines differ by 2 at most, so that at a higher τ nothing is so small.
        steep = int((2 * slopes > -SMALLEST).sum())
        # Exponentials are taken as powers of two, as ``contrast`` takes them.
        bits = LOG2_E * slopes
        for top in range(0, h, HEIGHT):
            for left in range(0, w, WIDTH):
                inside = slice(top, min(top + HEIGHT, h))
                tile = similarities[inside, left : left + WIDTH]
                powers, weights = spare(len(slopes), *tile.shape)
                torch.sub(tile, base[inside, None].float(), out=powers[:, 1])
                for i in range(2, ORDER):
                    torch.mul(powers[:, i - 1], powers[:, 1], out=powers[:, i])
                torch.mul(powers[:, 1:2], bits, out=weights)
                weights[:, :steep].clamp_min_(LOG2_E * SMALLEST)
                weights.exp2_()
                sums[inside] += torch.bmm(weights, powers.transpose(1, 2))
        self._sums[rows] = sums

    def _moved(self, sums: Tensor, rise: Tensor) -> Tensor:
        """The sums so far, relative to a base that has risen, by the binomial theorem."""
        rise = rise[:, None]
        parts = []
        for i in range(ORDER):
            part = sums[:, :, i].clone()
            for j in range(i):
                part += math.comb(i, j) * (-rise) ** (i - j) * sums[:, :, j]
            parts.append(part)
        return torch.stack(parts, dim=2) * torch.exp(-rise * self._slopes)[:, :, None]

    def at(self, temperatures: Sequence[float]) -> "LogSums":
        """What the sums come to, between the temperatures that they were taken at, too."""
        total = self._sums[:, :, 0]
        # The most similar counts 1, so less than that is what is left of those that do not count.
        empty = total[:, :1] < 0.5
        share = 1 / total.where(total > 0, torch.ones_like(total))
        m1, m2, m3, m4 = (self._sums[:, :, i] * share for i in range(1, ORDER))
        # Derivatives of log Σ in 1/τ are cumulants; those in log τ follow by the chain rule.
        b = self._slopes
        c1 = b * m1
        c2 = b**2 * (m2 - m1**2)
        c3 = b**3 * (m3 - 3 * m2 * m1 + 2 * m1**3)
        c4 = b**4 * (m4 - 4 * m3 * m1 - 3 * m2**2 + 12 * m2 * m1**2 - 6 * m1**4)
        known = (
            total.log().masked_fill(empty, 0.0),
            -c1,
            c1 + c2,
            -c1 - 3 * c2 - c3,
            c1 + 7 * c2 + 6 * c3 + c4,
        )
        wanted = torch.tensor(temperatures, dtype=torch.float64)
        g, slope = _hermite(-b.log(), known, wanted.log())
        base = self._base[:, None]
        return LogSums(
            temperatures=wanted,
            log_sum=(g + base / wanted).masked_fill(empty, -torch.inf).T,
            mean=(base - wanted * slope).masked_fill(empty, 0.0).T,
            entropy=(g + slope).clamp_min(0).masked_fill(empty, 0.0).T,
            largest=self._base.masked_fill(empty[:, 0], -torch.inf),
        )


@dataclass(frozen=True, eq=False)
class LogSums:
    """What similarities come to at each of several temperatures.

    Attributes:
        temperatures: ``(t,)``.
        log_sum: ``(t, n)`` log Σ e^{s/τ}; -inf where nothing counts.
        mean: ``(t, n)`` of the similarities, each counted by its share.
        entropy: ``(t, n)`` of the shares, in nats.
        largest: ``(n,)`` similarity.
    """

    temperatures: Float[Tensor, " t"]
    log_sum: Float[Tensor, "t n"]
    mean: Float[Tensor, "t n"]
    entropy: Float[Tensor, "t n"]
    largest: Float[Tensor, " n"]


class Spare:
    """Memory of one thread for the tiles that it works on, used again and again."""

    def __init__(self) -> None:
        self._powers = self._weights = torch.empty(0)

    def __call__(self, temperatures: int, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Room for the powers of s in a tile, ``(h, 5, w)``, and for its exponentials, ``(h, t, w)``."""
        if self._weights.shape != (height, temperatures, width):
            self._powers = torch.ones(height, ORDER, width)
            self._weights = torch.empty(height, temperatures, width)
        return self._powers, self._weights


def _hermite(
    nodes: Float[Tensor, " t"], known: Sequence[Float[Tensor, "n t"]], wanted: Float[Tensor, " w"]
) -> tuple[Float[Tensor, "n w"], Float[Tensor, "n w"]]:
    """Value and slope of the piecewise polynomial with the known value and derivatives at the nodes."""
    left = (torch.searchsorted(nodes, wanted, right=True) - 1).clamp(0, len(nodes) - 2)
    step = nodes[left + 1] - nodes[left]
    x = (wanted - nodes[left]) / step
    order = len(known)
    start, end = (
        torch.stack([k[:, left + side] * step**i for i, k in enumerate(known)]) for side in (0, 1)
    )
    # How derivative i at x = 1 depends on coefficient j.
    falling = torch.tensor(
        [[float(math.perm(j, i)) for j in range(2 * order)] for i in range(order)],
        dtype=torch.float64,
    )
    lower = start / falling.diagonal()[:, None, None]
    left_over = end - torch.einsum("ij,jnw->inw", falling[:, :order], lower)
    upper = torch.einsum("ij,jnw->inw", torch.linalg.inv(falling[:, order:]), left_over)
    coefficients = torch.cat([lower, upper])
    value, slope = torch.zeros_like(start[0]), torch.zeros_like(start[0])
    for coefficient in coefficients.flip(0):
        slope = slope * x + value
        value = value * x + coefficient
    return value, slope / step
