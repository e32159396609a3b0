"""The matrix of logits cut into tiles, and all that lies along its sides cut alike.

Cut once, before threads share the work: each view that a thread makes hands Python's lock to another thread
and waits for it to come back. A dozen before every tile took a tenth of the time of nt_xent.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from temperance.contrast import threads
from temperance.contrast.elementwise import LOG2_E
from temperance.contrast.layout import Candidates, Layout
from temperance.contrast.memory import Memory

# Tiles are large enough that starting their operations costs little beside them, and small enough that what a
# thread has at hand stays in its caches.
SIDE = 512


class Cell(NamedTuple):
    """One tile at hand.

    Attributes:
        i: number of the block of rows.
        j: number of the tile of columns.
        logits: less the grid's shift and times its unit; -inf where they do not count.
        turned: a view of them with the sides changed.
        slopes: of the logits in the dot products, or None where those are not asked for or are 1.
        vectors: the candidates, as they are used.
        full: whether all logits count.
    """

    i: int
    j: int
    logits: Float[Tensor, "h w"]
    turned: Float[Tensor, "w h"]
    slopes: Float[Tensor, "h w"] | None
    vectors: Float[Tensor, "w d"]
    full: bool


class Grid:
    """Blocks of anchors by tiles of candidates.

    Attributes:
        layout: which pairs count.
        anchors: the vectors of each block of rows.
        blocks: what is left out of each block of rows.
        tiles: the candidates of each tile of columns.
        shift: what logits are taken relative to in a tile, or None for nothing.
        unit: what they are then multiplied by.
        workers: how many threads share the matrix.
    """

    def __init__(
        self,
        anchors: Float[Tensor, "n d"],
        candidates: Candidates,
        layout: Layout,
        height: int,
        width: int,
        *,
        shift: float | None = None,
    ) -> None:
        """Cut.

        Args:
            anchors: ``(n, d)``.
            candidates: m in all; the anchors themselves under a symmetric layout.
            layout: which pairs count.
            height: of blocks of rows.
            width: of tiles of columns; under a symmetric layout the height.
            shift: what logits are taken relative to, where exponentials are taken of them next. Without a
                link they then come as logarithms to the base 2, from which that is one step.
        """
        self.layout = layout
        self.shift = shift
        self.unit = 1.0 if shift is None or layout.link is not None else LOG2_E
        self._start = -self.unit * self.offset
        self.workers = threads.workers_for(len(anchors) * len(candidates), anchors.device)
        self._height = height
        self.anchors = torch.split(anchors, height)
        self.blocks = layout.blocks(len(anchors), height, self.unit, self.offset)
        self.tiles = candidates.tiles(width, anchors.dtype)
        self._symmetric = layout.sums == "symmetric"

    @property
    def offset(self) -> float:
        """The shift as a number."""
        return self.shift or 0.0

    def rows(self, x: Float[Tensor, "n *rest"]) -> tuple[Tensor, ...]:
        """What lies along the rows, cut into blocks."""
        return torch.split(x, self._height)

    def columns(self, x: Float[Tensor, "m *rest"]) -> tuple[Tensor, ...]:
        """What lies along the columns, cut into tiles."""
        return torch.split(x, [len(tile.stored) for tile in self.tiles])

    def pieces(self, parts: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Each tile's share of what there is for each part of the candidates, or None."""
        return [None if (x := parts[tile.part]) is None else x[tile.inside] for tile in self.tiles]

    def numbers(self, worker: int, workers: int) -> range:
        """The blocks of rows that are one worker's, by number."""
        return range(worker, len(self.blocks), workers)

    def mirrored(self, i: int, j: int) -> bool:
        """Whether a tile stands for its mirror image, too."""
        return self._symmetric and i != j

    def cell(
        self,
        i: int,
        j: int,
        memory: Memory,
        loaded: Memory,
        target: Float[Tensor, " n"] | None = None,
        *,
        sloped: bool = False,
    ) -> Cell:
        """Compute the logits of one tile.

        Args:
            i: number of the block of rows.
            j: number of the tile of columns.
            memory: where to put them.
            loaded: where to put candidates that are not used as they are stored.
            target: where to write the logits of the anchors' own candidates, or None.
            sloped: whether slopes are wanted.
        """
        here, tile, link = self.anchors[i], self.tiles[j], self.layout.link
        vectors, across = tile.load(loaded)
        logits, turned = memory.turned(here.shape[0], vectors.shape[0])
        begun = link is None and self._start != 0
        if begun:
            logits.fill_(self._start)
        logits.addmm_(here, across, beta=int(begun), alpha=self.unit)
        slopes = None
        if link is not None:
            slopes = link.slope(logits.clone()) if sloped else None
            logits = link.value(logits)
            if self._start:
                logits.add_(self._start)
            turned = logits.T
        full = not self.blocks[i].leave_out(logits, tile.columns, target)
        return Cell(i, j, logits, turned, slopes, vectors, full)

    def walk(
        self,
        worker: int,
        workers: int,
        target: Float[Tensor, " n"] | None = None,
    ) -> Iterator[Cell]:
        """One worker's tiles, each in the memory of the one before.

        Of a symmetric matrix those on and above the diagonal.
        """
        memory, loaded = Memory(self.anchors[0]), Memory(self.anchors[0])
        count = len(self.tiles)
        if self._symmetric:
            pairs = [(i, j) for i in range(count) for j in range(i, count)][worker::workers]
        else:
            pairs = [(i, j) for i in self.numbers(worker, workers) for j in range(count)]
        for i, j in pairs:
            yield self.cell(i, j, memory, loaded, target)


def grid_for(
    anchors: Float[Tensor, "n d"],
    candidates: Candidates,
    layout: Layout,
    shift: float | None = None,
) -> Grid:
    """Tiles for passes that keep none."""
    n, m = len(anchors), len(candidates)
    workers = threads.workers_for(n * m, anchors.device)
    height, width = min(SIDE, -(-n // workers)), SIDE
    if threads.at_once(n * m, anchors.device):
        height, width = min(n, max(SIDE, threads.SMALL // max(1, m))), m
    if layout.sums == "symmetric":
        height = width = max(SIDE, height)
    return Grid(anchors, candidates, layout, height, width, shift=shift)
