"""The exact sums and gradients over tiles of the similarity matrix, on any device.

Logits are dot products of anchors and candidates: what a temperature or a norm does has been multiplied into
the vectors before. Where the matrix is no larger than a tile ``whole`` takes it as one. Beyond that two ways
lead to the gradients. ``one_pass`` takes them while the exponentials of a block of whole rows are at hand
(three matrix products). ``log_sums`` and then ``gradients`` go over the matrix twice: that serves sums over
rows and columns together (four products), symmetric matrices, of which each pair of mirrored tiles is
computed once (two), and candidates that come by one after another.
"""

import math
from collections import ChainMap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from temperance.contrast import threads
from temperance.contrast.elementwise import LOG2_E, exponential
from temperance.contrast.grid import Grid, grid_for
from temperance.contrast.layout import Block, Candidates, Layout
from temperance.contrast.memory import Memory
from temperance.contrast.threads import Turns, in_threads, workers_for

# Tiles of one_pass are flat, since a block of whole rows is kept:
FLAT = (256, 8192)
# with so many numbers, or 32 rows. The more rows, the less often all gradients of candidates are added to.
BLOCK = 13 << 17
# Gradients of so many candidates at least are added to at once.
PLACE = 1024
# Where no block is kept, since the candidates need no gradient, less wide: less to hold.
STREAMED = (256, 1536)
# Numbers of those whose positives are pulled at a time.
PULLED = 1 << 16
# Logits within this bound need no shift: neither their exponentials nor sums or quotients of them leave the
# type's range.
UNSHIFTED = {torch.float32: 40.0, torch.float64: 300.0}
# Within this one a shift for all serves, as long as no sum comes out too small, and few do. It takes in
# τ = 0.01, a logit scale of 100.
SHIFTED = {torch.float32: 104.0, torch.float64: 300.0}
# The largest exponent that the shift leaves, and the smallest sum of which nothing is lost. Larger ones would
# make slopes over them zero, smaller ones the sums of rows whose negatives are all far.
HIGHEST, LEAST = 48.0, math.exp(-56)
# Where ``whole`` takes exponentials relative to the largest logit, it drops what is this far below.
NEGLIGIBLE = {torch.float32: -60.0, torch.float64: -700.0}


@dataclass(frozen=True, eq=False)
class Sums:
    """What the sums over negatives are, side by side.

    A sum of exponentials is kept as two numbers, since its logarithm as one would be rounded: at 1000, where
    τ = 0.001 brings it, by 3e-5, and so would be every share of it, all of a row to the same side.

    Attributes:
        base: ``(n,)`` what logits are taken relative to; finite.
        total: ``(n,)`` sum of the exponentials of logits less the base; 0 where nothing counts.
        mean_logit: ``(n,)`` mean of the logits by the softmax over them; None unless asked for.
        largest: ``(n,)`` the largest logit; None unless asked for.
    """

    base: Float[Tensor, " n"]
    total: Float[Tensor, " n"]
    mean_logit: Float[Tensor, " n"] | None = None
    largest: Float[Tensor, " n"] | None = None

    @property
    def log_sum(self) -> Float[Tensor, " n"]:
        """Log of the sum of exponentials; -inf where nothing counts."""
        return self.base + self._log_total()

    def above(self, target: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """``log_sum - target``, with the digits that are left when both are large."""
        return (self.base - target) + self._log_total()

    def weight(self, slope: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """What e^(ℓ - base) is multiplied by, given the slope of a loss in ``log_sum``."""
        return slope * _inverse(self.total)

    def flat(self) -> list[Float[Tensor, " n"]]:
        """Those that there are."""
        given = (self.base, self.total, self.mean_logit, self.largest)
        return [x for x in given if x is not None]

    def _log_total(self) -> Float[Tensor, " n"]:
        """Without a gradient, instead of nan, where nothing counts."""
        if not self.total.requires_grad:
            return self.total.log()
        empty = self.total == 0
        return self.total.masked_fill(empty, 1.0).log().masked_fill(empty, float("-inf"))


def shift_of(bound: float, dtype: torch.dtype, one_for_all: bool) -> float | None:
    """What to take exponentials relative to: one number for all, or None: each row's largest logit so far.

    Args:
        bound: no logit is larger, in absolute value.
        dtype: of the logits.
        one_for_all: whether that number may be other than 0; the sums must then be seen by ``held``.
    """
    if bound <= UNSHIFTED[dtype]:
        return 0.0
    if one_for_all and bound <= SHIFTED[dtype]:
        return max(0.0, bound - HIGHEST)
    return None


def held(sums: Sequence[Sums | None]) -> bool:
    """Whether nothing was lost in sums that had one shift for all."""
    lowest = min(float(x.total.amin()) for x in sums if x is not None)
    highest = max(float(x.total.amax()) for x in sums if x is not None)
    return lowest >= LEAST and highest < math.inf


def merge(parts: Sequence[Sums]) -> Sums:
    """The sums over several sets of candidates as one."""
    if len(parts) == 1:
        return parts[0]
    totals = torch.stack([part.total for part in parts])
    bases = torch.stack([part.base for part in parts])
    # An empty sum's base says nothing.
    bases = bases.masked_fill(totals == 0, float("-inf"))
    base = bases.amax(dim=0).nan_to_num(neginf=0.0)
    totals = totals * torch.exp(bases - base)
    total = totals.sum(dim=0)
    means = [part.mean_logit for part in parts if part.mean_logit is not None]
    tops = [part.largest for part in parts if part.largest is not None]
    if not means:
        return Sums(base, total)
    mean = (totals * torch.stack(means)).sum(dim=0) * _inverse(total)
    return Sums(base, total, mean, torch.stack(tops).amax(dim=0))


def below_one_another(parts: Sequence[Sums]) -> Sums:
    """The sums of several sets of anchors as one."""
    return Sums(*(torch.cat(each) for each in zip(*(part.flat() for part in parts), strict=True)))


def one_pass(
    anchors: Float[Tensor, "n d"],
    candidates: Candidates,
    layout: Layout,
    shift: float | None,
    target: Float[Tensor, " n"] | None,
    slope_of: Callable[[slice, Tensor], Tensor],
    wanted: tuple[bool, ...],
    statistics: bool = False,
    *,
    spent: bool = False,
) -> tuple[
    Sums, Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, "n d"], list[Tensor | None]
]:
    """Sums over candidates and, in the same pass, the gradients.

    Args:
        anchors: ``(n, d)``.
        candidates: m in all.
        layout: with sums over rows.
        shift: what the exponentials of logits are taken relative to, from ``shift_of``.
        target: logits of the positives, or None where they are the anchors' own candidates; their pull is
            then part of the gradients.
        slope_of: given rows, and their log-sums less their targets, the slope of the whole loss in those
            log-sums.
        wanted: which parts of the candidates need a gradient.
        statistics: whether to take means and largest logits, too.
        spent: whether the anchors are not needed afterwards; their gradient may then take their place.

    Returns:
        The sums, targets and slopes ``(n,)``, the gradient of the anchors, and those of the parts.
    """
    n, m = len(anchors), len(candidates)
    keep = any(wanted)
    workers = workers_for(n * m, anchors.device)
    height, width = FLAT if keep else STREAMED
    if layout.temper is not None:
        width = m
    if threads.at_once(n * m, anchors.device):
        height, width = min(n, max(height, threads.SMALL // max(1, m))), m
    elif keep:
        height = max(32, min(height, BLOCK // max(1, m)))
        height = min(height, -(-n // workers))
    else:
        width = max(256, min(width, -(-m // workers)))
    grid = Grid(anchors, candidates, layout, height, width, shift=shift)
    found = anchors.new_empty(n) if target is None else target
    into = found if target is None else None
    slope = anchors.new_empty(n)

    # One sum for all threads, in the order of the blocks: a sum for each would be as large as the candidates.
    # The more threads, the more places there are for them to add at side by side.
    grads = _zeros(candidates, anchors, wanted)
    step = max(PLACE, -(-m // max(1, workers - 1)))
    places = [
        (j, slice(top, top + step), g[top : top + step])
        for j, g in enumerate(grid.pieces(grads))
        if g is not None
        for top in range(0, len(g), step)
    ]
    turns = Turns(len(grid.blocks), len(places))

    def by_block(i: int, memory: list[Memory], loaded: Memory) -> Sums:
        block, here = grid.blocks[i], grid.anchors[i]
        # Apart from where it goes in the end: until then the anchors may be there.
        pulled = torch.zeros_like(here)
        strip = _Strip(grid, i, pulled, statistics)
        shares = [strip.add(j, memory[j], loaded, into) for j in range(len(grid.tiles))]
        sums = strip.sums()
        if strip.inverse is not None:
            targets[i].mul_(strip.inverse)
        pull = slope_of(block.rows, sums.above(targets[i]))
        slopes[i].copy_(pull)
        if strip.inverse is not None:
            pull = pull * strip.inverse
        weight = sums.weight(pull)[:, None]
        pulled *= weight
        if target is None:
            _pull(candidates, block, pull, pulled)
        scaled = here * weight
        for place, (j, inside, g) in enumerate(places):
            pushing = strip.since(j, scaled)
            with turns.at(place, i):
                g.addmm_(shares[j][inside], pushing)
                if target is None:
                    start = grid.tiles[j].columns.start + inside.start
                    _pull_back(block, slice(start, start + len(g)), here, pull, g)
        grads_of[i].copy_(pulled)
        return sums

    def by_rows(worker: int, workers: int) -> dict[int, Sums]:
        memory, loaded = [Memory(anchors) for _ in grid.tiles], Memory(anchors)
        return turns.each(lambda i: by_block(i, memory, loaded))

    def by_columns(worker: int, workers: int) -> tuple[Sums, Tensor]:
        memory, loaded = Memory(anchors), Memory(anchors)
        pulled = torch.zeros_like(anchors)
        sums = []
        for i, some in enumerate(grid.rows(pulled)):
            strip = _Strip(grid, i, some, statistics)
            for j in range(worker, len(grid.tiles), workers):
                strip.add(j, memory, loaded, into)
            sums.append(strip.sums())
        return below_one_another(sums), pulled

    if not keep:
        parts = in_threads(by_columns, workers, anchors.device)
        sums = merge([part for part, _ in parts])
        slope = slope_of(slice(0, n), sums.above(found))
        weight = sums.weight(slope)
        grad = torch.zeros_like(anchors)
        for part, pulled in parts:
            grad.addcmul_(pulled, (weight * _brought(part.base, sums.base))[:, None])
        if target is None:
            pull_positives(anchors, candidates, layout, slope, grad, None)
        return sums, found, slope, grad, [None] * len(wanted)
    grad = anchors if spent else torch.empty_like(anchors)
    slopes, targets, grads_of = (grid.rows(x) for x in (slope, found, grad))
    done = dict(ChainMap(*in_threads(by_rows, workers, anchors.device)))
    sums = below_one_another([done[i] for i in range(len(grid.blocks))])
    return sums, found, slope, grad, grads


class _Strip:
    """A block of anchors that meets one tile of candidates after another."""

    def __init__(self, grid: Grid, i: int, pulled: Float[Tensor, "h d"], statistics: bool) -> None:
        """Begin with nothing in ``pulled``, which comes to be Σ e^(ℓ - base) c, times slopes under a link."""
        self._grid, self._i = grid, i
        self._pulled = pulled
        self._statistics = statistics
        # Without a link, Σ e^ℓ ℓ is the dot product of the anchor with Σ e^ℓ c.
        self._explicit = statistics and grid.layout.link is not None
        self._total, self._weighted = pulled.new_zeros(2, len(pulled)).unbind()
        self._top = pulled.new_full((len(pulled),), float("-inf"))
        self._base = torch.full_like(self._total, grid.offset)
        self._bases: list[Tensor] = []
        # 1/τ of each anchor, where the layout tempers them.
        self.inverse: Tensor | None = None

    def add(
        self, j: int, memory: Memory, loaded: Memory, target: Float[Tensor, " n"] | None
    ) -> Float[Tensor, "w h"]:
        """Add a tile; returns what its candidates were multiplied by, turned."""
        grid = self._grid
        cell = grid.cell(self._i, j, memory, loaded, target, sloped=True)
        logits, before = cell.logits, self._top
        if grid.layout.temper is not None:
            top, self.inverse = grid.layout.temper(grid.blocks[self._i].rows, logits)
            self._base = top * self.inverse
            self._bases.append(self._base)
            shares = exponential(logits.mul_(self.inverse[:, None]), logits)
            self._total += shares.sum(dim=1)
            self._pulled.addmm_(shares, cell.vectors)
            return cell.turned
        running = grid.shift is None
        if running or self._statistics:
            self._top = torch.maximum(before, logits.amax(dim=1))
        if running:
            self._base = self._top.nan_to_num(neginf=0.0)
            if self._bases:
                shrink = torch.exp(before - self._base)
                self._total *= shrink
                self._weighted *= shrink
                self._pulled *= shrink[:, None]
            logits -= self._base[:, None]
        behind = logits.clone() if self._explicit else None
        shares = exponential(logits, logits, grid.unit)
        self._total += shares.sum(dim=1)
        if behind is not None:
            behind += self._base[:, None]
            self._weighted += behind.clamp_min_(_LOWEST).mul_(shares).sum(dim=1)
        if cell.slopes is not None:
            shares.mul_(cell.slopes)
        self._pulled.addmm_(shares, cell.vectors)
        self._bases.append(self._base)
        return cell.turned

    def sums(self) -> Sums:
        """What has come together."""
        if not self._statistics:
            return Sums(self._base, self._total)
        weighted = self._weighted
        if not self._explicit:
            weighted = torch.linalg.vecdot(self._pulled, self._grid.anchors[self._i])
        mean = weighted * _inverse(self._total)
        largest = self._top / self._grid.unit + self._grid.offset
        return Sums(self._base, self._total, mean, largest)

    def since(self, j: int, x: Float[Tensor, "h d"]) -> Float[Tensor, "h d"]:
        """Brought from the last base to that of the number ``j`` among the tiles."""
        if self._bases[j] is self._base:
            return x
        return x * _brought(self._bases[j], self._base)[:, None]


def whole(
    anchors: Float[Tensor, "n d"],
    candidates: Candidates,
    layout: Layout,
    shift: float | None,
    target: Float[Tensor, " n"] | None,
    slope_of: Callable[[Tensor], Tensor],
    wanted: tuple[bool, ...],
    statistics: bool = False,
) -> tuple[
    Float[Tensor, " k"],
    tuple[Sums, Sums | None],
    Float[Tensor, " n"],
    Float[Tensor, " n"],
    Float[Tensor, "n d"],
    list[Tensor | None],
]:
    """Sums and gradients of a matrix that is small enough to be held: few operations, each on all of it.

    Args:
        anchors: ``(n, d)``.
        candidates: m in all; the anchors themselves under a symmetric layout.
        layout: any.
        shift: 0 or None, as for ``one_pass``.
        target: as for ``one_pass``.
        slope_of: given the log-sums less the targets, the slopes of the loss in them.
        wanted: as for ``gradients``.
        statistics: whether to take means and largest logits, too.

    Returns:
        The log-sums less the targets, of rows and then, under ``"both"``, of columns; the sums; targets and,
        added up over both sides, slopes; the gradient of the anchors and those of the parts.
    """
    assert not shift
    n, link = len(anchors), layout.link
    shifted, symmetric = shift is None, layout.sums == "symmetric"
    unit = 1.0 if shifted or link is not None else LOG2_E
    vectors = candidates.joined(anchors.dtype)
    block = layout.block(slice(0, n), unit)
    found = anchors.new_empty(n) if target is None else target

    def side(logits: Tensor, dim: int, shares: Tensor | None) -> tuple[Sums, Tensor]:
        """Sums along a side, and the exponentials; those given, where they need no shift."""
        top = logits.amax(dim) if shifted or statistics else None
        if shifted:
            assert top is not None
            base = top.nan_to_num(neginf=0.0)
            shares = torch.sub(logits, base.unsqueeze(dim))
            # Here torch may spread operations over threads of its own, which do keep subnormal numbers.
            shares = exponential(
                torch.threshold_(shares, NEGLIGIBLE[shares.dtype], float("-inf")), out=shares
            )
        else:
            base = logits.new_zeros(logits.shape[1 - dim])
            if shares is None:
                shares = exponential(logits, None if statistics else logits, unit)
        total = shares.sum(dim)
        if top is None or not statistics:
            return Sums(base, total), shares
        mean = (shares * logits.clamp_min(_LOWEST)).sum(dim) * _inverse(total)
        return Sums(base, total, mean / unit, top / unit), shares

    def work(
        worker: int, workers: int
    ) -> tuple[Tensor, tuple[Sums, Sums | None], Tensor, Tensor, Tensor | None]:
        logits = anchors.new_empty(n, len(vectors))
        logits.addmm_(anchors, vectors.T, beta=0, alpha=unit)
        slopes = None
        if link is not None:
            slopes, logits = link.slope(logits.clone()), link.value(logits)
        block.leave_out(logits, slice(0, len(vectors)), found if target is None else None)
        rows, shares = side(logits, 1, None)
        columns = None
        margin = rows.above(found)
        if layout.sums == "both":
            columns, others = side(logits, 0, shares)
            margin = torch.cat([margin, columns.above(found)])
        slope = slope_of(margin)
        weight = rows.weight(slope[:n])[:, None]
        if columns is None:
            pushes = shares.mul_(weight)
            if symmetric:
                pushes = pushes + pushes.T
        else:
            across = columns.weight(slope[n:])
            slope = slope[:n] + slope[n:]
            if shifted:
                pushes = shares.mul_(weight).add_(others.mul_(across))
            else:
                pushes = shares.mul_(weight + across)
        if slopes is not None:
            pushes.mul_(slopes)
        grad = torch.mm(pushes, vectors)
        theirs = torch.mm(pushes.T, anchors) if any(wanted) and not symmetric else None
        if target is None and symmetric:
            # Each is its positive's positive.
            assert layout.own is not None
            both = (slope + slope[layout.own])[:, None]
            grad.addcmul_(anchors[layout.own], both, value=-1)
        elif target is None:
            _pull(candidates, block, slope, grad)
            if theirs is not None:
                _pull_back(block, slice(0, len(theirs)), anchors, slope, theirs)
        return margin, (rows, columns), slope, grad, theirs

    ((margin, sums, slope, grad, theirs),) = in_threads(work, 1, anchors.device)
    grads: list[Tensor | None] = [None] * len(wanted)
    if theirs is not None:
        parts = theirs.split_with_sizes([len(part) for part in candidates.parts])
        grads = [x if w else None for x, w in zip(parts, wanted, strict=True)]
    return margin, sums, found, slope, grad, grads


def log_sums(
    anchors: Float[Tensor, "n d"],
    candidates: Candidates,
    layout: Layout,
    shift: float | None,
    statistics: bool = False,
    target: Float[Tensor, " n"] | None = None,
) -> tuple[Sums, Sums | None]:
    """The log of the sum of exponentials over candidates and, as the layout says, over anchors.

    Args:
        anchors: ``(n, d)``.
        candidates: m in all; the anchors themselves under a symmetric layout.
        layout: which pairs count.
        shift: what the exponentials of logits are taken relative to, from ``shift_of``.
        statistics: whether to take means and largest logits, too.
        target: ``(n,)`` where to write the logits of the anchors' own candidates, or None.

    Returns:
        Sums for each anchor, and for each candidate under ``"both"``.
    """
    n, m = len(anchors), len(candidates)
    grid = grid_for(anchors, candidates, layout, shift)

    def work(worker: int, workers: int) -> tuple[Sums, Sums | None]:
        by_row = _Running(anchors, n, grid.rows, statistics)
        by_column = None
        if layout.sums == "both":
            by_column = _Running(anchors, m, grid.columns, statistics)
        spare = Memory(anchors)
        for i, j, logits, *_, full in grid.walk(worker, workers, target):
            sides = [(by_row, i, 1)]
            other = by_row if grid.mirrored(i, j) else by_column
            if other is not None:
                sides.append((other, j, 0))
            if shift is None:
                for sums, k, dim in sides:
                    sums.add_shifted(k, logits, spare(*logits.shape), dim)
                continue
            if statistics:
                for sums, k, dim in sides:
                    sums.rise(k, logits, dim)
            shares = exponential(logits, spare(*logits.shape) if statistics else logits, grid.unit)
            for sums, k, dim in sides:
                sums.totals[k].add_(shares.sum(dim))
            if statistics:
                products = (logits if full else logits.clamp_min_(_LOWEST)).mul_(shares)
                for sums, k, dim in sides:
                    sums.weighted[k].add_(products.sum(dim))
        return by_row.sums(grid), None if by_column is None else by_column.sums(grid)

    found = in_threads(work, grid.workers, anchors.device)
    columns = [column for _, column in found if column is not None]
    return merge([rows for rows, _ in found]), merge(columns) if columns else None


def gradients(
    anchors: Float[Tensor, "n d"],
    candidates: Candidates,
    layout: Layout,
    shift: float | None,
    rows_at: tuple[Float[Tensor, " n"], Float[Tensor, " n"]],
    columns_at: tuple[Float[Tensor, " m"], Float[Tensor, " m"]] | None,
    wanted: tuple[bool, ...],
    pull: Float[Tensor, " n"] | None = None,
) -> tuple[Float[Tensor, "n d"], list[Tensor | None]]:
    """The gradients, given the sums and what e^(ℓ - base) counts in them.

    Args:
        anchors: ``(n, d)``.
        candidates: m in all.
        layout: which pairs count.
        shift: as it was for ``log_sums``.
        rows_at: ``base`` and ``weight`` of the anchors' ``Sums``.
        columns_at: the same of the candidates', under ``"both"``.
        wanted: which parts of the candidates need a gradient; under ``"symmetric"`` the anchors get all
            of it.
        pull: ``(n,)`` how strongly the anchors' own candidates are pulled, or None for not at all.

    Returns:
        The gradient of the anchors and those of the parts.
    """
    symmetric = layout.sums == "symmetric"
    assert not (symmetric and any(wanted))
    if columns_at is None and symmetric:
        columns_at = rows_at
    grid = grid_for(anchors, candidates, layout, shift)
    by_row_at = [grid.rows(x) for x in (rows_at[0][:, None], rows_at[1][:, None])]
    by_column_at = None if columns_at is None else [grid.columns(x) for x in columns_at]
    grad, grads = torch.zeros_like(anchors), _zeros(candidates, anchors, wanted)
    ours, theirs = grid.rows(grad), grid.pieces(grads)
    turns = Turns(len(grid.blocks), len(grid.tiles))

    def by_row(i: int, memory: Memory, loaded: Memory, spare: Memory) -> None:
        # Apart from what other rows' mirrored tiles add to it.
        pulled = torch.zeros_like(ours[i]) if symmetric else ours[i]
        # From the last tile on: there each waits for the add of the row before it, and then for none.
        for j in reversed(range(i if symmetric else 0, len(grid.tiles))):
            _, _, logits, turned, slopes, vectors, _ = grid.cell(i, j, memory, loaded, sloped=True)
            at = by_row_at[0][i], by_row_at[1][i]
            other = None if by_column_at is None else (by_column_at[0][j], by_column_at[1][j])
            if shift is None:
                _weigh_shifted(logits, spare, at, other)
            else:
                weight = at[1]
                if other is not None:
                    weight = torch.add(weight, other[1], out=spare(*logits.shape))
                exponential(logits, logits, grid.unit).mul_(weight)
            if slopes is not None:
                logits.mul_(slopes)
            pulled.addmm_(logits, vectors)
            into = ours[j] if grid.mirrored(i, j) else theirs[j]
            if into is not None:
                with turns.at(j, i):
                    into.addmm_(turned, grid.anchors[i])
        if symmetric:
            with turns.at(i, i):
                ours[i].add_(pulled)

    def work(worker: int, workers: int) -> None:
        memory, loaded, spare = (Memory(anchors) for _ in range(3))
        turns.each(lambda i: by_row(i, memory, loaded, spare))

    in_threads(work, grid.workers, anchors.device)
    if pull is not None:
        pull_positives(anchors, candidates, layout, pull, grad, grads[0])
    return grad, grads


def pull_positives(
    anchors: Float[Tensor, "n d"],
    candidates: Candidates,
    layout: Layout,
    slope: Float[Tensor, " n"],
    grad: Float[Tensor, "n d"],
    theirs: Float[Tensor, "m d"] | None,
) -> None:
    """Add to gradients the pull of all anchors and their own candidates on each other.

    Args:
        anchors: ``(n, d)``.
        candidates: of which the first part holds the positives.
        layout: which those are.
        slope: ``(n,)`` how strongly each pair is pulled.
        grad: of the anchors.
        theirs: of the first part of the candidates, or None where that needs none. Under ``"symmetric"`` the
            anchors get all of it.
    """
    n, d = anchors.shape
    if layout.sums == "symmetric":
        # Each is its positive's positive.
        assert layout.own is not None
        slope, theirs = slope + slope[layout.own], None
    height = n if anchors.device.type != "cpu" else max(1, PULLED // d)
    blocks = layout.blocks(n, height)
    along = [torch.split(x, height) for x in (anchors, slope, grad)]

    def work(worker: int, workers: int) -> None:
        for k in range(worker, len(blocks), workers):
            here, pull, into = (x[k] for x in along)
            _pull(candidates, blocks[k], pull, into)
            if theirs is not None:
                _pull_back(blocks[k], slice(0, len(theirs)), here, pull, theirs)

    # Under sums over rows two anchors may have one positive, and threads would write to it at once.
    workers = 1 if layout.sums == "rows" else workers_for(n * n, anchors.device)
    in_threads(work, workers, anchors.device)


def _pull(candidates: Candidates, block: Block, slope: Tensor, grad: Tensor) -> None:
    """Add to the gradient of a block's anchors the pull of their positives.

    Apart from the pushes, and after them: a sum of many small pushes to a large pull would lose digits.
    """
    assert block.own is not None
    grad.addcmul_(candidates.first(block.own.index, grad.dtype), slope[:, None], value=-1)


def _pull_back(
    block: Block, columns: slice, anchors: Tensor, slope: Tensor, theirs: Tensor
) -> None:
    """Add to the gradient of some candidates the pull of the block's anchors whose positives they are."""
    assert block.own is not None
    places = block.own.places(columns)
    if places is None:
        return
    rows, index = places
    if isinstance(index, slice):
        theirs[index].addcmul_(anchors[rows], slope[rows, None], value=-1)
        return
    if len(index) < len(anchors):
        anchors, slope = anchors[rows], slope[rows]
    theirs.index_add_(0, index, anchors * -slope[:, None])


class _Running:
    """Sums that grow tile by tile, all along a side of the matrix and cut as that is."""

    def __init__(
        self, like: Tensor, size: int, cut: Callable[[Tensor], Sequence[Tensor]], statistics: bool
    ) -> None:
        lowest, zeros = like.new_full((size,), float("-inf")), like.new_zeros(size)
        self._whole = lowest, zeros, torch.zeros_like(zeros), lowest.clone()
        self._bases, self.totals, self.weighted, self._largest = map(cut, self._whole)
        self._statistics = statistics

    def rise(self, k: int, logits: Tensor, dim: int) -> None:
        """Note the largest logits of a tile."""
        largest = self._largest[k]
        torch.maximum(largest, logits.amax(dim), out=largest)

    def add_shifted(self, k: int, logits: Tensor, spare: Tensor, dim: int) -> None:
        """Add a tile, its exponentials taken relative to the largest logit so far, in spare memory."""
        before = self._bases[k]
        top = torch.maximum(before, logits.amax(dim))
        base = top.nan_to_num(neginf=0.0)
        shrink = torch.exp(before - base)
        shares = torch.sub(logits, base.unsqueeze(dim), out=spare)
        exponential(shares, out=shares)
        before.copy_(top)
        self.totals[k].mul_(shrink).add_(shares.sum(dim))
        if self._statistics:
            self._largest[k].copy_(top)
            weighted = (shares * logits.clamp_min(_LOWEST)).sum(dim)
            self.weighted[k].mul_(shrink).add_(weighted)

    def sums(self, grid: Grid) -> Sums:
        """What has come together."""
        base, total, weighted, largest = self._whole
        one = grid.shift
        base = base.nan_to_num(neginf=0.0) if one is None else torch.full_like(base, one)
        if not self._statistics:
            return Sums(base, total)
        mean = weighted * _inverse(total) / grid.unit + grid.offset
        return Sums(base, total, mean, largest / grid.unit + grid.offset)


# An excluded logit is -inf and its share 0; their product must count as 0, not as nan.
_LOWEST = torch.finfo(torch.float32).min


def _brought(base: Tensor, later: Tensor) -> Tensor:
    """What brings exponentials from a base to a later one, lower only where nothing counted so far."""
    return torch.exp((base - later).clamp_max(0.0))


def _inverse(total: Tensor) -> Tensor:
    """1/x, and some number where there is nothing to divide by."""
    return total.clamp_min(torch.finfo(total.dtype).tiny * 1e6).reciprocal()


def _weigh_shifted(
    logits: Tensor,
    spare: Memory,
    at: tuple[Tensor, Tensor],
    other: tuple[Tensor, Tensor] | None,
) -> None:
    """From logits to the slopes of the loss in them, where exponentials alone would overflow."""
    base, weight = at
    if other is None:
        exponential(logits.sub_(base), out=logits).mul_(weight)
        return
    more = torch.sub(logits, base, out=spare(*logits.shape))
    exponential(more, out=more).mul_(weight)
    base, weight = other
    exponential(logits.sub_(base), out=logits).mul_(weight).add_(more)


def whole_rows(
    anchors: Float[Tensor, "n d"],
    candidates: Candidates,
    layout: Layout,
    rows: slice,
    into: Float[Tensor, "h m"],
) -> None:
    """Write some anchors' logits with all candidates, -inf where they do not count."""
    loaded = Memory(anchors)
    for tile in candidates.tiles(FLAT[1], anchors.dtype):
        logits = into[:, tile.columns]
        torch.mm(anchors[rows], tile.load(loaded)[1], out=logits)
        if layout.link is not None:
            logits.copy_(layout.link.value(logits))
    layout.block(rows).leave_out(into, slice(0, into.shape[1]))


def _zeros(candidates: Candidates, like: Tensor, wanted: tuple[bool, ...]) -> list[Tensor | None]:
    return [
        torch.zeros_like(part, dtype=like.dtype) if w else None
        for part, w in zip(candidates.parts, wanted, strict=True)
    ]
