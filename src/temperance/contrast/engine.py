"""The one loss that all contrastive losses are made of, and its gradients."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from temperance.contrast import threads, tiled
from temperance.contrast.dense import NO_THRESHOLD, dense_contrast
from temperance.contrast.directions import Directions, brought_back, made
from temperance.contrast.layout import OVER_RANKS, Backend, Candidates, Layout
from temperance.contrast.ranks import of_all_ranks
from temperance.contrast.ring import ring_log_sums
from temperance.contrast.tiled import Sums


@dataclass(frozen=True, eq=False)
class Statistics:
    """What the same pass over the matrix tells; all without gradient.

    Attributes:
        target: ``(n,)`` logit of each anchor's positive.
        rows: sums over the negatives of each anchor.
        columns: the same for each candidate, where the loss sums both ways.
    """

    target: Float[Tensor, " n"]
    rows: Sums
    columns: Sums | None


def contrast(
    anchors: Float[Tensor, "n d"] | Directions,
    candidates: Sequence[Float[Tensor, "_ d"] | Directions],
    target: Float[Tensor, " n"] | None,
    layout: Layout,
    *,
    weights: Float[Tensor, " k"] | None = None,
    target_in_sum: bool = True,
    scales: Sequence[Float[Tensor, " _"] | None] | None = None,
    bound: float = float("inf"),
    statistics: bool = False,
    backend: Backend = "auto",
) -> tuple[Float[Tensor, "..."], Statistics | None]:
    r"""Each anchor's positive against the sum over its negatives, and never the whole matrix.

    With logits :math:`\ell_{ik} = a_i \cdot c_k` (a temperature has been multiplied into the vectors) and
    :math:`t_i` the logit of the positive,

    .. math:: L_i = \log\Big(e^{t_i} + \sum_k e^{\ell_{ik}}\Big) - t_i
                  = \mathrm{softplus}\Big(\log \sum_k e^{\ell_{ik}} - t_i\Big)

    or, without the positive in the denominator, :math:`L_i = \log \sum_k e^{\ell_{ik}} - t_i`. The
    second form of the first line keeps its digits where the positive has nearly all of the softmax.

    Args:
        anchors: ``(n, d)``, as they are or as directions.
        candidates: ``(m_p, d)`` in one or more parts, likewise; empty under a symmetric layout.
        target: ``(n,)``, or None where the positive is the candidate that the layout calls the anchor's own.
        layout: which candidates are negatives, and what is summed over.
        weights: ``(n,)``, or ``(2n,)`` under ``"both"``: the result is then :math:`\sum_i w_i L_i`, and its
            gradients are taken in the same pass. Without weights the result is every :math:`L_i`.
        target_in_sum: whether the positive stands in the denominator.
        scales: for each part of the candidates, ``(m_p,)`` numbers that multiply its rows as they are
            used, or None; such a part gets no gradient.
        bound: no logit is larger than this, in absolute value.
        statistics: whether to return what else the pass tells.
        backend: ``"dense"`` (the whole matrix), ``"tiled"``, or ``"auto"``, which is that. ``"triton"``:
            tiles in kernels for CUDA. ``"ring"`` and ``"gather"``: the first part of the candidates is that
            of all ranks of ``torch.distributed``; it travels round and no rank holds it all, or every rank
            holds it. Further parts, queues, are each rank's own.

    Returns:
        A scalar with weights, otherwise ``(n,)`` (``(2n,)`` under ``"both"``: anchors, then candidates),
        and the statistics or None.

    Raises:
        InputError: if ``"triton"`` cannot run on these vectors.
        RuntimeError: on double backward, which only ``"dense"`` supports.

    Example:
        >>> import torch
        >>> a = torch.eye(2)
        >>> contrast(a, [a], None, Layout(own=torch.arange(2)))[0]
        tensor([0.3133, 0.3133])
    """
    given = (anchors,) if layout.sums == "symmetric" else (anchors, *candidates)
    parts_scales = tuple(scales) if scales else (None,) * len(candidates)
    rest = _Rest(target_in_sum, bound, statistics)
    if backend not in ("dense", *OVER_RANKS) and layout.link is None:
        return _over_tiles(given, target, layout, weights, parts_scales, rest, backend)
    rows = [x.rows if isinstance(x, Directions) else x for x in given]
    a, pieces = rows[0], Candidates(tuple(rows[1:] or rows), parts_scales or (None,))
    if layout.link is not None and target is None and backend != "dense":
        assert layout.own is not None
        target = layout.link((a * pieces.first(layout.own, a.dtype)).sum(dim=1))
    if backend in OVER_RANKS:
        if layout.sums == "symmetric":
            layout = replace(layout, sums="rows")
        over = _over_ring if backend == "ring" else _over_gathered
        return over(a, pieces, target, layout, weights, rest)
    if backend != "dense":
        return _over_tiles(tuple(rows), target, layout, weights, parts_scales, rest, backend)
    with torch.autocast(a.device.type, enabled=False):
        losses, own, sides = dense_contrast(a, pieces, target, layout, target_in_sum=target_in_sum)
    loss = losses if weights is None else torch.dot(losses, weights.to(losses.dtype))
    if not statistics:
        return loss, None
    sums = [x for side in sides for x in _sums_of(side.detach()).flat()]
    return loss, _statistics(own.detach(), sums, layout)


@dataclass(frozen=True)
class _Rest:
    """What passes through to those that do the work."""

    target_in_sum: bool
    bound: float
    statistics: bool


def _over_tiles(
    vectors: tuple[Tensor | Directions, ...],
    target: Tensor | None,
    layout: Layout,
    weights: Tensor | None,
    scales: tuple[Tensor | None, ...],
    rest: _Rest,
    backend: Backend,
) -> tuple[Tensor, Statistics | None]:
    """``vectors``: the anchors, then the parts of the candidates, of which there are none if symmetric.

    Directions are made in each pass and gone after it, unless they were needed before.
    """
    known = [x.known if isinstance(x, Directions) else x for x in vectors]
    given = [x if k is None else k for x, k in zip(vectors, known, strict=True)]
    groups = [x.tensors if isinstance(x, Directions) else (x,) for x in given]
    inverse = tuple(x.inverse if isinstance(x, Directions) else None for x in given)
    likes = [x.inverse if isinstance(x, Directions) else x for x in given]
    lengths = [len(x) for x in likes]
    # A small matrix is held whole; a floor compares logits to more digits than one shift leaves them.
    large = lengths[0] * sum(lengths[1:] or lengths) > threads.SMALL
    shift = tiled.shift_of(rest.bound, likes[0].dtype, one_for_all=large and layout.floor is None)
    if layout.temper is not None:
        one_pass = large and len(given) == 2 and backend != "triton" and weights is not None
        more = target is not None or layout.floor is not None or rest.statistics
        assert one_pass
        assert not more
        shift = None
    passes: ModuleType = tiled
    if backend == "triton":
        from temperance.contrast import triton

        triton.check(likes[0].device, layout)
        passes, shift = triton, None
    sizes = tuple(map(len, groups))
    call = _Call(
        layout,
        scales or (None,),
        inverse,
        sizes,
        rest.target_in_sum,
        shift,
        rest.statistics,
        passes,
    )
    tensors = [x for group in groups for x in group]
    if not torch.is_grad_enabled():  # which the pass itself is not told
        tensors = [x.detach() for x in tensors]
        target = None if target is None else target.detach()
    loss, *told = _Contrast.apply(call, target, weights, *tensors)
    return loss, _statistics(told[0], told[1:], layout) if rest.statistics else None


def _over_gathered(
    anchors: Tensor,
    pieces: Candidates,
    target: Tensor | None,
    layout: Layout,
    weights: Tensor | None,
    rest: _Rest,
) -> tuple[Tensor, Statistics | None]:
    if layout.sums == "both":
        n, ways = len(anchors), (anchors, pieces.parts[0])
        layout = replace(layout, sums="rows")
        there, back = (
            _over_gathered(
                ways[i],
                Candidates((ways[1 - i],), (None,)),
                target,
                layout,
                None if weights is None else weights[i * n : (i + 1) * n],
                rest,
            )
            for i in (0, 1)
        )
        loss = torch.cat([there[0], back[0]]) if weights is None else there[0] + back[0]
        if there[1] is None or back[1] is None:
            return loss, None
        return loss, replace(there[1], columns=back[1].rows)
    pieces, layout = of_all_ranks(pieces, layout)
    return contrast(
        anchors,
        pieces.parts,
        target,
        layout,
        weights=weights,
        scales=pieces.scales,
        **asdict(rest),
    )


def _over_ring(
    anchors: Tensor,
    pieces: Candidates,
    target: Tensor | None,
    layout: Layout,
    weights: Tensor | None,
    rest: _Rest,
) -> tuple[Tensor, Statistics | None]:
    first, *queues = pieces.parts
    travelling, staying = layout.split(len(first))
    shift = tiled.shift_of(rest.bound, anchors.dtype, one_for_all=False)
    rows, columns = ring_log_sums(anchors, first, travelling, shift, rest.statistics)
    if queues:
        log_sum, found = contrast(
            anchors,
            queues,
            anchors.new_zeros(len(anchors)),
            staying,
            scales=pieces.scales[1:],
            **asdict(replace(rest, target_in_sum=False)),
        )
        base = log_sum.detach().nan_to_num(neginf=0.0)
        there = Sums(base, torch.exp(log_sum - base))
        if found is not None:
            there = replace(found.rows, base=there.base, total=there.total)
        rows = tiled.merge([rows, there])
    if target is None:
        assert layout.own is not None
        target = (anchors * first[layout.own]).sum(dim=1)
    sides = [rows] if columns is None else [rows, columns]
    margins = torch.cat([side.above(target) for side in sides])
    losses = softplus(margins, threshold=NO_THRESHOLD) if rest.target_in_sum else margins
    loss = losses if weights is None else torch.dot(losses, weights.to(losses.dtype))
    if not rest.statistics:
        return loss, None
    sums = [x.detach() for side in sides for x in side.flat()]
    return loss, _statistics(target.detach(), sums, layout)


@dataclass(frozen=True, eq=False)
class _Call:
    """What does not change between the passes of one call.

    Attributes:
        layout: which pairs count.
        scales: of the parts of the candidates.
        inverse: of anchors and parts, where they are ``Directions``, or None.
        sizes: how many tensors each of them is made of.
        target_in_sum: whether the positive stands in the denominator.
        shift: what exponentials are taken relative to.
        statistics: whether they are wanted.
        passes: the module that takes the passes.
    """

    layout: Layout
    scales: tuple[Tensor | None, ...]
    inverse: tuple[Tensor | None, ...]
    sizes: tuple[int, ...]
    target_in_sum: bool
    shift: float | None
    statistics: bool
    passes: ModuleType

    def grouped(self, flat: Sequence[Any]) -> list[tuple[Any, ...]]:
        """What there is for each tensor, by anchors and parts."""
        ends = list(accumulate(self.sizes))
        return [tuple(flat[end - size : end]) for end, size in zip(ends, self.sizes, strict=True)]

    def made(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Anchors and parts."""
        groups = zip(self.inverse, self.grouped(tensors), strict=True)
        return [x[0] if i is None else made(i, *x) for i, x in groups]

    def brought_back(
        self, grads: list[Tensor | None], tensors: Sequence[Tensor], wanted: Sequence[bool]
    ) -> list[Tensor | None]:
        """From gradients of anchors and parts, where these lie, to those of the tensors."""
        found: list[Tensor | None] = []
        groups = zip(grads, self.inverse, self.grouped(tensors), self.grouped(wanted), strict=True)
        for grad, inverse, group, asked in groups:
            if grad is None or not any(asked):
                found += [None] * len(group)
            elif inverse is None:
                found.append(grad)
            else:
                found += brought_back(grad, inverse, *group, wanted=asked, in_place=True)
        return found

    def lost(self, *sums: Sums | None) -> bool:
        """Whether one shift for all was not enough."""
        return bool(self.shift) and not tiled.held(sums)

    def head(self, margin: Tensor) -> Tensor:
        return softplus(margin, threshold=NO_THRESHOLD) if self.target_in_sum else margin

    def slope(self, margin: Tensor, weights: Tensor) -> Tensor:
        return torch.sigmoid(margin) * weights if self.target_in_sum else weights


class _Contrast(torch.autograd.Function):
    """With weights the gradients are taken forward; without them, when it is known what comes back."""

    @staticmethod
    def forward(
        ctx: Any,
        call: _Call,
        target: Tensor | None,
        weights: Tensor | None,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        wanted = ctx.needs_input_grad[3:]
        ctx.taken = weights is not None and (any(wanted) or ctx.needs_input_grad[1])
        if ctx.taken:
            assert weights is not None
            losses, found, sums, pull, grads = _with_gradients(
                call, tensors, target, weights, call.grouped(wanted)
            )
            # Not in half precision yet: for a loss that is still to be scaled they may be too small for it.
            ctx.save_for_backward(losses, pull, *call.brought_back(grads, tensors, wanted))
        else:
            anchors, *parts = call.made(tensors)
            ctx.call, found, sums = _summed(call, anchors, target, parts)
            losses = _losses(call, found, sums)
            ctx.save_for_backward(losses, target, weights, *tensors)
        extra: tuple[Tensor, ...] = ()
        if call.statistics:
            extra = (found.detach().clone(), *(x for s in sums if s for x in s.flat()))
            ctx.mark_non_differentiable(*extra)
        result = losses if weights is None else torch.dot(losses, weights.to(losses.dtype))
        return (result, *extra)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # set by create_graph=True
            raise RuntimeError(
                "this loss has no second derivatives; use backend='dense' where create_graph=True is needed"
            )
        losses, *saved = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        grad_weights = grad * losses if wanted[2] else None
        if ctx.taken:
            pull, *grads = _handed_out(saved, grad)
        else:
            target, weights, *tensors = saved
            slopes = grad if weights is None else grad * weights
            asked = ctx.call.grouped(wanted[3:])
            pull, grads = _with_gradients(ctx.call, tensors, target, slopes, asked)[3:]
            grads = ctx.call.brought_back(grads, tensors, wanted[3:])
        return None, pull, grad_weights, *grads


def _handed_out(saved: Sequence[Tensor | None], grad: Tensor) -> list[Tensor | None]:
    """Saved gradients times that of the loss.

    Who receives them may change them. What was saved goes out itself only where nobody comes again for it and
    it has its memory for itself; copies would raise the peak by as much as both sides' vectors.
    """
    functorch = torch._C._functorch
    copied = (
        torch.compiler.is_compiling()
        or functorch.is_batchedtensor(grad)
        or functorch.is_legacy_batchedtensor(grad)
        or torch._C._autograd._get_current_graph_task_keep_graph()
    )

    def scaled(x: Tensor) -> Tensor:
        if copied or x.untyped_storage().nbytes() > x.nbytes:
            return x * grad
        return x.mul_(grad).detach()  # otherwise a view that was made without gradients

    return [None if x is None else scaled(x) for x in saved]


def _summed(
    call: _Call, anchors: Tensor, target: Tensor | None, parts: Sequence[Tensor]
) -> tuple[_Call, Tensor, tuple[Sums, Sums | None]]:
    """Logits of the positives and sums, with the call that they come of."""
    pieces = Candidates(tuple(parts) or (anchors,), call.scales)
    into = anchors.new_empty(len(anchors)) if target is None else None
    sums = call.passes.log_sums(anchors, pieces, call.layout, call.shift, call.statistics, into)
    if call.lost(*sums):
        return _summed(replace(call, shift=None), anchors, target, parts)
    found = into if target is None else target
    assert found is not None
    return call, found, sums


def _losses(call: _Call, found: Tensor, sums: tuple[Sums, Sums | None]) -> Tensor:
    """Losses of anchors, and then of candidates where there are sums of theirs."""
    margins = [side.above(found) for side in sums if side is not None]
    return call.head(margins[0] if len(margins) == 1 else torch.cat(margins))


def _with_gradients(
    call: _Call,
    tensors: Sequence[Tensor],
    target: Tensor | None,
    weights: Tensor,
    asked: Sequence[tuple[bool, ...]],
) -> tuple[Tensor, Tensor, tuple[Sums, Sums | None], Tensor | None, list[Tensor | None]]:
    """Losses, logits of the positives, sums, and gradients of ``Σ w L``: of the target; of anchors and parts.

    ``asked``: for anchors and parts, whether each of the tensors that they are made of needs one.
    """
    anchors, *parts = call.made(tensors)
    layout, n = call.layout, len(anchors)
    wanted = tuple(map(any, asked[1:]))
    weights = weights.to(anchors.dtype)
    pieces = Candidates(tuple(parts) or (anchors,), call.scales)
    columns = None
    if call.passes is tiled and n * len(pieces) <= threads.SMALL:
        margin, (rows, columns), found, slope, grad, grads = tiled.whole(
            anchors,
            pieces,
            layout,
            call.shift,
            target,
            lambda margin: call.slope(margin, weights),
            wanted,
            call.statistics,
        )
        losses = call.head(margin)
    elif layout.sums == "rows" and call.passes is tiled:
        rows, found, slope, grad, grads = tiled.one_pass(
            anchors,
            pieces,
            layout,
            call.shift,
            target,
            lambda here, margin: call.slope(margin, weights[here]),
            wanted,
            call.statistics,
            spent=call.inverse[0] is not None,
        )
        if call.lost(rows):
            return _with_gradients(replace(call, shift=None), tensors, target, weights, asked)
        losses = _losses(call, found, (rows, None))
    else:
        call, found, (rows, columns) = _summed(call, anchors, target, parts)
        losses = _losses(call, found, (rows, columns))
        slope = call.slope(rows.above(found), weights[:n])
        at, total = None, slope
        if columns is not None:
            other = call.slope(columns.above(found), weights[n:])
            at, total = (columns.base, columns.weight(other)), slope + other
        grad, grads = call.passes.gradients(
            anchors,
            pieces,
            layout,
            call.shift,
            (rows.base, rows.weight(slope)),
            at,
            wanted or (False,),
            None if target is not None else total,
        )
        slope = total
    pull = None if target is None else -slope
    return losses, found, (rows, columns), pull, [grad, *grads[: len(parts)]]


def _sums_of(logits: Tensor) -> Sums:
    """The sums over the rows of a whole matrix."""
    largest = logits.amax(dim=1)
    base = largest.nan_to_num(neginf=0.0)
    shares = torch.exp(logits - base[:, None])
    total = shares.sum(dim=1)
    weighted = (shares * logits.nan_to_num(neginf=0.0)).sum(dim=1)
    return Sums(base, total, weighted / total.masked_fill(total == 0, 1.0), largest)


def _statistics(target: Tensor, flat: list[Tensor], layout: Layout) -> Statistics:
    columns = Sums(*flat[4:]) if layout.sums == "both" else None
    return Statistics(target, Sums(*flat[:4]), columns)
