"""What a loss tells of the space beside its value."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from temperance.contrast import Elementwise, Statistics
from temperance.geometry import uniformity

# So many rows, evenly spread, stand for all in what is estimated from pairs.
SAMPLE = 256
BINS = 64


@dataclass(frozen=True, eq=False)
class LossStatistics:
    """Each anchor's negatives at this temperature; no gradient flows through any of it.

    The anchors are those of the loss: under CLIP the images first and then the texts.

    Attributes:
        positive_similarity: ``(n,)`` similarity of each anchor and its positive.
        hardest_negative: ``(n,)`` similarity of its most similar negative.
        entropy: ``(n,)`` of the shares of the push, in nats.
        effective_negatives: ``(n,)`` among how many negatives the push is shared, exp(entropy); 0 of none.
        false_negative_mass: ``(n,)`` share of the push on negatives of the anchor's class; None without
            labels.
        uniformity: log mean Gaussian potential of at most 256 anchors (Wang & Isola 2020).
        histogram: ``(64,)`` shares of the cosines of such anchors to candidates, in equal bins from -1 to 1.
    """

    positive_similarity: Float[Tensor, " n"]
    hardest_negative: Float[Tensor, " n"]
    entropy: Float[Tensor, " n"]
    effective_negatives: Float[Tensor, " n"]
    false_negative_mass: Float[Tensor, " n"] | None
    uniformity: float
    histogram: Float[Tensor, " 64"]


@torch.no_grad()
def read(
    found: Statistics,
    tau: Tensor,
    link: Elementwise | None,
    anchors: Sequence[Tensor],
    candidates: Sequence[Tensor],
    same_class: Float[Tensor, " n"] | None = None,
) -> LossStatistics:
    """Bring what the engine found to similarities, and add what a sample of pairs tells.

    Args:
        found: in logits.
        tau: what similarities were divided by.
        link: what made logits of them, or None where dividing did.
        anchors: as the user gave them, in parts.
        candidates: the same.
        same_class: log of the sum of exponentials over negatives of the anchor's class, or None.
    """
    sides = [found.rows] if found.columns is None else [found.rows, found.columns]
    log_sum, mean, largest = (
        torch.cat([getattr(side, name) for side in sides])
        for name in ("log_sum", "mean_logit", "largest")
    )
    some = log_sum > float("-inf")  # negatives at all
    target = found.target.repeat(len(sides))
    back = (lambda x: x * tau) if link is None else link.inverse
    entropy = (log_sum - mean).clamp_min(0)
    shown, compared = (normalize(_sample(x).float(), dim=1) for x in (anchors, candidates))
    with torch.autocast(shown.device.type, enabled=False):
        cosines = (shown @ compared.T).clamp_(-1, 1)  # rounding may go beyond
    return LossStatistics(
        positive_similarity=back(target),
        hardest_negative=back(largest),
        entropy=entropy,
        effective_negatives=entropy.exp().where(some, 0.0),
        false_negative_mass=(
            None if same_class is None else (same_class - log_sum).exp().where(some, 0.0)
        ),
        uniformity=_uniformity(shown),
        histogram=torch.histc(cosines, BINS, -1, 1) / cosines.numel(),
    )


def _sample(parts: Sequence[Tensor]) -> Tensor:
    """Rows of all parts, evenly spread, without a copy of them all."""
    total = sum(map(len, parts))
    rows = torch.linspace(0, total - 1, min(total, SAMPLE), dtype=torch.float64).long()
    taken, start = [], 0
    for x in parts:
        here = rows[(rows >= start) & (rows < start + len(x))] - start
        taken.append(x.detach()[here.to(x.device)])
        start += len(x)
    return torch.cat(taken)


def _uniformity(directions: Tensor) -> float:
    """Of the rows that have a direction; nan for fewer than two."""
    kept = directions[directions.norm(dim=1) > 0]
    if len(kept) < 2:
        return float("nan")
    with torch.autocast(kept.device.type, enabled=False):
        return uniformity(kept)
