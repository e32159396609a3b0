"""One space at several temperatures: one matrix product, a loss and statistics for each τ."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from temperance.contrast import LOG2_E, in_threads, workers_for
from temperance.errors import InputError
from temperance.losses.inputs import check_pair, check_width, checked_temperature, positions

# Numbers of a block of whole rows of similarities, which one matrix product makes.
BLOCK = 1 << 20
# Of so many at a time everything else is computed: they stay in a core's cache from one τ to the next.
CACHED = 1 << 17


@dataclass(frozen=True, eq=False)
class Temperatures:
    """A space as InfoNCE sees it at each of several temperatures; without gradients.

    Attributes:
        temperatures: ``(t,)``.
        loss: ``(t, n)`` in nats.
        effective_negatives: ``(t, n)`` among how many negatives the push is shared.
        mean_similarity: ``(t, n)`` of the negatives, each counted by its share of the push.
        pull: ``(t, n)`` the force on the positive, (1 - P)/τ, which is also the sum of all pushes.
        slope: ``(t, n)`` of the loss in τ.
        positive_similarity: ``(n,)``.
        hardest_negative: ``(n,)`` similarity of the most similar negative.
    """

    temperatures: Float[Tensor, " t"]
    loss: Float[Tensor, "t n"]
    effective_negatives: Float[Tensor, "t n"]
    mean_similarity: Float[Tensor, "t n"]
    pull: Float[Tensor, "t n"]
    slope: Float[Tensor, "t n"]
    positive_similarity: Float[Tensor, " n"]
    hardest_negative: Float[Tensor, " n"]


@torch.no_grad()
def at_temperatures(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "n d"],
    negatives: Float[Tensor, "k d"] | None = None,
    *,
    temperatures: Sequence[float],
) -> Temperatures:
    r"""InfoNCE of one space at several temperatures, from cosine similarities computed once.

    For each query, with its negatives' shares :math:`r_k \propto e^{s_k/\tau}` and
    :math:`P = e^{s^+/\tau}/(e^{s^+/\tau} + \sum_k e^{s_k/\tau})`, the loss :math:`-\log P`, the effective
    negatives :math:`\exp H(r)`, the pull :math:`(1-P)/\tau`, and the slope
    :math:`\partial L/\partial\tau = (1-P)(s^+ - \sum_k r_k s_k)/\tau^2` (Wang & Liu, CVPR 2021,
    arXiv 2012.09740).

    Args:
        queries: ``(n, d)``.
        keys: ``(n, d)``; row i is the positive of query i.
        negatives: ``(k, d)``; without them the other keys of the batch.
        temperatures: each τ > 0.

    Raises:
        InputError: as ``info_nce``, or if no temperatures are given.

    Example:
        >>> import torch
        >>> seen = at_temperatures(torch.eye(4), torch.eye(4), temperatures=[0.5, 1.0])
        >>> seen.loss.mean(dim=1)
        tensor([0.3408, 0.7437])
        >>> seen.effective_negatives[0]
        tensor([3., 3., 3., 3.])
    """
    check_pair("queries", queries, "keys", keys)
    if negatives is not None:
        check_width("negatives", negatives, queries)
    if len(temperatures) == 0:
        raise InputError("no temperatures given; give some, such as [0.05, 0.1, 0.2]")
    taus = torch.stack([checked_temperature(t, queries, 0) for t in temperatures])
    q, k = positions("cosine", "queries", queries), positions("cosine", "keys", keys)
    others = k if negatives is None else positions("cosine", "negatives", negatives)
    n, m = len(q), len(others)
    totals, products = q.new_empty(2, len(taus), n).unbind()
    hardest = q.new_empty(n)
    few = max(1, min(CACHED // m, n))
    height = few * max(1, min(256, BLOCK // m) // few)
    cut = [torch.split(x, few, dim=-1) for x in (totals, products, hardest)]
    scales = (LOG2_E / taus).unbind()

    def work(worker: int, workers: int) -> None:
        block = q.new_empty(height, m)
        kept, shares = q.new_empty(2, few, m).unbind()
        for top in range(worker * height, n, workers * height):
            rows = slice(top, min(top + height, n))
            here = block[: rows.stop - rows.start]
            torch.mm(q[rows], others.T, out=here)
            if negatives is None:
                here.diagonal(top).fill_(-torch.inf)
            for number, some in enumerate(torch.split(here, few), start=top // few):
                into, weighted, largest = (x[number] for x in cut)
                # The largest similarity is the same at every temperature: one shift serves them all.
                torch.amax(some, dim=1, out=largest)
                some -= largest.nan_to_num(neginf=0.0)[:, None]
                # What is no negative has the share 0, and its product with that must be 0, not nan.
                finite = torch.clamp_min(some, LOWEST, out=kept[: len(some)])
                for scale, total, product in zip(
                    scales, into.unbind(), weighted.unbind(), strict=True
                ):
                    part = torch.mul(some, scale, out=shares[: len(some)]).exp2_()
                    torch.sum(part, dim=1, out=total)
                    torch.sum(part.mul_(finite), dim=1, out=product)

    in_threads(work, workers_for(n * m, q.device), q.device)
    base = hardest.nan_to_num(neginf=0.0)
    log_sum = totals.log() + base / taus[:, None]
    mean = products / totals + base
    positive = (q * k).sum(dim=1)
    t = taus[:, None]
    alone = hardest == -torch.inf  # a query without negatives
    log_sum.masked_fill_(alone, -torch.inf)
    mean.masked_fill_(alone, 0.0)
    margin = log_sum - positive / t
    pull = torch.sigmoid(margin) / t
    entropy = (log_sum - mean / t).clamp_min(0)
    return Temperatures(
        temperatures=taus,
        loss=softplus(margin, threshold=40.0),
        effective_negatives=entropy.exp(),
        mean_similarity=mean,
        pull=pull,
        slope=pull * (positive - mean) / t,
        positive_similarity=positive,
        hardest_negative=hardest,
    )


# No difference of cosines is lower.
LOWEST = -3.0
