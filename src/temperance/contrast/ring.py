"""The same loss over the vectors of all ranks: candidates travel round, and no rank holds them all.

Each rank has anchors and candidates of its own. The candidates go round the ring twice: once to collect the
sums, once more, with the sums at hand, to collect their gradients and bring them home. What a rank holds is
its own vectors and one block of another's.

What each rank's backward pass leaves is the gradient of the *sum* of all ranks' losses. A loss should carry
the weights ``W · w_i / Σ w`` (W ranks, the sum over all of them): where DistributedDataParallel averages over
ranks, the average is then the loss of the whole batch, and so is its gradient.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from temperance.contrast.dense import NO_THRESHOLD
from temperance.contrast.layout import Candidates, Layout
from temperance.contrast.tiled import gradients, log_sums, merge

# How long the vectors of other ranks are is not known, so no bound of the logits is.
SHIFTED = True


def ranks() -> int:
    """How many processes share a batch; 1 where none have found together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def total_over_ranks(x: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The sum of one number over all ranks."""
    total = x.detach().clone()
    if ranks() > 1:
        dist.all_reduce(total)
    return total


def ring_contrast(
    anchors: Float[Tensor, "n d"],
    candidates: Float[Tensor, "n d"],
    layout: Layout,
    *,
    target_in_sum: bool,
) -> Float[Tensor, " k"]:
    """Each anchor's loss with the candidates of all ranks as negatives.

    Args:
        anchors: ``(n, d)`` of this rank; ranks may differ in n.
        candidates: ``(n, d)`` of this rank, among them the anchors' positives.
        layout: of this rank's anchors and candidates; all of the other ranks' are negatives.
        target_in_sum: whether the positive stands in the denominator.

    Returns:
        ``(n,)``; ``(2n,)`` under ``"both"``.
    """
    losses: Tensor = _Ring.apply(layout, target_in_sum, anchors, candidates)
    return losses


class _Ring(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        layout: Layout,
        target_in_sum: bool,
        anchors: Tensor,
        candidates: Tensor,
    ) -> Tensor:
        assert layout.own is not None
        both = layout.sums == "both"
        target = (anchors * candidates[layout.own]).sum(dim=1)
        travellers = [candidates]
        if both:  # each candidate's sum travels with it
            travellers.append(candidates.new_full((len(candidates), 1), float("-inf")))
        parts = []
        for mine, block in _round(travellers):
            here = layout if mine else replace(layout, itself=False, own=None)
            rows, columns = log_sums(anchors, _pieces(block[0]), here, SHIFTED)
            parts.append(rows)
            if columns is not None:
                block[1] = torch.logaddexp(block[1], columns.log_sum[:, None])
            travellers = block
        log_sum = merge(parts).log_sum
        if both:
            log_sum = torch.cat([log_sum, travellers[1][:, 0]])
            target = target.repeat(2)
        margin = log_sum - target
        ctx.layout, ctx.target_in_sum = layout, target_in_sum
        ctx.save_for_backward(anchors, candidates, log_sum, margin)
        losses: Tensor = softplus(margin, threshold=NO_THRESHOLD) if target_in_sum else margin
        return losses

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("this loss has no second derivatives")
        anchors, candidates, log_sum, margin = ctx.saved_tensors
        layout: Layout = ctx.layout
        n, both = len(anchors), layout.sums == "both"
        slope = grad * torch.sigmoid(margin) if ctx.target_in_sum else grad
        rows_at = log_sum[:n], slope[:n]
        travellers = [candidates, torch.zeros_like(candidates)]
        if both:
            travellers.append(torch.stack([log_sum[n:], slope[n:]], dim=1))
            slope = slope[:n] + slope[n:]
        grad_anchors = torch.zeros_like(anchors)
        for mine, block in _round(travellers):
            here = layout if mine else replace(layout, itself=False, own=None)
            columns_at = (block[2][:, 0], block[2][:, 1]) if both else None
            pulled, (theirs,) = gradients(
                anchors, _pieces(block[0]), here, SHIFTED, rows_at, columns_at, (True,)
            )
            grad_anchors += pulled
            assert theirs is not None
            block[1] = block[1] + theirs
            travellers = block
        grad_candidates = travellers[1]
        grad_anchors -= slope[:, None] * candidates[layout.own]
        grad_candidates.index_add_(0, layout.own, anchors * -slope[:, None])
        return None, None, grad_anchors, grad_candidates


def _pieces(block: Tensor) -> Candidates:
    return Candidates((block,), (None,))


def _round(travellers: list[Tensor]) -> Iterator[tuple[bool, list[Tensor]]]:
    """Whether the block at hand is this rank's own, and the block, which goes on as it is left.

    After the last one the list that was yielded is replaced, in place, by what has come home.
    """
    world = ranks()
    block = list(travellers)
    if world == 1:
        yield True, block
        return
    rank = dist.get_rank()
    widths = [x.shape[1] for x in travellers]
    sizes = [block[0].new_empty(1, dtype=torch.long) for _ in range(world)]
    dist.all_gather(sizes, torch.tensor([len(block[0])], device=block[0].device))
    for step in range(world):
        yield step == 0, block
        packed = torch.cat(block, dim=1)
        coming = (rank - step - 1) % world
        received = packed.new_empty(int(sizes[coming]), packed.shape[1])
        calls = [
            dist.P2POp(dist.isend, packed, (rank + 1) % world),
            dist.P2POp(dist.irecv, received, (rank - 1) % world),
        ]
        for request in dist.batch_isend_irecv(calls):
            request.wait()
        block[:] = [x.contiguous() for x in torch.split(received, widths, dim=1)]
