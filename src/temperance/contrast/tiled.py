"""The exact sums and gradients over tiles of the similarity matrix, on any device.

Logits are dot products of anchors and candidates: what a temperature or a norm does has been multiplied into
the vectors before. Where the matrix is no larger than a tile ``whole`` takes it as one. Beyond that two ways
lead to the gradients. ``one_pass`` takes them while the exponentials of a
block of whole rows are at hand (three matrix products). ``log_sums`` and then ``gradients`` go over the
matrix twice: that serves sums over rows and columns together (four products), symmetric matrices, of
which each pair of mirrored tiles is computed once (two), and candidates that come by one after another.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from temperance.contrast.elementwise import exponential
from temperance.contrast.layout import Block, Candidates, Layout, Tile
from temperance.contrast.threads import SMALL, in_threads, workers_for

# Tiles are large enough that starting their operations costs little beside them, and small enough that what a
# thread has at hand stays in its caches. Those of one_pass are flat, since a block of whole rows is kept:
FLAT = (256, 4096)
# with so many numbers at most, for each so many coordinates: beside the gradients of wide vectors a larger
# block is small, and adding to those gradients is what takes long.
BLOCK, COORDINATES = 1 << 20, 256
# Where no block is kept, since the candidates need no gradient, half as wide: less to hold.
STREAMED = (256, 2048)
# Those of the other passes, and of a symmetric matrix:
HEIGHT, WIDTH = 512, 1024
SIDE = 512
# Rows whose positives are pulled at a time: so few that no operation on them spreads over threads.
PULLED = 128
# Logits within this bound need no shift: neither their exponentials nor sums or quotients of them leave the
# type's range.
UNSHIFTED = {torch.float32: 40.0, torch.float64: 300.0}


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
        empty = self.total == 0
        return self.total.masked_fill(empty, 1.0).log().masked_fill(empty, float("-inf"))


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


def one_pass(
    anchors: Float[Tensor, "n d"],
    candidates: Candidates,
    layout: Layout,
    shifted: bool,
    target: Float[Tensor, " n"] | None,
    slope_of: Callable[[slice, Tensor], Tensor],
    wanted: tuple[bool, ...],
    statistics: bool = False,
) -> tuple[
    Sums, Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, "n d"], list[Tensor | None]
]:
    """Sums over candidates and, in the same pass, the gradients.

    Args:
        anchors: ``(n, d)``.
        candidates: m in all.
        layout: with sums over rows.
        shifted: whether logits may be so large that their exponentials need a shift.
        target: logits of the positives, or None where they are the anchors' own candidates; their pull is
            then part of the gradients.
        slope_of: given rows, and their log-sums less their targets, the slope of the whole loss in those
            log-sums.
        wanted: which parts of the candidates need a gradient.
        statistics: whether to take means and largest logits, too.

    Returns:
        The sums, targets and slopes ``(n,)``, the gradient of the anchors, and those of the parts.
    """
    (n, d), m = anchors.shape, len(candidates)
    keep = any(wanted)
    workers = workers_for(n * m, anchors.device)
    height, width = FLAT if keep else STREAMED
    if workers == 1:
        height, width = min(n, max(height, SMALL // max(1, m))), m
    elif keep:
        height = max(32, min(height, BLOCK * max(1, d // COORDINATES) // max(1, m)))
    base_of, total_of, slope, mean_logit, largest = (anchors.new_empty(n) for _ in range(5))
    grad = torch.empty_like(anchors)
    found = anchors.new_empty(n) if target is None else target
    # Without a link, Σ e^ℓ ℓ is the dot product of the anchor with Σ e^ℓ c.
    explicit = statistics and layout.link is not None

    def work(worker: int, workers: int) -> list[Tensor | None]:
        grads = _zeros(candidates, anchors, wanted)
        buffer = anchors.new_empty(height * (m if keep else width))
        for rows in _blocks(n, height, worker, workers):
            here, block = anchors[rows], layout.block(rows)
            h = len(here)
            total, pulled, weighted = here.new_zeros(h), here.new_zeros(h, d), here.new_zeros(h)
            top = here.new_full((h,), float("-inf"))
            kept: list[tuple[Tile, Tensor, Tensor | None]] = []
            used = 0
            for tile in candidates.tiles(width, anchors.dtype):
                logits = buffer[used : used + h * len(tile.vectors)].view(h, -1)
                torch.mm(here, tile.vectors.T, out=logits)
                slopes = None
                if layout.link is not None:
                    slopes = layout.link.slope(logits.clone())
                    logits = layout.link.value(logits)
                block.leave_out(logits, tile.columns, found if target is None else None)
                before = top
                if shifted or statistics:
                    top = torch.maximum(top, logits.amax(dim=1))
                base = None
                if shifted:
                    base = top.nan_to_num(neginf=0.0)
                    shrink = torch.exp(before - base)
                    total *= shrink
                    weighted *= shrink
                    pulled *= shrink[:, None]
                    logits -= base[:, None]
                behind = logits.clone() if explicit else None
                shares = exponential(logits, out=logits)
                total += shares.sum(dim=1)
                if behind is not None:
                    behind += 0 if base is None else base[:, None]
                    weighted += behind.clamp_min_(_LOWEST).mul_(shares).sum(dim=1)
                if slopes is not None:
                    shares.mul_(slopes)
                pulled.addmm_(shares, tile.vectors)
                if keep:
                    kept.append((tile, shares, base))
                    used += logits.numel()
            last = top.nan_to_num(neginf=0.0)
            base_of[rows] = last if shifted else 0.0
            total_of[rows] = total
            margin = (base_of[rows] - found[rows]) + total.log()
            slope[rows] = slope_of(rows, margin)
            if statistics:
                largest[rows] = top
                found_mean = weighted if explicit else torch.linalg.vecdot(pulled, here)
                mean_logit[rows] = found_mean * _inverse(total)
            weight = slope[rows] * _inverse(total)
            pulled.mul_(weight[:, None])
            if target is None:
                _pull(candidates, block, here, slope[rows], pulled, grads[0])
            grad[rows] = pulled
            for tile, shares, base in kept:
                into = grads[tile.part]
                if into is None:
                    continue
                scale = weight if base is None else weight * torch.exp(base - last)
                into[tile.inside].addmm_(shares.T, here * scale[:, None])
        return grads

    grads = _added(in_threads(work, workers, anchors.device))
    sums = Sums(base_of, total_of)
    if statistics:
        sums = replace(sums, mean_logit=mean_logit, largest=largest)
    return sums, found, slope, grad, grads


def whole(
    anchors: Float[Tensor, "n d"],
    candidates: Candidates,
    layout: Layout,
    shifted: bool,
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
        shifted: as for ``one_pass``.
        target: as for ``one_pass``.
        slope_of: given the log-sums less the targets, the slopes of the loss in them.
        wanted: as for ``gradients``.
        statistics: whether to take means and largest logits, too.

    Returns:
        The log-sums less the targets, of rows and then, under ``"both"``, of columns; the sums; targets and,
        added up over both sides, slopes; the gradient of the anchors and those of the parts.
    """
    n, m = len(anchors), len(candidates)
    tiles = list(candidates.tiles(m, anchors.dtype))
    vectors = tiles[0].vectors if len(tiles) == 1 else torch.cat([t.vectors for t in tiles])
    found = anchors.new_empty(n) if target is None else target
    symmetric = layout.sums == "symmetric"

    def side(logits: Tensor, dim: int, shares: Tensor | None) -> tuple[Sums, Tensor]:
        """Sums along a side, and the exponentials; those given, where they need no shift."""
        top = logits.amax(dim) if shifted or statistics else None
        if shifted:
            assert top is not None
            base = top.nan_to_num(neginf=0.0)
            shares = torch.sub(logits, base.unsqueeze(dim))
            exponential(shares, out=shares)
        else:
            base = logits.new_zeros(logits.shape[1 - dim])
            if shares is None:
                shares = exponential(logits, out=None if statistics else logits)
        total = shares.sum(dim)
        if not statistics:
            return Sums(base, total), shares
        mean = (shares * logits.clamp_min(_LOWEST)).sum(dim) * _inverse(total)
        return Sums(base, total, mean, top), shares

    def work(
        worker: int, workers: int
    ) -> tuple[Tensor, tuple[Sums, Sums | None], Tensor, Tensor, Tensor | None]:
        logits = torch.mm(anchors, vectors.T)
        slopes = None
        if layout.link is not None:
            slopes = layout.link.slope(logits.clone())
            logits = layout.link.value(logits)
        block = layout.block(slice(0, n))
        block.leave_out(logits, slice(0, m), found if target is None else None)
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
            _pull(candidates, block, anchors, slope, grad, theirs)
        return margin, (rows, columns), slope, grad, theirs

    ((margin, sums, slope, grad, theirs),) = in_threads(work, 1, anchors.device)
    grads: list[Tensor | None] = [None] * len(wanted)
    if theirs is not None:
        grads = [theirs[t.columns] if w else None for t, w in zip(tiles, wanted, strict=True)]
    return margin, sums, found, slope, grad, grads


def log_sums(
    anchors: Float[Tensor, "n d"],
    candidates: Candidates,
    layout: Layout,
    shifted: bool,
    statistics: bool = False,
    target: Float[Tensor, " n"] | None = None,
) -> tuple[Sums, Sums | None]:
    """The log of the sum of exponentials over candidates and, as the layout says, over anchors.

    Args:
        anchors: ``(n, d)``.
        candidates: m in all; the anchors themselves under a symmetric layout.
        layout: which pairs count.
        shifted: whether logits may be so large that their exponentials need a shift.
        statistics: whether to take means and largest logits, too.
        target: ``(n,)`` where to write the logits of the anchors' own candidates, or None.

    Returns:
        Sums for each anchor, and for each candidate under ``"both"``.
    """
    n, m = len(anchors), len(candidates)
    both = layout.sums == "both"

    def work(worker: int, workers: int) -> tuple[Sums, Sums | None]:
        by_row = _Running(anchors, n, statistics)
        by_column = _Running(anchors, m, statistics) if both else None
        spare = _Spare(anchors)
        tiles = tiles_of_logits(anchors, candidates, layout, worker, workers, target)
        for rows, tile, logits, _ in tiles:
            other = by_row if _mirrored(layout, rows, tile) else by_column
            sides = [(by_row, rows, 1)]
            if other is not None:
                sides.append((other, tile.columns, 0))
            if shifted:
                for sums, index, dim in sides:
                    sums.add_shifted(index, logits, spare(*logits.shape), dim)
                continue
            shares = logits
            if statistics:
                for sums, index, dim in sides:
                    sums.rise(index, logits, dim)
                shares = spare(*logits.shape)
            exponential(logits, out=shares)
            for sums, index, dim in sides:
                sums.total[index] += shares.sum(dim)
            if statistics:
                products = logits.clamp_min_(_LOWEST).mul_(shares)
                for sums, index, dim in sides:
                    sums.weighted[index] += products.sum(dim)
        return by_row.sums(), None if by_column is None else by_column.sums()

    found = in_threads(work, workers_for(n * m, anchors.device), anchors.device)
    columns = [column for _, column in found if column is not None]
    return merge([rows for rows, _ in found]), merge(columns) if columns else None


def gradients(
    anchors: Float[Tensor, "n d"],
    candidates: Candidates,
    layout: Layout,
    shifted: bool,
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
        shifted: as it was for ``log_sums``.
        rows_at: ``base`` and ``weight`` of the anchors' ``Sums``.
        columns_at: the same of the candidates', under ``"both"``.
        wanted: which parts of the candidates need a gradient; under ``"symmetric"`` the anchors get all
            of it.
        pull: ``(n,)`` how strongly the anchors' own candidates are pulled, or None for not at all.

    Returns:
        The gradient of the anchors and those of the parts.
    """
    symmetric = layout.sums == "symmetric"
    if columns_at is None and symmetric:
        columns_at = rows_at
    # Each thread has rows of its own, unless mirrored tiles add to those of others.
    shared = None if symmetric else torch.zeros_like(anchors)

    def work(worker: int, workers: int) -> list[Tensor | None]:
        grad = torch.zeros_like(anchors) if shared is None else shared
        grads = _zeros(candidates, anchors, wanted)
        spare = _Spare(anchors)
        for rows, tile, logits, slopes in tiles_of_logits(
            anchors, candidates, layout, worker, workers, sloped=True
        ):
            mirrored = _mirrored(layout, rows, tile)
            if shifted:
                _weigh_shifted(
                    logits, spare(*logits.shape), rows, tile.columns, rows_at, columns_at
                )
            else:
                weight = rows_at[1][rows, None]
                if columns_at is not None:
                    other = columns_at[1][tile.columns]
                    weight = torch.add(weight, other, out=spare(*logits.shape))
                exponential(logits, out=logits).mul_(weight)
            if slopes is not None:
                logits.mul_(slopes)
            grad[rows].addmm_(logits, tile.vectors)
            into = grads[tile.part]
            if mirrored:
                grad[tile.columns].addmm_(logits.T, anchors[rows])
            elif into is not None:
                into[tile.inside].addmm_(logits.T, anchors[rows])
        return [grad if shared is None else None, *grads]

    workers = workers_for(len(anchors) * len(candidates), anchors.device)
    grad, *grads = _added(in_threads(work, workers, anchors.device))
    result = grad if shared is None else shared
    assert result is not None
    if pull is not None:
        pull_positives(anchors, candidates, layout, pull, result, result if symmetric else grads[0])
    return result, grads


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
        theirs: of the first part of the candidates, or None where that needs none.
    """
    height = PULLED if anchors.device.type == "cpu" else len(anchors)
    for rows in _blocks(len(anchors), height, 0, 1):
        _pull(candidates, layout.block(rows), anchors[rows], slope[rows], grad[rows], theirs)


def _pull(
    candidates: Candidates,
    block: Block,
    anchors: Tensor,
    slope: Tensor,
    grad: Tensor,
    theirs: Tensor | None,
) -> None:
    """Add the pull of a block's anchors and their positives on each other.

    Apart from the pushes, and after them: a sum of many small pushes to a large pull would lose digits.
    """
    assert block.own is not None
    index, pull = block.own.index, slope[:, None]
    grad.addcmul_(candidates.first(index, anchors.dtype), pull, value=-1)
    if theirs is None:
        return
    if isinstance(index, slice):
        theirs[index].addcmul_(anchors, pull, value=-1)
    else:
        theirs.index_add_(0, index, anchors * -pull)


class _Running:
    """Sums that grow tile by tile."""

    def __init__(self, like: Tensor, size: int, statistics: bool) -> None:
        self.base = like.new_full((size,), float("-inf"))
        self.total = like.new_zeros(size)
        self.weighted = like.new_zeros(size)
        self.largest = like.new_full((size,), float("-inf"))
        self.shifted = False
        self.statistics = statistics

    def rise(self, index: slice, logits: Tensor, dim: int) -> None:
        """Note the largest logits of a tile."""
        self.largest[index] = torch.maximum(self.largest[index], logits.amax(dim))

    def add_shifted(self, index: slice, logits: Tensor, spare: Tensor, dim: int) -> None:
        """Add a tile, its exponentials taken relative to the largest logit so far, in spare memory."""
        self.shifted = True
        before = self.base[index]
        top = torch.maximum(before, logits.amax(dim))
        base = top.nan_to_num(neginf=0.0)
        shrink = torch.exp(before - base)
        shares = torch.sub(logits, base.unsqueeze(dim), out=spare)
        exponential(shares, out=shares)
        self.base[index] = top
        self.total[index] = self.total[index] * shrink + shares.sum(dim)
        if self.statistics:
            self.largest[index] = top
            weighted = (shares * logits.clamp_min(_LOWEST)).sum(dim)
            self.weighted[index] = self.weighted[index] * shrink + weighted

    def sums(self) -> Sums:
        """What has come together."""
        base = self.base.nan_to_num(neginf=0.0) if self.shifted else torch.zeros_like(self.base)
        if not self.statistics:
            return Sums(base, self.total)
        return Sums(base, self.total, self.weighted * _inverse(self.total), self.largest)


# An excluded logit is -inf and its share 0; their product must count as 0, not as nan.
_LOWEST = torch.finfo(torch.float32).min


def _inverse(total: Tensor) -> Tensor:
    """1/x, and some number where there is nothing to divide by."""
    return total.clamp_min(torch.finfo(total.dtype).tiny * 1e6).reciprocal()


def _tile_size(n: int, m: int, workers: int) -> tuple[int, int]:
    """Height and width of tiles; one thread takes as much at a time as it may."""
    if workers > 1:
        return HEIGHT, WIDTH
    return min(n, max(HEIGHT, SMALL // max(1, m))), m


class _Spare:
    """Memory of the size of a tile, used again: new memory would cost more than the work in it."""

    def __init__(self, like: Tensor) -> None:
        self._memory = like.new_empty(0)

    def __call__(self, height: int, width: int) -> Tensor:
        if self._memory.numel() < height * width:
            self._memory = self._memory.new_empty(height * width)
        return self._memory[: height * width].view(height, width)


def _weigh_shifted(
    logits: Tensor,
    spare: Tensor,
    rows: slice,
    columns: slice,
    rows_at: tuple[Tensor, Tensor],
    columns_at: tuple[Tensor, Tensor] | None,
) -> None:
    """From logits to the slopes of the loss in them, where exponentials alone would overflow."""
    base, weight = rows_at
    if columns_at is None:
        exponential(logits.sub_(base[rows, None]), out=logits).mul_(weight[rows, None])
        return
    torch.sub(logits, base[rows, None], out=spare)
    exponential(spare, out=spare).mul_(weight[rows, None])
    base, weight = columns_at
    exponential(logits.sub_(base[columns]), out=logits).mul_(weight[columns]).add_(spare)


def _mirrored(layout: Layout, rows: slice, tile: Tile) -> bool:
    return layout.sums == "symmetric" and rows.start != tile.columns.start


def _blocks(n: int, height: int, worker: int, workers: int) -> Iterator[slice]:
    """The blocks of rows that are one worker's."""
    height = min(height, -(-n // workers))
    for top in range(worker * height, n, workers * height):
        yield slice(top, min(top + height, n))


def tiles_of_logits(
    anchors: Tensor,
    candidates: Candidates,
    layout: Layout,
    worker: int,
    workers: int,
    target: Tensor | None = None,
    *,
    sloped: bool = False,
) -> Iterator[tuple[slice, Tile, Tensor, Tensor | None]]:
    """One worker's tiles of logits; of a symmetric matrix those on and above the diagonal.

    Into ``target`` it writes the logits of the anchors' own candidates. With ``sloped`` each tile comes with
    its logits' slopes in the dot products, or None where those are the logits.
    """
    n, m = len(anchors), len(candidates)
    spare = _Spare(anchors)
    height, width = _tile_size(n, m, workers)
    mine: Iterator[tuple[slice, Tile]]
    if layout.sums == "symmetric":
        side = SIDE if workers > 1 else height
        squares = [slice(top, min(top + side, n)) for top in range(0, n, side)]
        pairs = [(r, Tile(0, c, c, anchors[c])) for i, r in enumerate(squares) for c in squares[i:]]
        mine = iter(pairs[worker::workers])
    else:
        mine = (
            (rows, tile)
            for rows in _blocks(n, height, worker, workers)
            for tile in candidates.tiles(width, anchors.dtype)
        )
    block = None
    for rows, tile in mine:
        if block is None or block.rows != rows:
            block = layout.block(rows)
        here = anchors[rows]
        logits = spare(len(here), len(tile.vectors))
        torch.mm(here, tile.vectors.T, out=logits)
        slopes = None
        if layout.link is not None:
            slopes = layout.link.slope(logits.clone()) if sloped else None
            logits = layout.link.value(logits)
        block.leave_out(logits, tile.columns, target)
        yield rows, tile, logits, slopes


def whole_rows(
    anchors: Float[Tensor, "n d"],
    candidates: Candidates,
    layout: Layout,
    rows: slice,
    into: Float[Tensor, "h m"],
) -> None:
    """Write some anchors' logits with all candidates, -inf where they do not count."""
    for tile in candidates.tiles(WIDTH, anchors.dtype):
        logits = into[:, tile.columns]
        torch.mm(anchors[rows], tile.vectors.T, out=logits)
        if layout.link is not None:
            logits.copy_(layout.link.value(logits))
    layout.block(rows).leave_out(into, slice(0, into.shape[1]))


def _zeros(candidates: Candidates, like: Tensor, wanted: tuple[bool, ...]) -> list[Tensor | None]:
    return [
        torch.zeros_like(part, dtype=like.dtype) if w else None
        for part, w in zip(candidates.parts, wanted, strict=True)
    ]


def _added(parts: list[list[Tensor | None]]) -> list[Tensor | None]:
    """Sum what the workers have, in their order, into the first one's."""
    first, *others = parts
    for other in others:
        for mine, theirs in zip(first, other, strict=True):
            if mine is not None and theirs is not None:
                mine += theirs
    return first
