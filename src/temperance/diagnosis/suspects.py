"""Negatives that may be none: of the anchor's class, or neighbours that choose each other."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from temperance.diagnosis.inputs import Given
from temperance.diagnosis.streaming import Anchors, Seen, counts_above

NEIGHBOURS = 10
# Similarities of which so many are compared again, to see whom an anchor's neighbours choose.
AFFORDED = 1 << 28
FEWEST_QUERIES = 512
# Two orders of summation give similarities that differ by less.
ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Suspects:
    """Which of the hardest negatives of some anchors are thought to be false.

    Attributes:
        anchors: ``(e,)`` numbers among the anchors.
        false: ``(e, k)`` of the k hardest negatives, hardest first.
        known: whether labels say so; otherwise it is an estimate.
    """

    anchors: Int[Tensor, " e"]
    false: Bool[Tensor, "e k"]
    known: bool


def by_class(given: Given, index: Int[Tensor, " a"], seen: Seen) -> Suspects | None:
    """Those of the anchor's class; None where the classes of the negatives are not known."""
    if given.classes is None or given.negatives is not None:
        return None
    hardest = seen.top_index[:, :NEIGHBOURS]
    false = given.classes[hardest] == given.classes[index][:, None]
    return Suspects(torch.arange(len(index)), false, known=True)


def by_mutual_neighbours(
    given: Given,
    index: Int[Tensor, " a"],
    seen: Seen,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Suspects | None:
    """Those among an anchor's ten nearest that have the anchor among their own ten nearest.

    That two points choose each other is a sign of kinship, no proof of it: random points do so, too. None
    where
    the negatives stand apart and have no neighbours to choose.

    Args:
        given: what is diagnosed.
        index: ``(a,)`` rows of the anchors.
        seen: what they have seen.
        on_rows: called with how many rows have passed since the last call.
    """
    if given.negatives is not None:
        return None
    similarity = seen.top_similarity[:, :NEIGHBOURS]
    k = similarity.shape[1]
    queries = max(FEWEST_QUERIES, AFFORDED // len(given.x))
    generator = torch.Generator().manual_seed(0)
    some = torch.randperm(len(index), generator=generator)[: max(1, queries // k)]
    neighbours = seen.top_index[some, :k].flatten()
    nearer = counts_above(
        Anchors(given.candidates.take(neighbours), own=neighbours),
        similarity[some].flatten() + ROUNDING,
        given.x,
        on_rows,
    )
    return Suspects(some, (nearer < k).view(-1, k), known=False)


def mass(
    suspects: Suspects,
    seen: Seen,
    temperatures: Float[Tensor, " t"],
    log_sum: Float[Tensor, "t a"],
) -> Float[Tensor, "t e"]:
    """The share of the push on suspects, at each temperature."""
    similarity = seen.top_similarity[suspects.anchors, : suspects.false.shape[1]].double()
    log_share = similarity / temperatures[:, None, None] - log_sum[:, suspects.anchors][:, :, None]
    return (log_share.exp() * suspects.false).sum(dim=2)
