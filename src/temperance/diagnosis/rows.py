"""Vectors of any size: looked through once, then read piece by piece at length 1."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from temperance.contrast import in_threads, workers_for
from temperance.errors import InputError

Vectors = npt.NDArray[Any]
# Numbers that are brought from a file at a time: 16 MiB of float32.
PIECE = 1 << 22
# Shorter than this is no direction that float32 can tell.
SHORTEST = 1e-30
# Lengths that differ from 1 by less are those of unit vectors in half precision.
UNIT = 2e-3
# Rows at fault that a message names.
NAMED = 5


@dataclass(frozen=True, eq=False)
class Rows:
    """A matrix whose rows have a direction each.

    Attributes:
        name: what a message calls it.
        vectors: ``(n, d)``, in memory or mapped from a file.
        inverse: ``(n,)`` 1/length of each row.
        shortest: the smallest length.
        longest: the largest.
    """

    name: str
    vectors: Vectors
    inverse: Float[Tensor, " n"]
    shortest: float
    longest: float

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.vectors)

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return int(self.vectors.shape[1])

    @property
    def of_unit_length(self) -> bool:
        """Whether the rows came at length 1, as far as half precision tells."""
        return self.shortest > 1 - UNIT and self.longest < 1 + UNIT

    def take(self, index: Int[Tensor, " k"]) -> Float[Tensor, "k d"]:
        """Some rows by number, at length 1 in float32."""
        return _scaled(self.vectors[index.numpy()], self.inverse[index])

    def pieces(self) -> Iterator[tuple[slice, Float[Tensor, "c d"]]]:
        """All rows in order, at length 1 in float32, a piece at a time."""
        for rows in pieces_of(len(self), self.width):
            yield rows, _scaled(self.vectors[rows], self.inverse[rows])


def looked_through(
    name: str, vectors: Vectors, on_rows: Callable[[int], None] = lambda rows: None
) -> Rows:
    """Measure every row's length, and refuse rows without a direction.

    Args:
        name: what a message calls the matrix.
        vectors: ``(n, d)``.
        on_rows: called with how many rows were looked at since the last call.

    Raises:
        InputError: if it is no matrix of floating-point numbers, or rows are zero or hold nan or infinity;
            they are counted, and the first of them named.

    Example:
        >>> looked_through("x", np.array([[3.0, 4.0], [0.0, 0.0]]))
        Traceback (most recent call last):
        ...
        temperance.errors.InputError: 1 of 2 rows of x is zero and has no direction (row 1); leave it out
    """
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise InputError(f"{name} has shape {vectors.shape}; give (n, d), one vector a row")
    if vectors.dtype.kind != "f":
        raise InputError(f"{name} holds {vectors.dtype}; give floating-point vectors")
    lengths = torch.empty(len(vectors), dtype=torch.float64)
    pieces = list(pieces_of(*vectors.shape))

    def work(worker: int, workers: int) -> None:
        for rows in pieces[worker::workers]:
            piece = torch.from_numpy(_plain(vectors[rows]))
            torch.linalg.vector_norm(piece, dim=1, dtype=torch.float64, out=lengths[rows])
            on_rows(rows.stop - rows.start)

    in_threads(work, workers_for(vectors.size, lengths.device), lengths.device)
    _refuse(name, ~torch.isfinite(lengths), "holds", "hold", "nan or infinity; look at what made")
    _refuse(name, lengths < SHORTEST, "is zero and has", "are zero and have", "no direction; leave")
    low, high = map(float, lengths.aminmax())
    return Rows(name, vectors, 1 / lengths, low, high)


def pieces_of(rows: int, width: int) -> Iterator[slice]:
    """Slices of so many rows that a piece stays small."""
    height = max(1, PIECE // width)
    for top in range(0, rows, height):
        yield slice(top, min(top + height, rows))


def _plain(piece: Vectors) -> Vectors:
    """A copy in memory, in float32 or float64, in this machine's byte order."""
    kind = np.float64 if piece.dtype.itemsize >= 8 else np.float32
    return np.array(piece, dtype=kind, order="C")


def _scaled(piece: Vectors, inverse: Tensor) -> Float[Tensor, "c d"]:
    """In the type that it came in, so that no digit of a double is lost before it is of length 1."""
    kind = np.float64 if piece.dtype.itemsize >= 8 else np.float32
    return torch.from_numpy(
        np.multiply(piece, inverse.numpy().astype(kind)[:, None], dtype=kind)
    ).float()


def _refuse(name: str, bad: Tensor, one: str, many: str, fault: str) -> None:
    rows = bad.nonzero()[:, 0].tolist()
    if not rows:
        return
    what, remedy = fault.split("; ")
    word, verb, them = ("row", one, "it") if len(rows) == 1 else ("rows", many, "them")
    named = ", ".join(map(str, rows[:NAMED])) + ("" if len(rows) <= NAMED else ", …")
    raise InputError(
        f"{len(rows)} of {len(bad)} rows of {name} {verb} {what} ({word} {named}); {remedy} "
        + (f"{them} out" if remedy == "leave" else them)
    )
