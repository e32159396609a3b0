"""Which pairs of anchor and candidate a loss compares, and what it sums over."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from temperance.contrast.elementwise import Elementwise
from temperance.contrast.memory import Memory

Sums = Literal["rows", "both", "symmetric"]
# Where the numbers are computed, and over whose candidates; see ``contrast``.
Backend = Literal["auto", "dense", "tiled", "triton", "ring", "gather"]
OVER_RANKS = ("ring", "gather")
# Given rows, and all their logits at τ = 1 in one block: returns the largest of each row, and its 1/τ. The
# block is left less those, and what does not count only so low that its share is 0. Threads ask at once.
Temper = Callable[[slice, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Layout:
    """The shape of a loss, apart from its vectors.

    Attributes:
        sums: what is summed over. ``"rows"``: the candidates, for each anchor. ``"both"``: also the anchors,
            for each candidate; there are as many, and anchor i and candidate i are each other's positive.
            ``"symmetric"``: the anchors are their own candidates, and none is its own negative.
        itself: ``(n,)`` which candidate is the anchor itself and so no negative of it, or None where it is
            not among the candidates. Under ``"symmetric"`` that is candidate i of anchor i.
        own: ``(n,)`` which candidate is each anchor's positive and so no negative of it, or None where the
            positive is not among the candidates. Under ``"symmetric"`` the positive of i's positive is i.
        anchor_class: ``(n,)`` classes by which pairs are kept or left out, or None.
        candidate_class: ``(m,)`` the same for candidates.
        same_class: whether the pairs of one class are kept, or those of different ones.
        floor: ``(n,)`` logits below which a candidate is left out, or None.
        link: what makes a dot product a logit, or None where they are the same.
        temper: what finds each anchor's temperature while all its logits are at hand, or None. That is where
            gradients are taken in one pass: of a large matrix, with sums over the rows of one part of
            candidates, and with weights; and it goes with neither floor, link, target nor statistics.
    """

    sums: Sums = "rows"
    itself: Int[Tensor, " n"] | None = None
    own: Int[Tensor, " n"] | None = None
    anchor_class: Int[Tensor, " n"] | None = None
    candidate_class: Int[Tensor, " m"] | None = None
    same_class: bool = False
    floor: Float[Tensor, " n"] | None = None
    link: Elementwise | None = None
    temper: Temper | None = None

    def __post_init__(self) -> None:
        """A symmetric matrix has a diagonal, and it must be left out.

        Raises:
            ValueError: where nobody said so.
        """
        if self.sums == "symmetric" and self.itself is None:
            raise ValueError("a symmetric layout needs itself, the number of each anchor")

    def block(self, rows: slice, unit: float = 1.0) -> "Block":
        """What is to be left out of some rows, where logits come multiplied by ``unit``."""
        own, itself = (_Marks.of(x, [rows])[0] for x in (self.own, self.itself))
        return Block(self, rows, own, itself, unit)

    def blocks(self, n: int, height: int, unit: float = 1.0, shift: float = 0.0) -> list["Block"]:
        """The same for all n rows, so many at a time, where logits ℓ come as ``unit (ℓ - shift)``."""
        rows = [slice(top, min(top + height, n)) for top in range(0, n, max(1, height))]
        marks = zip(rows, _Marks.of(self.own, rows), _Marks.of(self.itself, rows), strict=True)
        return [Block(self, *each, unit, shift) for each in marks]

    def taken(self, rows: Int[Tensor, " h"]) -> "Layout":
        """The same for some of the anchors, with sums over candidates."""
        given = ("own", "itself", "anchor_class", "floor")
        some = {name: x[rows] for name in given if (x := getattr(self, name)) is not None}
        return replace(self, sums="rows", **some)

    def moved(self, start: int) -> "Layout":
        """The same where the candidates stand behind ``start`` others, which are all negatives."""
        own, itself = (None if x is None else x + start for x in (self.own, self.itself))
        return replace(self, own=own, itself=itself)

    def split(self, size: int) -> tuple["Layout", "Layout"]:
        """The layouts towards the first ``size`` candidates and towards the rest, which hold no positives."""
        rest = self.among_others()
        if self.candidate_class is None:
            return self, rest
        theirs, ours = self.candidate_class[:size], self.candidate_class[size:]
        return replace(self, candidate_class=theirs), replace(rest, candidate_class=ours)

    def among_others(self) -> "Layout":
        """The same for candidates that are none of the anchors and none of their positives."""
        sums: Sums = "both" if self.sums == "both" else "rows"
        return replace(self, sums=sums, own=None, itself=None)


@dataclass(frozen=True, eq=False)
class _Marks:
    """One candidate for each row of a block.

    Attributes:
        index: ``(h,)`` which, or a slice where they follow one another, as most do.
        first: the lowest of them.
        last: the highest. Most tiles hold none of them, and two numbers tell.
    """

    index: Int[Tensor, " h"] | slice
    first: int
    last: int

    @staticmethod
    def of(index: Int[Tensor, " n"] | None, blocks: list[slice]) -> "list[_Marks | None]":
        """For each block of rows, looking at as few numbers one by one as can be."""
        if index is None:
            return [None] * len(blocks)
        start, stop = blocks[0].start, blocks[-1].stop
        here = index[start:stop]
        first = int(here[0])
        run = torch.arange(first, first + stop - start, dtype=here.dtype, device=here.device)
        if torch.equal(here, run):
            away = first - start
            return [_Marks.consecutive(rows.start + away, rows.stop + away) for rows in blocks]
        breaks = ((here[1:] - here[:-1] != 1).nonzero()[:, 0] + start).tolist()
        firsts = here[:: blocks[0].stop - start].tolist()
        found: list[_Marks | None] = []
        for rows, first in zip(blocks, firsts, strict=True):
            if bisect_left(breaks, rows.start) == bisect_left(breaks, rows.stop - 1):
                found.append(_Marks.consecutive(first, first + rows.stop - rows.start))
            else:
                some = index[rows]
                found.append(_Marks(some, int(some.min()), int(some.max())))
        return found

    @staticmethod
    def consecutive(start: int, stop: int) -> "_Marks":
        """Candidates that follow one another."""
        return _Marks(slice(start, stop), start, stop - 1)

    def places(self, columns: slice) -> tuple[Tensor | slice, Tensor | slice] | None:
        """Row and column of those that lie in a tile, or None."""
        if columns.stop <= self.first or self.last < columns.start:
            return None
        if isinstance(self.index, slice):
            start, stop = max(self.first, columns.start), min(self.last + 1, columns.stop)
            return (
                slice(start - self.first, stop - self.first),
                slice(start - columns.start, stop - columns.start),
            )
        if columns.start <= self.first and self.last < columns.stop:
            return torch.arange(
                len(self.index), device=self.index.device
            ), self.index - columns.start
        inside = (self.index >= columns.start) & (self.index < columns.stop)
        hit = inside.nonzero(as_tuple=True)[0]
        return hit, self.index[hit] - columns.start


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows of a layout.

    Attributes:
        layout: of all rows.
        rows: which these are.
        own: the candidates that are their positives, or None.
        itself: the candidates that are the anchors themselves, or None.
        unit: what logits have been multiplied by, after
        shift: has been taken from them.
    """

    layout: Layout
    rows: slice
    own: _Marks | None
    itself: _Marks | None
    unit: float = 1.0
    shift: float = 0.0

    def leave_out(
        self,
        logits: Float[Tensor, "h w"],
        columns: slice,
        target: Float[Tensor, " n"] | None = None,
    ) -> bool:
        """Set the entries of a tile of logits that do not count to -inf, and note those of the positives.

        Returns:
            Whether there may be any.
        """
        layout, rows = self.layout, self.rows
        left_out = False
        for marks in (self.own, self.itself):
            places = None if marks is None else marks.places(columns)
            if places is None:
                continue
            left_out = True
            # Rows and columns that follow one another meet on a diagonal.
            run = isinstance(places[0], slice)
            marked = logits[places].diagonal() if run else logits[places]
            if marks is self.own and target is not None:
                found = marked / self.unit
                if self.shift:
                    found += self.shift
                target[rows][places[0]] = found
                if layout.sums == "symmetric":
                    target[columns][places[1]] = found
            if run:
                marked.fill_(float("-inf"))
            else:
                logits[places] = float("-inf")
        if layout.anchor_class is not None and layout.candidate_class is not None:
            same = layout.anchor_class[rows, None] == layout.candidate_class[columns]
            logits.masked_fill_(~same if layout.same_class else same, float("-inf"))
            left_out = True
        if layout.floor is not None:
            floor = self.unit * (layout.floor[rows, None] - self.shift)
            logits.masked_fill_(logits < floor, float("-inf"))
            left_out = True
        return left_out


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates in pieces, so that a queue need not be copied to stand beside a batch.

    Attributes:
        parts: ``(m_p, d)`` each.
        scales: for each part, ``(m_p,)`` numbers by which its rows are multiplied when they are used, or
            None.
    """

    parts: tuple[Tensor, ...]
    scales: tuple[Tensor | None, ...]

    def __len__(self) -> int:
        """How many candidates there are."""
        return sum(len(part) for part in self.parts)

    def first(self, index: Int[Tensor, " h"] | slice, dtype: torch.dtype) -> Float[Tensor, "h d"]:
        """Rows of the first part, by number."""
        vectors, scale = self.parts[0][index].to(dtype), self.scales[0]
        return vectors if scale is None else vectors * scale[index, None]

    def joined(self, dtype: torch.dtype) -> Float[Tensor, "m d"]:
        """All of them as they are used; one part that is used as it is stored is not copied."""
        parts = [
            part.to(dtype) if scale is None else part * scale[:, None]
            for part, scale in zip(self.parts, self.scales, strict=True)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def tiles(self, width: int, dtype: torch.dtype) -> list["Tile"]:
        """All candidates in order, no more than ``width`` at a time."""
        found, start = [], 0
        for number, (part, scale) in enumerate(zip(self.parts, self.scales, strict=True)):
            if not len(part):
                continue
            pieces = torch.split(part, width)
            scales = [None] * len(pieces) if scale is None else torch.split(scale[:, None], width)
            as_stored = scale is None and part.dtype == dtype
            left = 0
            for stored, some in zip(pieces, scales, strict=True):
                inside = slice(left, left + len(stored))
                columns = slice(start + inside.start, start + inside.stop)
                turned = stored.T if as_stored else None
                found.append(Tile(number, inside, columns, stored, some, turned))
                left = inside.stop
            start += len(part)
        return found


@dataclass(frozen=True, eq=False)
class Tile:
    """Some candidates that follow one another.

    Attributes:
        part: number of the part they are of.
        inside: where they lie in that part.
        columns: where they lie among all candidates.
        stored: ``(w, d)`` as they are kept.
        scale: ``(w, 1)`` what they are multiplied by when they are used, or None.
        turned: the same as ``stored``, ``(d, w)``, where they are used as they are kept, or None.
    """

    part: int
    inside: slice
    columns: slice
    stored: Float[Tensor, "w d"]
    scale: Float[Tensor, "w 1"] | None
    turned: Float[Tensor, "d w"] | None

    def load(self, memory: Memory) -> tuple[Float[Tensor, "w d"], Float[Tensor, "d w"]]:
        """The candidates as they are used, and the same turned; in that memory, where they must be made."""
        if self.turned is not None:
            return self.stored, self.turned
        vectors, turned = memory.turned(*self.stored.shape)
        if self.scale is None:
            vectors.copy_(self.stored)
        else:
            torch.mul(self.stored, self.scale, out=vectors)
        return vectors, turned
