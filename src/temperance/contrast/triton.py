"""The exact sums and gradients of ``temperance.contrast.tiled``, by Triton kernels.

They need CUDA vectors, or, for trial on any machine, Triton's interpreter: ``TRITON_INTERPRET=1`` in the
environment before Triton is first imported. Anchors are float32 or float64, and products are as exact as
that type; candidates may be of half precision beside float32. Exponentials are always taken relative to the
largest logit so far. A program keeps the sums or the gradient of its own rows, and no two add to the same
numbers: the same call gives the same digits. The price is that the logits are computed anew for either
side's gradient, and for each ``WIDTH`` coordinates of it.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from temperance.contrast.layout import Candidates, Layout
from temperance.contrast.tiled import Sums, below_one_another, merge, pull_positives
from temperance.errors import InputError

# Rows and columns of a tile; coordinates that a product takes at a time, and that a program has gradients of.
# With larger ones, or fewer warps, float32 does not fit the registers of sm_80.
ROWS, COLUMNS = 64, 32
DEPTH, WIDTH = 16, 128
WARPS = 8
# Where blocks of rows are fewer, the columns are split among up to so many programs, to keep a GPU busy;
# their results are then added up, and those of float32 gradients take 16 MB at most.
PROGRAMS = 512

At = tuple[Float[Tensor, " _"], Float[Tensor, " _"]]
Arguments = dict[str, Any]


def check(device: torch.device, layout: Layout) -> None:
    """Refuse what the kernels cannot be run on.

    Raises:
        InputError: off CUDA and without the interpreter, where Triton is not installed, or where a link
            stands between similarities and logits.
    """
    if layout.link is not None:
        raise InputError(
            "backend 'triton' takes no temperature that is a function of the similarity; "
            "give backend='auto'"
        )
    if find_spec("triton") is not None:
        from triton import knobs

        if device.type == "cuda" or knobs.runtime.interpret:
            return
    raise InputError(
        "backend 'triton' needs CUDA vectors and the triton package; give backend='auto'"
    )


def log_sums(
    anchors: Float[Tensor, "n d"],
    candidates: Candidates,
    layout: Layout,
    shift: float | None,
    statistics: bool = False,
    target: Float[Tensor, " n"] | None = None,
) -> tuple[Sums, Sums | None]:
    """As ``tiled.log_sums``; always relative to the largest logit."""
    if target is not None:
        assert layout.own is not None
        torch.sum(anchors * candidates.first(layout.own, anchors.dtype), dim=1, out=target)
    rows, columns = [], []
    for _, over_candidates, over_anchors in _pairings(anchors, candidates, layout):
        rows.append(_sums(over_candidates, anchors, statistics))
        if layout.sums == "both":
            columns.append(_sums(over_anchors, anchors, statistics))
    return merge(rows), below_one_another(columns) if columns else None


def gradients(
    anchors: Float[Tensor, "n d"],
    candidates: Candidates,
    layout: Layout,
    shift: float | None,
    rows_at: At,
    columns_at: At | None,
    wanted: tuple[bool, ...],
    pull: Float[Tensor, " n"] | None = None,
) -> tuple[Float[Tensor, "n d"], list[Tensor | None]]:
    """As ``tiled.gradients``; always relative to the largest logit."""
    if columns_at is None and layout.sums == "symmetric":
        columns_at = rows_at
    grad = torch.zeros_like(anchors)
    grads: list[Tensor | None] = []
    pairings = _pairings(anchors, candidates, layout)
    for want, (columns, over_candidates, over_anchors) in zip(wanted, pairings, strict=True):
        there = None if columns_at is None else (columns_at[0][columns], columns_at[1][columns])
        grad += _gradient(over_candidates, anchors, rows_at, there)
        grads.append(_gradient(over_anchors, anchors, there, rows_at) if want else None)
    if pull is not None:
        pull_positives(anchors, candidates, layout, pull, grad, grads[0])
    return grad, grads


def _pairings(
    anchors: Tensor, candidates: Candidates, layout: Layout
) -> Iterator[tuple[slice, Arguments, Arguments]]:
    """Where each part lies, and what a kernel is told to go over its candidates, or over the anchors."""
    shared = {
        "d": anchors.shape[1],
        "own": _contiguous(layout.own),
        "itself": _contiguous(layout.itself),
        "floor": _contiguous(layout.floor),
        "anchor_class": _contiguous(layout.anchor_class),
        "candidate_class": _contiguous(layout.candidate_class),
        "SAME_CLASS": layout.same_class,
        "ROWS": ROWS,
        "COLUMNS": COLUMNS,
        "DEPTH": DEPTH,
        "num_warps": WARPS,
    }
    first = 0
    for part, scale in zip(candidates.parts, candidates.scales, strict=True):
        here = shared | {"first": first}
        yield (
            slice(first, first + len(part)),
            here | _rows(anchors, None) | _columns(part, scale) | {"SWAPPED": False},
            here | _rows(part, scale) | _columns(anchors, None) | {"SWAPPED": True},
        )
        first += len(part)


def _rows(x: Tensor, scale: Tensor | None) -> Arguments:
    steps = {"x_row": x.stride(0), "x_column": x.stride(1)}
    return {"x": x, "x_scale": _contiguous(scale), "n": len(x)} | steps


def _columns(y: Tensor, scale: Tensor | None) -> Arguments:
    steps = {"y_row": y.stride(0), "y_column": y.stride(1)}
    return {"y": y, "y_scale": _contiguous(scale), "m": len(y)} | steps


def _sums(arguments: Arguments, like: Tensor, statistics: bool) -> Sums:
    """Sums of the rows over the columns."""
    from temperance.contrast import kernels

    n = arguments["n"]
    blocks = -(-n // ROWS)
    splits, span = _splits(arguments["m"], blocks)
    base, total = like.new_empty(splits, n), like.new_empty(splits, n)
    mean_logit, largest = (torch.empty_like(base) if statistics else None for _ in range(2))
    with torch.cuda.device_of(like):  # type: ignore[no-untyped-call]
        kernels.sums[blocks, splits](base, total, mean_logit, largest, span, **arguments)
    given = [x for x in (base, total, mean_logit, largest) if x is not None]
    return merge([Sums(*each) for each in zip(*given, strict=True)])


def _gradient(
    arguments: Arguments, like: Tensor, rows_at: At | None, columns_at: At | None
) -> Float[Tensor, "n d"]:
    """The gradient of the rows, through their sums and those of the columns."""
    from temperance.contrast import kernels

    n, d = arguments["n"], arguments["d"]
    blocks, pieces = -(-n // ROWS), -(-d // WIDTH)
    splits, span = _splits(arguments["m"], blocks * pieces)
    grad = like.new_empty(splits, n, d)
    at = (*_contiguous_at(rows_at), *_contiguous_at(columns_at))
    with torch.cuda.device_of(like):  # type: ignore[no-untyped-call]
        kernels.gradients[blocks, pieces, splits](grad, *at, span, WIDTH=WIDTH, **arguments)
    return grad.sum(dim=0)


def _splits(columns: int, programs: int) -> tuple[int, int]:
    """Among how many programs the columns are split, and how many each has: whole tiles."""
    tiles = -(-columns // COLUMNS)
    each = -(-tiles // max(1, PROGRAMS // programs))
    return -(-tiles // each), each * COLUMNS


def _contiguous_at(at: At | None) -> tuple[Tensor | None, Tensor | None]:
    """Bases and weights."""
    return (None, None) if at is None else (at[0].contiguous(), at[1].contiguous())


def _contiguous(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()
