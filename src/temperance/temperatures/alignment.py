"""A temperature that looks at how well views agree."""

from jaxtyping import Float
from torch import Tensor

from temperance.contrast import total_over_ranks
from temperance.temperatures.policy import Batch, Policy, checked


class AlignmentAware(Policy):
    r"""A temperature that rises as positives agree (MACL, Huang et al. 2023, arXiv 2207.07874).

    .. math:: \tau = \tau_0\,[1 + \alpha(A - A_0)], \qquad A = \tfrac1n \sum_i s_{ii}

    without gradient through A, for cosine similarity.

    Args:
        base: τ₀.
        strength: α ≥ 0, with α(1 + A₀) < 1, so that τ stays positive.
        reference: A₀ in [-1, 1], the agreement at which τ is τ₀.

    Example:
        >>> import torch
        >>> from temperance import NTXent
        >>> loss = NTXent(temperature=AlignmentAware(0.1))
        >>> _ = loss(torch.eye(4), torch.eye(4))
        >>> loss.temperature.log_line()
        'aligned: τ = 0.15'
    """

    name = "aligned"

    def __init__(self, base: float = 0.1, *, strength: float = 0.5, reference: float = 0.0) -> None:
        super().__init__()
        self.base = checked("temperature", base, 1e-6, 1e6, "a number such as 0.1")
        self.reference = checked("reference", reference, -1, 1, "a cosine, such as 0")
        # Beyond, views that disagree altogether would make the temperature negative.
        highest = 1 / (1 + self.reference + 1e-6)
        self.strength = checked("strength", strength, 0, highest, "a lower one, such as 0.5")

    def temperature(self, batch: Batch) -> Float[Tensor, ""]:
        """τ₀, more by how well the positives of the batch agree."""
        found = batch.positives
        total, count = found.sum(), found.new_tensor(float(len(found)))
        if batch.over_ranks:
            total, count = total_over_ranks(total), total_over_ranks(count)
        return self.base * (1 + self.strength * (total / count - self.reference))
