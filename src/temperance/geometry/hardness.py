"""What the loss pushes on: how the temperature shares the push out among an anchor's negatives."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from temperance.errors import InputError
from temperance.geometry.vectors import blocks, unit


def relative_penalty(
    similarities: Float[Tensor, "*n k"], temperature: float
) -> Float[Tensor, "*n k"]:
    r"""How the push is shared out among negatives: :math:`r_j = e^{s_j/\tau} / \sum_k e^{s_k/\tau}`.

    Wang & Liu, CVPR 2021, arXiv 2012.09740. The shares of an anchor sum to 1; the lower τ, the more of it
    falls on the most similar negatives.

    Args:
        similarities: ``(..., k)``, an anchor's similarities to its negatives in the last dimension.
        temperature: τ > 0.

    Example:
        >>> import torch
        >>> relative_penalty(torch.tensor([0.9, 0.5, 0.1]), 0.2)
        tensor([0.8668, 0.1173, 0.0159])
    """
    return torch.softmax(similarities / temperature, dim=-1)


def effective_negatives(
    similarities: Float[Tensor, "*n k"], temperature: float
) -> Float[Tensor, "*n"]:
    r"""How many negatives share the push: :math:`\exp(-\sum_j r_j \log r_j)`, in [1, k].

    The exponential of the entropy of ``relative_penalty``: k when all count alike (τ → ∞), the number of
    hardest negatives when only those count (τ → 0). It grows with τ.

    Args:
        similarities: ``(..., k)``.
        temperature: τ > 0.

    Example:
        >>> import torch
        >>> effective_negatives(torch.zeros(8), 0.1)
        tensor(8.0000)
    """
    shares = relative_penalty(similarities, temperature)
    counts: Tensor = torch.special.entr(shares).sum(dim=-1).exp()
    return counts


@dataclass(frozen=True)
class Hardness:
    """What ``hardness`` measures for each anchor.

    Attributes:
        positive_similarity: ``(n,)`` cosine to the anchor's own positive.
        top_similarity: ``(n, top)`` cosines to the hardest negatives, hardest first.
        top_index: ``(n, top)`` their row numbers.
        top_share: ``(n, top)`` the share of the push on each.
        effective_negatives: ``(n,)`` how many negatives share the push.
        false_negative_mass: ``(n,)`` share of the push on negatives of the anchor's class; None without
            labels.
        hits: ``(n,)`` whether the positive is more similar than every negative (pretext accuracy).
    """

    positive_similarity: Float[Tensor, " n"]
    top_similarity: Float[Tensor, "n top"]
    top_index: Int[Tensor, "n top"]
    top_share: Float[Tensor, "n top"]
    effective_negatives: Float[Tensor, " n"]
    false_negative_mass: Float[Tensor, " n"] | None
    hits: Float[Tensor, " n"]


def hardness(
    anchors: Float[Tensor, "n d"],
    positives: Float[Tensor, "n d"],
    temperature: float,
    labels: Int[Tensor, " n"] | None = None,
    top: int = 10,
) -> Hardness:
    """Each anchor's positive, hardest negatives and shares of the push, block by block.

    The negatives of anchor i are the positives of all other anchors.

    Args:
        anchors: ``(n, d)``, one view of each instance.
        positives: ``(n, d)``, the other, in the same order.
        temperature: τ > 0.
        labels: ``(n,)`` class numbers, for the false-negative mass.
        top: how many of the hardest negatives to name; at most n - 1 are.

    Raises:
        InputError: on shapes that differ or rows without a direction.

    Example:
        >>> import torch
        >>> h = hardness(torch.eye(4), torch.eye(4), 0.5, torch.tensor([0, 0, 1, 1]), top=1)
        >>> h.effective_negatives[0], h.false_negative_mass[0]
        (tensor(3.), tensor(0.3333))
    """
    _check(anchors, positives, temperature)
    if top < 1:
        raise InputError(f"top {top} names no negative; give 1 or more")
    a, p = unit(anchors), unit(positives)
    n = len(a)
    top = min(top, n - 1)
    own = (a * p).sum(dim=1)
    parts: list[tuple[Tensor, ...]] = []
    for rows in blocks(n, n):
        similarity = a[rows] @ p.T
        similarity.diagonal(offset=rows.start).fill_(float("-inf"))
        share = relative_penalty(similarity, temperature)
        hardest = similarity.topk(top, dim=1)
        false_share = (
            (share * (labels[rows, None] == labels)).sum(dim=1) if labels is not None else own[:0]
        )
        parts.append(
            (
                hardest.values,
                hardest.indices,
                share.gather(1, hardest.indices),
                torch.special.entr(share).sum(dim=1).exp(),
                false_share,
            )
        )
    values, indices, shares, effective, false_mass = (
        torch.cat(x) for x in zip(*parts, strict=True)
    )
    return Hardness(
        positive_similarity=own,
        top_similarity=values,
        top_index=indices,
        top_share=shares,
        effective_negatives=effective,
        false_negative_mass=false_mass if labels is not None else None,
        hits=(own > values[:, 0]).to(own.dtype),
    )


def push_by_similarity(
    anchors: Float[Tensor, "n d"],
    positives: Float[Tensor, "n d"],
    temperature: float,
    bins: int = 40,
) -> Float[Tensor, " bins"]:
    """The share of the whole push that falls on negatives of each similarity.

    Args:
        anchors: ``(n, d)``, one view of each instance.
        positives: ``(n, d)``, the other; the negatives of anchor i are the positives of the others.
        temperature: τ > 0.
        bins: equal bins from cosine -1 to 1.

    Returns:
        ``(bins,)`` shares that sum to 1.

    Example:
        >>> import torch
        >>> push_by_similarity(torch.eye(3), torch.eye(3), 0.1, bins=4)
        tensor([0., 0., 1., 0.])
    """
    _check(anchors, positives, temperature)
    a, p = unit(anchors), unit(positives)
    total = a.new_zeros(bins)
    for rows in blocks(len(a), len(a)):
        similarity = a[rows] @ p.T
        bin_of = ((similarity + 1) * (bins / 2)).long().clamp_(0, bins - 1)
        similarity.diagonal(offset=rows.start).fill_(float("-inf"))
        share = relative_penalty(similarity, temperature)
        total.index_add_(0, bin_of.flatten(), share.flatten())
    return total / len(a)


def _check(anchors: Tensor, positives: Tensor, temperature: float) -> None:
    if anchors.shape != positives.shape:
        raise InputError(
            f"anchors have shape {tuple(anchors.shape)} and positives {tuple(positives.shape)}; "
            "give one positive for each anchor"
        )
    if not temperature > 0:
        raise InputError(f"temperature {temperature:g} is not positive; give a number such as 0.1")
