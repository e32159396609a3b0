"""What every measure asks of its vectors, and how it goes through them."""

from collections.abc import Iterator

import torch
from torch import Tensor

from temperance.errors import InputError

# Entries of one block of similarities: 16 MiB of float32.
BLOCK = 1 << 22


def unit(x: Tensor) -> Tensor:
    """The rows at length 1; refuses rows that have no direction."""
    if x.ndim != 2 or len(x) < 2:
        raise InputError(
            f"embeddings have shape {tuple(x.shape)}; give (n, d) with at least 2 rows"
        )
    x = x if x.dtype == torch.float64 else x.float()
    norms = x.norm(dim=1, keepdim=True)
    usable = torch.isfinite(norms) & (norms > 0)
    if not bool(usable.all()):
        row = int((~usable).nonzero()[0, 0])
        raise InputError(
            f"row {row} of the embeddings is zero, nan or infinite and has no direction; leave it out"
        )
    directions: Tensor = x / norms
    return directions


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows such that a block of ``rows × columns`` numbers stays small."""
    height = max(1, BLOCK // max(1, columns))
    for top in range(0, rows, height):
        yield slice(top, min(top + height, rows))
