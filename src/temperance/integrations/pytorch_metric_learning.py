"""In place of ``pytorch_metric_learning.losses``.

Vectors are normalised here, as they are there by default. Where a batch has no positive or no negative pair
the loss is 0, as it is there. Miners and what else a loss may be given there are refused.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from temperance.contrast import SOFTPLUS, Layout, pair_sums
from temperance.errors import InputError
from temperance.losses.inputs import (
    Logits,
    check_vectors,
    check_width,
    checked_temperature,
    logits,
    symmetric_logits,
)

# A log-sum over nothing; softplus and its slope are 0 from far above it.
NOTHING = -1e4


class NTXentLoss(nn.Module):
    r"""Each positive pair against the anchor's negatives, without its other positives.

    With P the pairs of one class and N(i) the vectors of other classes than i's,

    .. math:: L = \frac{1}{|P|} \sum_{(i, p) \in P} -\log \frac{e^{s_{ip}/\tau}}
                  {e^{s_{ip}/\tau} + \sum_{k \in N(i)} e^{s_{ik}/\tau}}

    Neither the matrix nor the list of pairs is ever held.

    Args:
        temperature: τ > 0.
        others: what else the original takes; refused.

    Raises:
        InputError: on ``indices_tuple``, labels that do not fit, and as ``temperance.functional.info_nce``.

    Example:
        >>> import torch
        >>> z = torch.eye(4)[[0, 0, 1, 1]]
        >>> NTXentLoss(temperature=0.5)(z, torch.tensor([0, 0, 1, 1]))
        tensor(0.2395)
    """

    def __init__(self, temperature: float = 0.07, **others: object) -> None:
        super().__init__()
        _refuse(others)
        self.temperature = temperature

    def forward(
        self,
        embeddings: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"],
        indices_tuple: None = None,
        ref_emb: Float[Tensor, "m d"] | None = None,
        ref_labels: Int[Tensor, " m"] | None = None,
    ) -> Float[Tensor, ""]:
        """The loss of one batch.

        Args:
            embeddings: ``(n, d)``, the anchors.
            labels: ``(n,)`` their classes.
            indices_tuple: must be None.
            ref_emb: ``(m, d)`` what the anchors are compared with; without it, one another.
            ref_labels: ``(m,)`` classes of those.
        """
        pairs = _pairs(self.temperature, embeddings, labels, indices_tuple, ref_emb, ref_labels)
        if pairs is None:
            return embeddings.sum() * 0
        space, layout = pairs.space, pairs.same_class
        a, c = space.anchors, space.positions(0)
        apart = replace(layout, sums=pairs.sums, same_class=False)
        log_sum, _ = space.contrast(a.new_zeros(len(a)), apart, target_in_sum=False)
        log_sum = log_sum.masked_fill(~pairs.has_negatives, NOTHING)
        # softplus(log_sum - s/τ) of each pair: one more coordinate makes that a dot product, too.
        wide = torch.cat([-a, log_sum[:, None]], dim=1)
        sums = pair_sums(
            wide, torch.cat([c, c.new_ones(len(c), 1)], dim=1), a.new_zeros(()), layout, SOFTPLUS
        )
        return sums.sum() / pairs.positives.sum()


class SupConLoss(nn.Module):
    r"""SupCon with the sum outside, the mean over anchors that have a positive.

    .. math:: L_i = -\frac{1}{|P|} \sum_{p \in P} \log
                    \frac{e^{s_p/\tau}}{\sum_{a} e^{s_a/\tau}}

    (Khosla et al. 2020, arXiv 2004.11362.) Here no base temperature multiplies the loss.

    Args:
        temperature: τ > 0.
        others: what else the original takes; refused.

    Raises:
        InputError: on ``indices_tuple``, labels that do not fit, and as ``temperance.functional.sup_con``.

    Example:
        >>> import torch
        >>> z = torch.eye(4)[[0, 0, 1, 1]]
        >>> SupConLoss(temperature=0.5)(z, torch.tensor([0, 0, 1, 1]))
        tensor(0.2395)
    """

    def __init__(self, temperature: float = 0.1, **others: object) -> None:
        super().__init__()
        _refuse(others)
        self.temperature = temperature

    def forward(
        self,
        embeddings: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"],
        indices_tuple: None = None,
        ref_emb: Float[Tensor, "m d"] | None = None,
        ref_labels: Int[Tensor, " m"] | None = None,
    ) -> Float[Tensor, ""]:
        """The loss of one batch; arguments as of ``NTXentLoss``."""
        pairs = _pairs(self.temperature, embeddings, labels, indices_tuple, ref_emb, ref_labels)
        if pairs is None:
            return embeddings.sum() * 0
        space, layout = pairs.space, pairs.same_class
        assert layout.anchor_class is not None
        assert layout.candidate_class is not None
        a, c = space.anchors, space.positions(0)
        sums = c.new_zeros(pairs.classes, c.shape[1]).index_add(0, layout.candidate_class, c)
        theirs = sums[layout.anchor_class] - (0 if layout.itself is None else c)
        mean = theirs / pairs.positives.clamp_min(1)[:, None]
        has = (pairs.positives > 0).to(a.dtype)
        loss, _ = space.contrast(
            (a * mean).sum(dim=1),
            Layout(pairs.sums, itself=layout.itself),
            weights=has / has.sum(),
            target_in_sum=False,
        )
        return loss


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Anchors, what they are compared with, and which pairs are of one class.

    Attributes:
        space: their vectors.
        same_class: the layout that keeps the positive pairs.
        classes: how many there are.
        positives: ``(n,)`` how many each anchor has.
        has_negatives: ``(n,)``.
    """

    space: Logits
    same_class: Layout
    classes: int
    positives: Int[Tensor, " n"]
    has_negatives: Bool[Tensor, " n"]

    @property
    def sums(self) -> Literal["rows", "symmetric"]:
        """How all pairs are gone through."""
        return "rows" if self.space.of_candidates else "symmetric"


def _pairs(
    temperature: float,
    embeddings: Tensor,
    labels: Tensor,
    indices_tuple: None,
    ref_emb: Tensor | None,
    ref_labels: Tensor | None,
) -> _Pairs | None:
    """None where there is no positive, or no negative, pair."""
    if indices_tuple is not None:
        raise InputError(
            "indices_tuple is not taken: all pairs of the batch are; leave the miner out, or keep "
            "pytorch-metric-learning's own loss"
        )
    check_vectors("embeddings", embeddings)
    tau = checked_temperature(temperature, embeddings, 0)
    anchors = {"embeddings": embeddings}
    known = compared = _classes("labels", labels, embeddings)
    if ref_emb is None:
        space = symmetric_logits("cosine", tau, anchors, "auto")
    else:
        check_width("ref_emb", ref_emb, embeddings)
        space = logits("cosine", tau, anchors, {"ref_emb": ref_emb})
        compared = _classes("ref_labels", ref_labels, ref_emb)
    names, groups = torch.unique(torch.cat([known, compared]), return_inverse=True)
    mine, theirs = groups[: len(known)], groups[len(known) :]
    members = torch.bincount(theirs, minlength=len(names))[mine]
    itself = ref_emb is None
    positives, has_negatives = members - int(itself), members < len(theirs)
    if not bool((positives > 0).any() and has_negatives.any()):
        return None
    own = torch.arange(len(mine), device=mine.device) if itself else None
    layout = Layout(itself=own, anchor_class=mine, candidate_class=theirs, same_class=True)
    return _Pairs(space, layout, len(names), positives, has_negatives)


def _classes(name: str, labels: Tensor | None, vectors: Tensor) -> Tensor:
    if labels is None or labels.shape != vectors.shape[:1]:
        shape = None if labels is None else tuple(labels.shape)
        raise InputError(
            f"{name} have shape {shape}; give one for each of the {len(vectors)} vectors"
        )
    return labels.to(vectors.device)


def _refuse(others: dict[str, object]) -> None:
    if others:
        raise InputError(
            f"{', '.join(others)} cannot be set here; leave out, or keep pytorch-metric-learning's own loss"
        )
