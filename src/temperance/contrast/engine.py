"""The one loss that all contrastive losses are made of, and its gradients."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from temperance.contrast import threads, tiled
from temperance.contrast.dense import NO_THRESHOLD, dense_contrast
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
    anchors: Float[Tensor, "n d"],
    candidates: Sequence[Float[Tensor, "_ d"]],
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
        anchors: ``(n, d)``.
        candidates: ``(m_p, d)`` in one or more parts; empty under a symmetric layout.
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
    given = tuple(candidates)
    if layout.sums == "symmetric":
        given = (anchors,)
    pieces = Candidates(given, tuple(scales) if scales else (None,) * len(given))
    if layout.link is not None and target is None and backend != "dense":
        assert layout.own is not None
        target = layout.link((anchors * pieces.first(layout.own, anchors.dtype)).sum(dim=1))
    if backend == "dense":
        with torch.autocast(anchors.device.type, enabled=False):
            losses, own, sides = dense_contrast(
                anchors, pieces, target, layout, target_in_sum=target_in_sum
            )
        loss = losses if weights is None else torch.dot(losses, weights.to(losses.dtype))
        if not statistics:
            return loss, None
        sums = [x for side in sides for x in _sums_of(side.detach()).flat()]
        return loss, _statistics(own.detach(), sums, layout)
    if backend in OVER_RANKS:
        if layout.sums == "symmetric":
            layout = replace(layout, sums="rows")
        over = _over_ring if backend == "ring" else _over_gathered
        rest = _Rest(target_in_sum, bound, statistics)
        return over(anchors, pieces, target, layout, weights, rest)
    # A small matrix is held whole; a floor compares logits to more digits than one shift leaves them.
    one_for_all = layout.floor is None and len(anchors) * len(pieces) > threads.SMALL
    shift = tiled.shift_of(bound, anchors.dtype, one_for_all)
    passes: ModuleType = tiled
    if backend == "triton":
        from temperance.contrast import triton

        triton.check(anchors, layout)
        passes, shift = triton, None
    call = _Call(layout, pieces.scales, target_in_sum, shift, statistics, passes)
    parts = () if layout.sums == "symmetric" else given
    loss, *told = _Contrast.apply(call, anchors, target, weights, *parts)
    return loss, _statistics(told[0], told[1:], layout) if statistics else None


@dataclass(frozen=True)
class _Rest:
    """What passes through to each rank's own part of the work."""

    target_in_sum: bool
    bound: float
    statistics: bool


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
    """What does not change between the passes of one call; ``passes`` is what takes them."""

    layout: Layout
    scales: tuple[Tensor | None, ...]
    target_in_sum: bool
    shift: float | None
    statistics: bool
    passes: ModuleType

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
        anchors: Tensor,
        target: Tensor | None,
        weights: Tensor | None,
        *parts: Tensor,
    ) -> tuple[Tensor, ...]:
        wanted = (ctx.needs_input_grad[1], *ctx.needs_input_grad[4:])
        ctx.call = call
        if weights is not None and (any(wanted) or ctx.needs_input_grad[2]):
            losses, found, sums, grads = _with_gradients(
                call, anchors, target, weights, parts, wanted[1:]
            )
            ctx.save_for_backward(losses, *grads)
            ctx.taken = True
        else:
            ctx.call, found, sums = _summed(call, anchors, target, parts)
            losses = _losses(call, found, sums)
            ctx.save_for_backward(losses, anchors, target, weights, *parts)
            ctx.taken = False
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
        grad_weights = grad * losses if ctx.needs_input_grad[3] else None
        if ctx.taken:
            grads = [None if x is None else _scaled(x, grad) for x in saved]
            return None, grads[0], grads[1], grad_weights, *grads[2:]
        anchors, target, weights = saved[:3]
        parts = tuple(saved[3:])
        slopes = grad if weights is None else grad * weights
        wanted = tuple(ctx.needs_input_grad[4:])
        grads = _with_gradients(ctx.call, anchors, target, slopes, parts, wanted)[3]
        return None, grads[0], grads[1], grad_weights, *grads[2:]


def _scaled(x: Tensor, factor: Tensor) -> Tensor:
    """X · factor; x itself where that is 1, as it is wherever backward begins at the loss."""
    return x if x.device.type == "cpu" and float(factor) == 1 else x * factor


def _summed(
    call: _Call, anchors: Tensor, target: Tensor | None, parts: tuple[Tensor, ...]
) -> tuple[_Call, Tensor, tuple[Sums, Sums | None]]:
    """Logits of the positives and sums, with the call that they come of."""
    pieces = Candidates(parts or (anchors,), call.scales)
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
    anchors: Tensor,
    target: Tensor | None,
    weights: Tensor,
    parts: tuple[Tensor, ...],
    wanted: tuple[bool, ...],
) -> tuple[Tensor, Tensor, tuple[Sums, Sums | None], list[Tensor | None]]:
    """Losses, logits of the positives, sums, and the gradients of anchors, target and parts of ``Σ w L``."""
    layout, n = call.layout, len(anchors)
    weights = weights.to(anchors.dtype)
    pieces = Candidates(parts or (anchors,), call.scales)
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
        )
        if call.lost(rows):
            call = replace(call, shift=None)
            return _with_gradients(call, anchors, target, weights, parts, wanted)
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
    grad_target = None if target is None else -slope
    return losses, found, (rows, columns), [grad, grad_target, *grads[: len(parts)]]


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
