"""Sums over pairs of a function of each logit by itself: no softmax ties them together."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from temperance.contrast.elementwise import Elementwise
from temperance.contrast.grid import grid_for
from temperance.contrast.layout import Backend, Candidates, Layout
from temperance.contrast.memory import Memory
from temperance.contrast.ranks import of_all_ranks
from temperance.contrast.ring import layouts_of_ranks, ring_sums
from temperance.contrast.threads import Turns, in_threads

# At -inf, where a pair does not count, each and its slope are 0.
SOFTPLUS = Elementwise(lambda x: softplus(x, threshold=40.0), torch.sigmoid_)
LINEAR = Elementwise(lambda x: x.nan_to_num_(neginf=0.0), lambda x: (x > float("-inf")).to(x.dtype))
COUNT = Elementwise(LINEAR.slope, torch.zeros_like)


def pair_sums(
    anchors: Float[Tensor, "n d"],
    candidates: Float[Tensor, "m d"],
    bias: Float[Tensor, ""],
    layout: Layout,
    function: Elementwise,
    backend: Backend = "auto",
) -> Float[Tensor, " n"]:
    r""":math:`\sum_k f(a_i \cdot c_k + b)` over each anchor's candidates, tile by tile.

    Args:
        anchors: ``(n, d)``.
        candidates: ``(m, d)``.
        bias: b, a scalar tensor.
        layout: which candidates count; with sums over rows.
        function: f and its slope.
        backend: as in ``contrast``.

    Raises:
        RuntimeError: on double backward, which only ``"dense"`` supports.

    Example:
        >>> import torch
        >>> a = torch.eye(2)
        >>> pair_sums(a, a, torch.tensor(0.0), Layout(), LINEAR)
        tensor([1., 1.])
    """
    if backend == "dense":
        logits = anchors @ candidates.T
        logits = (logits if layout.link is None else layout.link(logits)) + bias
        layout.block(slice(0, len(anchors))).leave_out(logits, slice(0, len(candidates)))
        return function.value(logits).sum(dim=1)
    if backend == "gather":
        pieces, layout = of_all_ranks(Candidates((candidates,), (None,)), layout)
        return pair_sums(anchors, pieces.parts[0], bias, layout, function)
    if backend == "ring":
        layouts = layouts_of_ranks(layout)

        def block(owner: int, anchors: Tensor, candidates: Tensor, bias: Tensor) -> Tensor:
            return pair_sums(anchors, candidates, bias, layouts[owner], function)

        return ring_sums(block, anchors, candidates, bias)
    sums: Tensor = _PairSums.apply(layout, function, anchors, candidates, bias)
    return sums


class _PairSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        layout: Layout,
        function: Elementwise,
        anchors: Tensor,
        candidates: Tensor,
        bias: Tensor,
    ) -> Tensor:
        ctx.layout, ctx.function = layout, function
        ctx.save_for_backward(anchors, candidates, bias)
        grid = grid_for(anchors, Candidates((candidates,), (None,)), layout)
        sums = anchors.new_zeros(len(anchors))
        along = grid.rows(sums)

        def work(worker: int, workers: int) -> None:
            for i, _, logits, *_ in grid.walk(worker, workers):
                along[i].add_(function.value(logits.add_(bias)).sum(dim=1))

        in_threads(work, grid.workers, anchors.device)
        return sums

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("this loss has no second derivatives")
        anchors, candidates, bias = ctx.saved_tensors
        grid = grid_for(anchors, Candidates((candidates,), (None,)), ctx.layout)
        grad_anchors, grad_candidates = torch.zeros_like(anchors), torch.zeros_like(candidates)
        ours, scales = grid.rows(grad_anchors), grid.rows(grad[:, None])
        theirs = grid.columns(grad_candidates)
        biases = bias.new_zeros(len(grid.blocks))
        turns = Turns(len(grid.blocks), len(grid.tiles))

        def by_row(i: int, memory: Memory, loaded: Memory) -> None:
            for j in range(len(grid.tiles)):
                _, _, logits, _, inner, vectors, _ = grid.cell(i, j, memory, loaded, sloped=True)
                slopes = ctx.function.slope(logits.add_(bias)).mul_(scales[i])
                biases[i] += slopes.sum()
                if inner is not None:
                    slopes.mul_(inner)
                ours[i].addmm_(slopes, vectors)
                with turns.at(j, i):
                    theirs[j].addmm_(slopes.T, grid.anchors[i])

        def work(worker: int, workers: int) -> None:
            memory, loaded = Memory(anchors), Memory(anchors)
            turns.each(lambda i: by_row(i, memory, loaded))

        in_threads(work, grid.workers, anchors.device)
        return None, None, grad_anchors, grad_candidates, biases.sum()
