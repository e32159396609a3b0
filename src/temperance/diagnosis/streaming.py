"""All candidates pass by the anchors once: sums at several temperatures, and the hardest of them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from temperance.contrast import in_threads, workers_for
from temperance.diagnosis.moments import LEFT_OUT, Moments, Spare
from temperance.diagnosis.rows import Rows

# Anchors that meet a piece of the candidates at a time.
BLOCK = 256
# Neighbouring candidates of which the most similar speaks for all.
GROUP = 64
# Anchors at which the error of the interpolation is measured.
CHECKED = 32


@dataclass(frozen=True, eq=False)
class Anchors:
    """Vectors that are compared with candidates.

    Attributes:
        vectors: ``(a, d)`` of length 1.
        own: ``(a,)`` numbers of the candidates that are no negatives of theirs, or None.
        classes: ``(a,)`` class numbers that do not fall, or None.
    """

    vectors: Float[Tensor, "a d"]
    own: Int[Tensor, " a"] | None = None
    classes: Int[Tensor, " a"] | None = None

    def __len__(self) -> int:
        """How many there are."""
        return len(self.vectors)


@dataclass(frozen=True, eq=False)
class Seen:
    """What the anchors have seen of the candidates.

    Attributes:
        negatives: sums over all negatives.
        same_class: sums over those of the anchor's class, or None.
        between: sums of the first few anchors at temperatures between the others.
        top_similarity: ``(a, k)`` of the hardest negatives, hardest first.
        top_index: ``(a, k)`` their row numbers.
    """

    negatives: Moments
    same_class: Moments | None
    between: Moments
    top_similarity: Float[Tensor, "a k"]
    top_index: Int[Tensor, "a k"]


def stream(
    anchors: Anchors,
    candidates: Rows,
    temperatures: list[float],
    between: list[float],
    classes: Int[Tensor, " n"] | None,
    top: int,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Seen:
    """Compare anchors with all candidates.

    Args:
        anchors: a.
        candidates: n.
        temperatures: at which the sums are taken.
        between: at which they are taken for the first few anchors, to say how far the interpolation is off.
        classes: ``(n,)`` class numbers of the candidates, or None.
        top: how many of the hardest negatives to keep; there are at least as many.
        on_rows: called with how many candidates have passed since the last call.
    """
    a = len(anchors)
    seen = Seen(
        Moments(a, temperatures),
        None if classes is None else Moments(a, temperatures),
        Moments(min(a, CHECKED), between),
        torch.full((a, top), LEFT_OUT),
        torch.zeros(a, top, dtype=torch.int64),
    )
    workers = workers_for(a * len(candidates), anchors.vectors.device)
    spares = [Spare() for _ in range(2 * workers)]
    for rows, vectors in candidates.pieces():
        piece = _Piece.of(rows, vectors, None if classes is None else classes[rows])

        def work(worker: int, workers: int, piece: "_Piece" = piece) -> None:
            # Blocks go round, so that each thread has a share of every class.
            for start in range(worker * BLOCK, a, workers * BLOCK):
                here = slice(start, min(start + BLOCK, a))
                similarities = anchors.vectors[here] @ piece.vectors.T
                _leave_out(anchors, here, piece, similarities)
                groups = _grouped(similarities)
                tops = groups.amax(dim=2)
                largest = tops.amax(dim=1)
                seen.negatives.add(here, similarities, spares[2 * worker], largest)
                few = min(here.stop, CHECKED) - start
                if few > 0:
                    checked = slice(start, start + few)
                    seen.between.add(checked, similarities[:few], spares[2 * worker + 1])
                if seen.same_class is not None:
                    _add_classes(seen.same_class, anchors, here, piece, similarities)
                some = (largest > seen.top_similarity[here, -1]).nonzero()[:, 0]
                if len(some):
                    _keep_hardest(seen, here, piece, (groups, tops), some)

        in_threads(work, workers, anchors.vectors.device)
        on_rows(rows.stop - rows.start)
    return seen


def counts_above(
    queries: Anchors,
    thresholds: Float[Tensor, " q"],
    candidates: Rows,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Int[Tensor, " q"]:
    """How many candidates are more similar to each query than a threshold; its own does not count."""
    counts = torch.zeros(len(queries), dtype=torch.int64)
    workers = workers_for(len(queries) * len(candidates), queries.vectors.device)
    for rows, vectors in candidates.pieces():
        piece = _Piece.of(rows, vectors, None)

        def work(worker: int, workers: int, piece: "_Piece" = piece) -> None:
            for start in range(worker * BLOCK, len(queries), workers * BLOCK):
                here = slice(start, min(start + BLOCK, len(queries)))
                similarities = queries.vectors[here] @ piece.vectors.T
                _leave_out(queries, here, piece, similarities)
                above = thresholds[here]
                # Most have none in most pieces, and the largest alone tells so.
                some = (similarities.amax(dim=1) > above).nonzero()[:, 0]
                counts[start + some] += (similarities[some] > above[some, None]).sum(dim=1)

        in_threads(work, workers, queries.vectors.device)
        on_rows(rows.stop - rows.start)
    return counts


@dataclass(frozen=True, eq=False)
class _Piece:
    """Some candidates, in the order of their classes.

    Attributes:
        rows: which they are.
        vectors: ``(c, d)``.
        order: ``(c,)`` where each stood, or None where they stand as they came.
        place: ``(c,)`` where each stands now, or None.
        columns: for each class, where its members stand.
    """

    rows: slice
    vectors: Float[Tensor, "c d"]
    order: Int[Tensor, " c"] | None
    place: Int[Tensor, " c"] | None
    columns: dict[int, slice]

    @staticmethod
    def of(rows: slice, vectors: Tensor, classes: Tensor | None) -> "_Piece":
        if classes is None:
            return _Piece(rows, vectors, None, None, {})
        order = classes.argsort(stable=True)
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        return _Piece(rows, vectors[order], order, place, _runs(classes[order]))


def _runs(classes: Tensor) -> dict[int, slice]:
    """Where each class stands among sorted ones."""
    names, counts = torch.unique_consecutive(classes, return_counts=True)
    ends = counts.cumsum(dim=0)
    places = zip(names.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True)
    return {name: slice(start, end) for name, start, end in places}


def _leave_out(anchors: Anchors, here: slice, piece: _Piece, similarities: Tensor) -> None:
    """Take out the candidates that are no negatives."""
    if anchors.own is None:
        return
    own = anchors.own[here]
    hit = ((own >= piece.rows.start) & (own < piece.rows.stop)).nonzero()[:, 0]
    column = own[hit] - piece.rows.start
    similarities[hit, column if piece.place is None else piece.place[column]] = LEFT_OUT


def _add_classes(
    sums: Moments, anchors: Anchors, here: slice, piece: _Piece, similarities: Tensor
) -> None:
    """Add the similarities within classes: blocks, since anchors and candidates stand in their order."""
    assert anchors.classes is not None
    for name, rows in _runs(anchors.classes[here]).items():
        columns = piece.columns.get(name)
        if columns is not None:
            inside = slice(here.start + rows.start, here.start + rows.stop)
            sums.add(inside, similarities[rows, columns], Spare())


def _grouped(similarities: Float[Tensor, "h w"]) -> Float[Tensor, "h g s"]:
    """Columns in groups; what fills the last one up is left out."""
    ragged = -similarities.shape[1] % GROUP
    filled = pad(similarities, (0, ragged), value=LEFT_OUT) if ragged else similarities
    return filled.view(len(filled), -1, GROUP)


def _keep_hardest(
    seen: Seen,
    here: slice,
    piece: _Piece,
    found: tuple[Float[Tensor, "h g s"], Float[Tensor, "h g"]],
    rows: Int[Tensor, " r"],
) -> None:
    """Put what is harder than the easiest kept so far in its place.

    Few groups of columns hold anything that is, and the largest of each tells which.

    Args:
        seen: where the hardest are kept.
        here: the anchors.
        piece: the candidates.
        found: similarities in groups, and the largest of each.
        rows: those of the anchors for which there is any.
    """
    groups, tops = found
    kept, index = seen.top_similarity[here], seen.top_index[here]
    top = kept.shape[1]
    above = int((tops[rows] > kept[rows, -1:]).sum(dim=1).max())
    chosen = tops[rows].topk(min(above, top), dim=1).indices
    members = groups[rows[:, None], chosen].flatten(1)
    columns = (chosen[:, :, None] * GROUP + torch.arange(GROUP)).flatten(1)
    hardest = members.topk(min(top, members.shape[1]), dim=1)
    # What fills the last group up has no column of its own.
    column = columns.gather(1, hardest.indices).clamp_max(len(piece.vectors) - 1)
    if piece.order is not None:
        column = piece.order[column]
    both = torch.cat([kept[rows], hardest.values], dim=1).topk(top, dim=1)
    numbers = torch.cat([index[rows], column + piece.rows.start], dim=1)
    kept[rows] = both.values
    index[rows] = numbers.gather(1, both.indices)
