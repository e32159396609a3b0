"""Vectors brought to one length, made where they are used; and the way back for their gradients."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from temperance.errors import InputError, NotFinite

# Numbers that are taken at a time on the way back: what that needs is small beside a tile.
PIECE = 1 << 17


class Directions:
    r"""Rows :math:`s\,x/\|x\|` of all parts below one another, made when they are asked for.

    A loss that takes its gradients forward makes them itself, and needs no copy after that.

    Args:
        scale: s, one for all or one for each row; receives its gradient.
        parts: ``(n, d)`` each, by the names that a message would use. Half precision is brought to float32.

    Attributes:
        tensors: what gradients may be wanted of: the scale, then the parts.
        inverse: ``1/‖x‖`` of each row.

    Raises:
        InputError: if a row has no direction: it is zero, or holds nan or infinity.

    Example:
        >>> import torch
        >>> Directions(torch.tensor(2.0), keys=torch.tensor([[3.0, 4.0]])).rows
        tensor([[1.2000, 1.6000]])
    """

    def __init__(
        self, scale: Float[Tensor, ""] | Float[Tensor, " m"], **parts: Float[Tensor, "_ d"]
    ) -> None:
        self.tensors = (scale, *parts.values())
        with torch.no_grad():
            self.inverse = _joined([inverse_norms(name, x) for name, x in parts.items()])
        self._rows: Tensor | None = None

    @property
    def rows(self) -> Float[Tensor, "m d"]:
        """The rows, with their gradient; they take ``m d`` numbers, and are made once."""
        rows = self.known
        if rows is None:
            rows = self._rows = _Directions.apply(self.inverse, *self.tensors)
        return rows

    @property
    def known(self) -> Float[Tensor, "m d"] | None:
        """The rows, if they have been made with the gradient that is now wanted."""
        wanted = torch.is_grad_enabled() and any(x.requires_grad for x in self.tensors)
        return None if self._rows is None or wanted > self._rows.requires_grad else self._rows


def directions(
    scale: Float[Tensor, ""] | Float[Tensor, " m"], **parts: Float[Tensor, "_ d"]
) -> Float[Tensor, "m d"]:
    """The rows of ``Directions``, of which see arguments and errors.

    Example:
        >>> import torch
        >>> directions(torch.tensor(2.0), keys=torch.tensor([[3.0, 4.0]]))
        tensor([[1.2000, 1.6000]])
    """
    return Directions(scale, **parts).rows


def differentiable_directions(
    scale: Float[Tensor, ""] | Float[Tensor, " m"], **parts: Float[Tensor, "_ d"]
) -> Float[Tensor, "m d"]:
    """``directions`` by plain automatic differentiation: more memory, and second derivatives."""
    inverse = _joined([inverse_norms(name, x) for name, x in parts.items()])
    rows = _joined([x.to(inverse.dtype) for x in parts.values()])
    return rows * (inverse * scale.to(inverse.dtype))[:, None]


def inverse_norms(name: str, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """``1/‖x‖`` of each row.

    Raises:
        InputError: as ``Directions``.
    """
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    inverse: Tensor = torch.linalg.vector_norm(x, dim=1, dtype=dtype).reciprocal()
    lowest, highest = torch.aminmax(inverse.detach())
    if not (float(lowest) > 0 and float(highest) < math.inf):  # as where one is nan
        usable = torch.isfinite(inverse) & (inverse > 0)
        row = int((~usable).nonzero()[0])
        if not bool(inverse[row].isinf()):
            raise NotFinite(row, name)
        raise InputError(
            f"row {row} of {name} is the zero vector, which has no cosine; leave it out"
        )
    return inverse


def made(
    inverse: Float[Tensor, " m"], scale: Tensor, *parts: Float[Tensor, "_ d"]
) -> Float[Tensor, "m d"]:
    """The rows of ``Directions``, of its tensors; without a gradient."""
    factor = (inverse * scale.to(inverse.dtype)).unsqueeze(1)
    if len(parts) == 1:
        return parts[0] * factor
    return torch.cat([part.to(inverse.dtype) for part in parts]).mul_(factor)


def brought_back(
    grad: Float[Tensor, "m d"],
    inverse: Float[Tensor, " m"],
    scale: Tensor,
    *parts: Float[Tensor, "_ d"],
    wanted: Sequence[bool],
    in_place: bool,
) -> list[Tensor | None]:
    """From the gradient of the rows of ``Directions`` to those of its tensors.

    Args:
        grad: of the rows; under ``in_place`` overwritten, and the results are views of it. Otherwise they
            are of the type of the parts, which may be half as precise.
        inverse: ``1/‖x‖`` of each row.
        scale: as of ``Directions``.
        parts: as of ``Directions``.
        wanted: which of the tensors, the scale and then the parts, need a gradient.
        in_place: see ``grad``.
    """
    factor = inverse * scale.to(inverse.dtype)
    along = torch.empty_like(inverse)
    pieces = grad.split_with_sizes([len(part) for part in parts])
    results = [
        (into if in_place else torch.empty_like(part)) if w else None
        for into, part, w in zip(pieces, parts, wanted[1:], strict=True)
    ]
    sides = (grad, inverse.unsqueeze(1), factor.unsqueeze(1), along.unsqueeze(1))
    height = max(1, PIECE // grad.shape[1])
    for x, result, slope, inverse_norm, back, dot in _cut(parts, results, sides, height):
        unit = x * inverse_norm
        torch.sum(unit * slope, dim=1, keepdim=True, out=dot)
        if result is None:
            continue
        across = torch.addcmul(slope, unit, dot, value=-1)
        # Once more: a unit vector is one to seven digits only, and the part of the gradient along it may be
        # a hundred times the part across.
        left = (unit * across).sum(dim=1, keepdim=True)
        torch.mul(across.addcmul_(unit, left, value=-1), back, out=result)
    grad_scale = (along if scale.ndim else along.sum()).to(scale.dtype) if wanted[0] else None
    return [grad_scale, *results]


def _joined(parts: list[Tensor]) -> Tensor:
    """Below one another; one alone is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _cut(
    parts: Sequence[Tensor], results: Sequence[Tensor | None], joined: Sequence[Tensor], height: int
) -> Iterator[tuple[Any, ...]]:
    """Rows that lie beside each other, no more than ``height`` at a time.

    All views are made at once: one by one they would take longer than what is done to few rows.
    """
    lengths = [len(x) for x in parts]
    if len(lengths) == 1 and lengths[0] <= height:
        yield (parts[0], results[0], *joined)
        return
    sizes = [
        [min(height, length - start) for start in range(0, length, height)] for length in lengths
    ]
    every = [rows for some in sizes for rows in some]
    by_part = (
        [
            piece
            for x, rows in zip(xs, sizes, strict=True)
            for piece in ([None] * len(rows) if x is None else x.split_with_sizes(rows))
        ]
        for xs in (parts, results)
    )
    yield from zip(*by_part, *(x.split_with_sizes(every) for x in joined), strict=True)


class _Directions(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inverse: Tensor, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(inverse, *tensors)
        return made(inverse, *tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # set by create_graph=True
            raise RuntimeError(
                "this loss has no second derivatives; use backend='dense' where create_graph=True is needed"
            )
        wanted = ctx.needs_input_grad[1:]
        return None, *brought_back(grad, *ctx.saved_tensors, wanted=wanted, in_place=False)
