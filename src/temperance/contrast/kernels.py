"""What ``temperance.contrast.triton`` runs on a GPU; to import this is to import Triton.

Rows are vectors x, of which a program takes one block; columns are vectors y, which it goes along block by
block. To sum over candidates the anchors are the rows; to sum over anchors the candidates are
(``SWAPPED``). Whatever is None costs nothing: a kernel is compiled for what it is given.
"""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def _vectors(x, scale, row_step, column_step, rows, n, columns, d, KIND: tl.constexpr):
    """Some coordinates of some vectors, multiplied by their scale; 0 beyond the edges."""
    inside = (rows < n)[:, None] & (columns < d)[None, :]
    at = rows[:, None] * row_step + columns[None, :] * column_step
    vectors = tl.load(x + at, mask=inside, other=0.0).to(KIND)
    if scale is not None:
        vectors *= tl.load(scale + rows, mask=rows < n, other=0.0)[:, None]
    return vectors


@triton.jit
@no_type_check
def _logits(
    x,
    x_scale,
    x_row,
    x_column,
    rows,
    n,
    y,
    y_scale,
    y_row,
    y_column,
    columns,
    m,
    d,
    own,
    itself,
    floor,
    anchor_class,
    candidate_class,
    first,
    SWAPPED: tl.constexpr,
    SAME_CLASS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    KIND: tl.constexpr,
):
    """A tile of logits, -inf where a pair does not count or there is none."""
    logits = tl.zeros((ROWS, COLUMNS), KIND)
    for left in range(0, d, DEPTH):
        inner = left + tl.arange(0, DEPTH)
        a = _vectors(x, x_scale, x_row, x_column, rows, n, inner, d, KIND)
        b = _vectors(y, y_scale, y_row, y_column, columns, m, inner, d, KIND)
        # TF32 keeps three digits of a product, and a low τ leaves none of them.
        logits = tl.dot(a, tl.trans(b), logits, input_precision="ieee", out_dtype=KIND)
    keep = (rows < n)[:, None] & (columns < m)[None, :]
    # Numbers that lie along one side of the tile: they spread over the other by themselves.
    if SWAPPED:
        anchors, known = columns[None, :], (columns < m)[None, :]
        candidates, listed = first + rows[:, None], (rows < n)[:, None]
    else:
        anchors, known = rows[:, None], (rows < n)[:, None]
        candidates, listed = first + columns[None, :], (columns < m)[None, :]
    if own is not None:
        keep &= tl.load(own + anchors, mask=known, other=-1) != candidates
    if itself is not None:
        keep &= tl.load(itself + anchors, mask=known, other=-1) != candidates
    if anchor_class is not None:
        mine = tl.load(anchor_class + anchors, mask=known, other=0)
        theirs = tl.load(candidate_class + candidates, mask=listed, other=0)
        keep &= (mine == theirs) if SAME_CLASS else (mine != theirs)
    if floor is not None:
        keep &= logits >= tl.load(floor + anchors, mask=known, other=0.0)
    return tl.where(keep, logits, float("-inf"))


@triton.jit
@no_type_check
def sums(
    base_of,
    total_of,
    mean_logit,
    largest,
    span,
    x,
    x_scale,
    x_row,
    x_column,
    n,
    y,
    y_scale,
    y_row,
    y_column,
    m,
    d,
    own,
    itself,
    floor,
    anchor_class,
    candidate_class,
    first,
    SWAPPED: tl.constexpr,
    SAME_CLASS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """For a block of rows the sum over ``span`` columns of the exponentials of logits less a base.

    Results are ``(splits, n)``; those that are None are left out. The grid is blocks of rows × splits.
    """
    KIND: tl.constexpr = base_of.dtype.element_ty
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    split = tl.program_id(1).to(tl.int64)
    top = tl.full((ROWS,), float("-inf"), KIND)
    base = tl.zeros((ROWS,), KIND)
    total = tl.zeros((ROWS,), KIND)
    weighted = tl.zeros((ROWS,), KIND)
    for start in range(split * span, tl.minimum((split + 1) * span, m), COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        # fmt: off
        logits = _logits(
            x, x_scale, x_row, x_column, rows, n, y, y_scale, y_row, y_column, columns, m, d,
            own, itself, floor, anchor_class, candidate_class, first,
            SWAPPED, SAME_CLASS, ROWS, COLUMNS, DEPTH, KIND,
        )
        # fmt: on
        before = top
        top = tl.maximum(top, tl.max(logits, 1))
        base = tl.where(top > float("-inf"), top, 0.0)
        shrink = tl.exp(before - base)
        shares = tl.exp(logits - base[:, None])
        total = total * shrink + tl.sum(shares, 1)
        if mean_logit is not None:
            # An excluded logit is -inf and its share 0; their product counts as 0.
            logits = tl.where(logits > float("-inf"), logits, 0.0)
            weighted = weighted * shrink + tl.sum(shares * logits, 1)
    at = split * n + rows
    tl.store(base_of + at, base, mask=rows < n)
    tl.store(total_of + at, total, mask=rows < n)
    if mean_logit is not None:
        tl.store(mean_logit + at, weighted / tl.where(total > 0, total, 1.0), mask=rows < n)
        tl.store(largest + at, top, mask=rows < n)


@triton.jit
@no_type_check
def gradients(
    grad,
    row_base,
    row_weight,
    column_base,
    column_weight,
    span,
    x,
    x_scale,
    x_row,
    x_column,
    n,
    y,
    y_scale,
    y_row,
    y_column,
    m,
    d,
    own,
    itself,
    floor,
    anchor_class,
    candidate_class,
    first,
    SWAPPED: tl.constexpr,
    SAME_CLASS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """For a block of rows and a piece of their coordinates, the gradient that ``span`` columns give.

    The result is ``(splits, n, d)``. The grid is blocks of rows × pieces of d × splits.
    """
    KIND: tl.constexpr = grad.dtype.element_ty
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    outer = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    split = tl.program_id(2).to(tl.int64)
    total = tl.zeros((ROWS, WIDTH), KIND)
    for start in range(split * span, tl.minimum((split + 1) * span, m), COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        # fmt: off
        logits = _logits(
            x, x_scale, x_row, x_column, rows, n, y, y_scale, y_row, y_column, columns, m, d,
            own, itself, floor, anchor_class, candidate_class, first,
            SWAPPED, SAME_CLASS, ROWS, COLUMNS, DEPTH, KIND,
        )
        # fmt: on
        slopes = tl.zeros((ROWS, COLUMNS), KIND)
        if row_base is not None:
            there = tl.load(row_base + rows, mask=rows < n, other=0.0)
            weight = tl.load(row_weight + rows, mask=rows < n, other=0.0)
            slopes += tl.exp(logits - there[:, None]) * weight[:, None]
        if column_base is not None:
            there = tl.load(column_base + columns, mask=columns < m, other=0.0)
            weight = tl.load(column_weight + columns, mask=columns < m, other=0.0)
            slopes += tl.exp(logits - there[None, :]) * weight[None, :]
        vectors = _vectors(y, y_scale, y_row, y_column, columns, m, outer, d, KIND)
        total = tl.dot(slopes, vectors, total, input_precision="ieee", out_dtype=KIND)
    at = (split * n + rows)[:, None] * d + outer[None, :]
    tl.store(grad + at, total, mask=(rows < n)[:, None] & (outer < d)[None, :])
