"""The logit below which an anchor's candidates are not among its hardest."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from temperance.contrast.layout import OVER_RANKS, Backend, Candidates, Layout
from temperance.contrast.memory import Memory
from temperance.contrast.ranks import of_all_ranks
from temperance.contrast.threads import in_threads, workers_for
from temperance.contrast.tiled import whole_rows

# Numbers of a block of whole rows.
BLOCK = 1 << 20
# Candidates whose lengths are taken at a time.
ROWS = 4096
# Products of the same vectors may differ in their last digits from tile to tile: none is left out for that.
ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-14}


@torch.no_grad()
def floors(
    anchors: Float[Tensor, "n d"],
    candidates: Sequence[Float[Tensor, "_ d"]],
    scales: Sequence[Float[Tensor, " _"] | None],
    layout: Layout,
    share: float,
    backend: Backend = "auto",
) -> Float[Tensor, " n"]:
    """The smallest logit among the hardest ``share`` of each anchor's negatives; at least one is hard.

    Args:
        anchors: ``(n, d)``.
        candidates: ``(m_p, d)`` in one or more parts.
        scales: for each part, what its rows are multiplied by, or None.
        layout: which of them are negatives.
        share: in (0, 1].
        backend: whether the first part is that of all ranks; it is then brought together, without gradient.

    Returns:
        ``(n,)``; -inf where an anchor has no negatives.
    """
    pieces = Candidates(tuple(x.detach() for x in candidates), tuple(scales))
    if backend in OVER_RANKS:
        pieces, layout = of_all_ranks(pieces, layout)
    n, m = len(anchors), len(pieces)
    loaded = Memory(anchors)
    lengths = [t.load(loaded)[0].norm(dim=1).max() for t in pieces.tiles(ROWS, anchors.dtype)]
    slack = anchors.norm(dim=1) * torch.stack(lengths).max() * ROUNDING[anchors.dtype]
    height = max(1, min(256, BLOCK // max(1, m)))
    found = anchors.new_empty(n)

    def work(worker: int, workers: int) -> None:
        logits = anchors.new_empty(height, m)
        for top in range(worker * height, n, workers * height):
            rows = slice(top, min(top + height, n))
            block = logits[: rows.stop - rows.start]
            whole_rows(anchors, pieces, layout, rows, block)
            negatives = (block > float("-inf")).sum(dim=1)
            # A hair less than the product: 0.08 · 50 is 4, not the 5 that rounding up 4.000000001 gives.
            wanted = (negatives.double() * share - 1e-9).ceil().clamp_min(1).long()
            ordered = block.topk(max(1, min(m, math.ceil(m * share))), dim=1).values
            floor = ordered.gather(1, (wanted - 1).clamp_max(ordered.shape[1] - 1)[:, None])[:, 0]
            found[rows] = floor - slack[rows]

    in_threads(work, workers_for(n * m, anchors.device), anchors.device)
    return found
