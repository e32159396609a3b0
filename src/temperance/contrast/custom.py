"""Any similarity that a user can write down, tile by tile, and still never the whole matrix."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from temperance.contrast.dense import log_sum_of_rows
from temperance.contrast.layout import Layout
from temperance.errors import InputError

Similarity = Callable[[Tensor, Tensor], Tensor]
# Side of a tile: what the similarity makes of a tile besides the tile itself is not known.
SIDE = 256


def custom_log_sums(
    similarity: Similarity,
    anchors: Float[Tensor, "n d"],
    candidates: Float[Tensor, "m d"],
    temperature: Float[Tensor, ""],
    layout: Layout,
    *,
    flipped: bool = False,
) -> Float[Tensor, " n"]:
    r""":math:`\log \sum_k e^{s(a_i, c_k)/\tau}` over each anchor's candidates.

    The backward pass asks the similarity for each tile again, and lets automatic differentiation through that
    tile alone.

    Args:
        similarity: takes ``(h, d)`` and ``(w, d)``, gives ``(h, w)``, the same each time it is asked.
            Where it is an ``nn.Module`` its parameters receive their gradients.
        anchors: ``(n, d)``.
        candidates: ``(m, d)``.
        temperature: τ > 0, a scalar tensor.
        layout: which candidates count; with sums over rows.
        flipped: whether the similarity takes candidates first and anchors second.

    Raises:
        InputError: if it holds parameters that need a gradient and is no ``nn.Module``.
        RuntimeError: on double backward.
    """
    weights: tuple[Tensor, ...] = ()
    if isinstance(similarity, nn.Module):
        weights = tuple(p for p in similarity.parameters() if p.requires_grad)
    elif torch.is_grad_enabled():
        with torch.autocast(anchors.device.type, enabled=False):
            tried = _tile(similarity, flipped, anchors[:1].detach(), candidates[:1].detach())
        if tried.requires_grad:
            raise InputError(
                "the similarity holds parameters that need a gradient; give an nn.Module that owns them"
            )
    sums: Tensor = _Custom.apply(
        similarity, flipped, layout, anchors, candidates, temperature, *weights
    )
    return sums


def dense_custom_log_sums(
    similarity: Similarity,
    anchors: Float[Tensor, "n d"],
    candidates: Float[Tensor, "m d"],
    temperature: Float[Tensor, ""],
    layout: Layout,
    *,
    flipped: bool = False,
) -> Float[Tensor, " n"]:
    """``custom_log_sums`` over the whole matrix, by plain automatic differentiation."""
    logits = (_tile(similarity, flipped, anchors, candidates) / temperature).clone()
    layout.block(slice(0, len(anchors))).leave_out(logits, slice(0, len(candidates)))
    return log_sum_of_rows(logits)


def custom_diagonal(
    similarity: Similarity, anchors: Float[Tensor, "n d"], positives: Float[Tensor, "n d"]
) -> Float[Tensor, " n"]:
    """The similarity of each anchor to its own positive alone."""
    blocks = zip(torch.split(anchors, SIDE // 8), torch.split(positives, SIDE // 8), strict=True)
    with torch.autocast(anchors.device.type, enabled=False):
        return torch.cat([similarity(a, p).diagonal() for a, p in blocks])


class _Custom(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        similarity: Similarity,
        flipped: bool,
        layout: Layout,
        anchors: Tensor,
        candidates: Tensor,
        temperature: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        log_sum = anchors.new_full((len(anchors),), float("-inf"))
        for rows, columns in _tiles(len(anchors), len(candidates)):
            with torch.autocast(anchors.device.type, enabled=False):
                tile = _tile(similarity, flipped, anchors[rows], candidates[columns])
            logits = tile / temperature
            layout.block(rows).leave_out(logits, columns)
            log_sum[rows] = torch.logaddexp(log_sum[rows], logits.logsumexp(dim=1))
        ctx.similarity, ctx.flipped, ctx.layout = similarity, flipped, layout
        ctx.save_for_backward(anchors, candidates, temperature, log_sum, *weights)
        return log_sum

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("this loss has no second derivatives")
        anchors, candidates, temperature, log_sum, *weights = ctx.saved_tensors
        finite = log_sum.nan_to_num(neginf=0.0)
        leaves = [anchors, candidates, temperature, *weights]
        totals = [torch.zeros_like(x) for x in leaves]
        for rows, columns in _tiles(len(anchors), len(candidates)):
            with torch.enable_grad(), torch.autocast(anchors.device.type, enabled=False):
                a, c = anchors[rows].detach(), candidates[columns].detach()
                here = [x.requires_grad_() for x in (a, c, temperature.detach())]
                logits = _tile(ctx.similarity, ctx.flipped, a, c) / here[2]
                kept = logits.detach().clone()
                ctx.layout.block(rows).leave_out(kept, columns)
                slopes = torch.exp(kept - finite[rows, None]) * grad[rows, None]
                found = torch.autograd.grad(logits, [*here, *weights], slopes, allow_unused=True)
            for total, index, x in zip(
                totals, (rows, columns, ...) + (...,) * len(weights), found, strict=True
            ):
                if x is not None:
                    total[index] += x
        return None, None, None, *totals


def _tile(similarity: Similarity, flipped: bool, anchors: Tensor, candidates: Tensor) -> Tensor:
    return similarity(candidates, anchors).T if flipped else similarity(anchors, candidates)


def _tiles(n: int, m: int) -> list[tuple[slice, slice]]:
    return [
        (slice(top, min(top + SIDE, n)), slice(left, min(left + SIDE, m)))
        for top in range(0, n, SIDE)
        for left in range(0, m, SIDE)
    ]
