"""How sure a mean over sampled anchors is of the mean over all of them."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

RESAMPLINGS = 1000
# Of all samples, so many have the true mean inside their interval.
CONFIDENCE = 0.95


class Resampling:
    """Draws anchors with replacement, again and again; the same draws serve every quantity.

    Args:
        sampled: how many anchors were drawn, without replacement.
        population: from how many. Where all were drawn, the intervals are points.
        seed: of the draws.

    Example:
        >>> import torch
        >>> Resampling(4, population=4).interval(torch.tensor([1.0, 2.0, 3.0, 4.0]))
        (tensor(2.5000, dtype=torch.float64), tensor(2.5000, dtype=torch.float64), ...
    """

    def __init__(self, sampled: int, population: int, seed: int = 0) -> None:
        self._left_out = math.sqrt(max(0.0, 1 - sampled / population))
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(sampled, (RESAMPLINGS, sampled), generator=generator)
        weights = torch.zeros(RESAMPLINGS, sampled, dtype=torch.float64)
        one = torch.ones((), dtype=torch.float64)
        self._weights = weights.scatter_add_(1, drawn, one.expand_as(drawn)) / sampled

    def interval(
        self, values: Float[Tensor, "*t a"]
    ) -> tuple[Float[Tensor, "*t"], Float[Tensor, "*t"], Float[Tensor, "*t"]]:
        """The mean over anchors, and the ends of its interval.

        Args:
            values: ``(..., a)``, one for each anchor.
        """
        mean = values.double().mean(dim=-1)
        tail = (1 - CONFIDENCE) / 2
        ends = torch.tensor([tail, 1 - tail], dtype=torch.float64)
        means = values.double() @ self._weights.T
        low, high = torch.quantile(means, ends, dim=-1)
        # A sample that is a good part of all anchors knows that part exactly.
        return mean, mean + self._left_out * (low - mean), mean + self._left_out * (high - mean)
