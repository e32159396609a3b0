"""The same sums over the vectors of all ranks: candidates travel round, and no rank holds them all.

Each rank has anchors and candidates of its own. The candidates go round the ring twice: once to collect the
sums, once more, with the sums at hand, to collect their gradients and bring them home. What a rank holds is
its own vectors and one block of another's.

What each rank's backward pass leaves is the gradient of the *sum* of all ranks' losses. A loss should carry
the weights ``W · w_i / Σ w`` (W ranks, the sum over all of them): where DistributedDataParallel averages over
ranks, the average is then the loss of the whole batch, and so is its gradient.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from temperance.contrast.layout import Candidates, Layout
from temperance.contrast.ranks import lengths_over_ranks, parts_of_ranks, rank, ranks
from temperance.contrast.tiled import Sums, gradients, log_sums, merge


def ring_log_sums(
    anchors: Float[Tensor, "n d"],
    candidates: Float[Tensor, "m d"],
    layout: Layout,
    shift: float | None,
    statistics: bool,
) -> tuple[Sums, Sums | None]:
    """Each anchor's sums over the candidates of all ranks.

    Args:
        anchors: ``(n, d)`` of this rank; ranks may differ in n.
        candidates: ``(m, d)`` of this rank.
        layout: of this rank's anchors and candidates; ``own`` and ``itself`` are among them.
        shift: as for ``tiled.log_sums``.
        statistics: whether to take means and largest logits, too.

    Returns:
        Sums for each anchor, and for each of this rank's candidates under ``"both"``; their ``total``
        passes gradients on.
    """
    found = _LogSums.apply(layout, shift, statistics, anchors, candidates)
    size = len(found) // 2 if layout.sums == "both" else len(found)
    return Sums(*found[:size]), Sums(*found[size:]) if layout.sums == "both" else None


def ring_sums(
    function: Callable[..., Tensor],
    anchors: Float[Tensor, "n d"],
    candidates: Float[Tensor, "m d"],
    *others: Tensor,
) -> Float[Tensor, "n ..."]:
    """The sum over ranks of what a function makes of this rank's anchors and that rank's candidates.

    Args:
        function: takes the number of a rank, anchors, that rank's candidates and the others. Its backward
            pass is taken anew for each block.
        anchors: ``(n, d)`` of this rank.
        candidates: ``(m, d)`` of this rank.
        others: further tensors that the function takes and that receive gradients.
    """
    sums: Tensor = _Sums.apply(function, anchors, candidates, *others)
    return sums


class _LogSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        layout: Layout,
        shift: float | None,
        statistics: bool,
        anchors: Tensor,
        candidates: Tensor,
    ) -> tuple[Tensor, ...]:
        layouts = layouts_of_ranks(layout)
        travellers = [candidates]
        so_far: Sums | None = None
        for owner, block in _round(travellers):
            rows, columns = log_sums(anchors, _pieces(block[0]), layouts[owner], shift, statistics)
            so_far = rows if so_far is None else merge([so_far, rows])
            if columns is not None:  # each candidate's sums travel with it
                if len(block) > 1:
                    columns = merge([Sums(*(x[:, 0] for x in block[1:])), columns])
                block[1:] = [x[:, None] for x in columns.flat()]
            travellers = block
        assert so_far is not None
        sums = so_far.flat()
        if layout.sums == "both":
            sums += [x[:, 0] for x in travellers[1:]]
        ctx.layouts, ctx.shift, ctx.both = layouts, shift, layout.sums == "both"
        sides = [sums[: len(sums) // 2], sums[len(sums) // 2 :]] if ctx.both else [sums]
        ctx.save_for_backward(anchors, candidates, *(base for base, *_ in sides))
        ctx.mark_non_differentiable(*(x for base, _, *more in sides for x in (base, *more)))
        return tuple(sums)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        _no_second()
        anchors, candidates, *bases = ctx.saved_tensors
        # The slope in a total is the weight of each exponential in it.
        rows_at = bases[0], slopes[1]
        travellers = [candidates, torch.zeros_like(candidates)]
        if ctx.both:
            travellers += [bases[1][:, None], slopes[len(slopes) // 2 + 1][:, None]]
        grad = torch.zeros_like(anchors)
        for owner, block in _round(travellers):
            columns_at = (block[2][:, 0], block[3][:, 0]) if ctx.both else None
            layout, pieces = ctx.layouts[owner], _pieces(block[0])
            pulled, (theirs,) = gradients(
                anchors, pieces, layout, ctx.shift, rows_at, columns_at, (True,)
            )
            grad += pulled
            assert theirs is not None
            block[1] = block[1] + theirs
            travellers = block
        return None, None, None, grad, travellers[1]


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        function: Callable[..., Tensor],
        anchors: Tensor,
        candidates: Tensor,
        *others: Tensor,
    ) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(anchors, candidates, *others)
        return sum(
            function(owner, anchors, block[0], *others) for owner, block in _round([candidates])
        )  # type: ignore[return-value]

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        _no_second()
        anchors, candidates, *others = ctx.saved_tensors
        totals = [torch.zeros_like(x) for x in (anchors, *others)]
        travellers = [candidates, torch.zeros_like(candidates)]
        for owner, block in _round(travellers):
            with torch.enable_grad():
                leaves = [x.detach().requires_grad_() for x in (block[0], anchors, *others)]
                value = ctx.function(owner, leaves[1], leaves[0], *leaves[2:])
                theirs, *ours = torch.autograd.grad(value, leaves, slopes, materialize_grads=True)
            block[1] = block[1] + theirs
            for total, more in zip(totals, ours, strict=True):
                total += more
            travellers = block
        return None, totals[0], travellers[1], *totals[1:]


def _no_second() -> None:
    if torch.is_grad_enabled():  # set by create_graph=True
        raise RuntimeError("this loss has no second derivatives over ranks")


def layouts_of_ranks(layout: Layout) -> list[Layout]:
    """What the layout is towards each rank's candidates."""
    layouts = [layout if owner == rank() else layout.among_others() for owner in range(ranks())]
    if layout.candidate_class is None:
        return layouts
    classes = parts_of_ranks(layout.candidate_class)
    return [replace(x, candidate_class=c) for x, c in zip(layouts, classes, strict=True)]


def _pieces(block: Tensor) -> Candidates:
    return Candidates((block,), (None,))


def _round(travellers: list[Tensor]) -> Iterator[tuple[int, list[Tensor]]]:
    """The rank whose block is at hand, and the block, which goes on as it is left.

    After the last one the list that was yielded is replaced, in place, by what has come home.
    """
    world, here = ranks(), rank()
    block = list(travellers)
    if world == 1:
        yield here, block
        return
    lengths = lengths_over_ranks(block[0])
    for step in range(world):
        yield (here - step) % world, block
        widths = [x.shape[1] for x in block]
        packed = torch.cat(block, dim=1)
        received = packed.new_empty(lengths[(here - step - 1) % world], packed.shape[1])
        calls = [
            dist.P2POp(dist.isend, packed, (here + 1) % world),
            dist.P2POp(dist.irecv, received, (here - 1) % world),
        ]
        for request in dist.batch_isend_irecv(calls):
            request.wait()
        block[:] = [x.contiguous() for x in torch.split(received, widths, dim=1)]
