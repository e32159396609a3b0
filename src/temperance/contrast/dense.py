"""The equation over the whole matrix: the oracle of the tests, and the quick way for small ones."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from temperance.contrast.layout import Candidates, Layout

# softplus(x) returns x itself above its threshold: exact only where e^-x is below the rounding of x.
NO_THRESHOLD = 40.0


def dense_contrast(
    anchors: Float[Tensor, "n d"],
    candidates: Candidates,
    target: Float[Tensor, " n"] | None,
    layout: Layout,
    *,
    target_in_sum: bool = True,
) -> tuple[Float[Tensor, " k"], Float[Tensor, " n"], list[Float[Tensor, "n m"]]]:
    """Each anchor's loss by its definition and by plain automatic differentiation.

    Arguments and losses are those of ``contrast``, without weights.

    Returns:
        The losses; the logits of the positives; and the matrix of logits with what is no negative at -inf,
        and under ``"both"`` its transpose.
    """
    logits = anchors @ candidates.joined(anchors.dtype).T
    if layout.link is not None:
        logits = layout.link(logits)
    if target is None:
        assert layout.own is not None
        target = logits.gather(1, layout.own[:, None]).squeeze(1)
    negatives = logits.clone()
    layout.block(slice(0, len(anchors))).leave_out(negatives, slice(0, len(candidates)))
    sides = [negatives, negatives.T] if layout.sums == "both" else [negatives]
    margins = torch.cat([log_sum_of_rows(side) - target for side in sides])
    losses = softplus(margins, threshold=NO_THRESHOLD) if target_in_sum else margins
    return losses, target, sides


def log_sum_of_rows(logits: Tensor) -> Tensor:
    """Over rows; -inf, and no gradient, where nothing is left (there logsumexp has the gradient nan)."""
    empty = (logits == float("-inf")).all(dim=1)
    sums = logits.masked_fill(empty[:, None], 0.0).logsumexp(dim=1)
    return sums.masked_fill(empty, float("-inf"))
