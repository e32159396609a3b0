"""Temperatures that are a function of the similarity: what stands between a similarity and its logit."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from temperance.contrast import Elementwise
from temperance.errors import InputError
from temperance.temperatures.policy import Batch, Policy, checked_range


class _Linked(Policy):
    """Similarities are not divided by a number: the link does it all."""

    looks_at_batch = False

    def temperature(self, batch: Batch) -> Float[Tensor, ""]:
        """1: the link has made logits of the similarities."""
        return self._scalar(batch, 1.0)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """1: the link has made logits of the similarities."""
        return self.temperature(batch)

    def log_line(self) -> str:
        """What stands for the temperature at right angles, where most negatives lie."""
        return f"{self.name}: τ = {self.last:.4g} at right angles"

    def _tell(self, link: Elementwise) -> None:
        self.link = link
        self.last = 1 / float(link.slope(torch.zeros((), dtype=torch.float64)))


class Pairwise(_Linked):
    r"""A temperature for each pair, low for pairs at right angles (DySTreSS, arXiv 2308.01140).

    .. math:: \ell = s / \tau(s), \qquad
              \tau(s) = \tau_{min} + \tfrac12 (\tau_{max} - \tau_{min})\big(1 + \cos \pi(1 + s)\big)

    Very similar pairs, false negatives among them, get the high temperature and are pushed softly. For cosine
    similarity.

    Args:
        lowest: τmin, at s = 0.
        highest: τmax, at s = ±1.
        through: whether the gradient flows through τ(s), too.

    Raises:
        InputError: if the two are so far apart that a pair that comes nearer would have a lower logit.

    Example:
        >>> from temperance import NTXent
        >>> z = torch.eye(4)
        >>> NTXent(temperature=Pairwise(0.07, 0.2))(z, z)
        tensor(0.0396)
    """

    name = "pairwise"

    def __init__(
        self, lowest: float = 0.07, highest: float = 0.2, *, through: bool = False
    ) -> None:
        super().__init__()
        low, high = checked_range(lowest, highest)
        half = (high - low) / 2

        def tau(s: Tensor) -> Tensor:
            # 1 + cos π(1+s) = 1 - cos πs
            return low + half * (1 - torch.cos(math.pi * s))

        def true_slope(s: Tensor) -> Tensor:
            t = tau(s)
            return (t - s * half * math.pi * torch.sin(math.pi * s)) / t.square()

        grid = torch.linspace(-1, 1, 2001, dtype=torch.float64)
        if float(true_slope(grid).min()) < 0:
            raise InputError(
                f"with temperatures from {low:g} to {high:g} a pair that comes nearer gets a lower "
                f"logit; give a highest temperature below {_highest(low):.2g}"
            )
        self._tell(
            Elementwise(lambda s: s / tau(s), true_slope if through else lambda s: 1 / tau(s))
        )


def _highest(low: float) -> float:
    """The highest τmax at which logits still rise with the similarity: τ ≥ s τ'(s) everywhere."""
    s = torch.linspace(0, 1, 2001, dtype=torch.float64)
    # low + h (1 - cos πs) - s h π sin πs ≥ 0
    factor = float((1 - torch.cos(math.pi * s) - s * math.pi * torch.sin(math.pi * s)).min())
    return low - 2 * low / factor


class TemperatureFree(_Linked):
    r"""No temperature: :math:`\ell = \log\frac{1 + s}{1 - s} = 2\,\mathrm{artanh}\,s` (arXiv 2501.17683).

    For cosine similarity, which is kept away from ±1 by 10⁻⁶: logits lie between -14.5 and 14.5.

    Example:
        >>> from temperance import NTXent
        >>> NTXent(temperature=TemperatureFree())(torch.eye(4), torch.eye(4))
        tensor(3.0398e-06)
    """

    name = "free"

    def __init__(self) -> None:
        super().__init__()

        def kept(s: Tensor) -> Tensor:
            return s.clamp(-1 + EDGE, 1 - EDGE)

        self._tell(
            Elementwise(lambda s: 2 * torch.atanh(kept(s)), lambda s: 2 / (1 - kept(s).square()))
        )


EDGE = 1e-6
