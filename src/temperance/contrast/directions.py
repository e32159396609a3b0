"""Vectors brought to one length, with a backward pass that keeps one number a row."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from temperance.errors import InputError, NotFinite

# Numbers that the backward pass takes at a time: what it needs beside the result is small beside a tile.
PIECE = 1 << 17


def directions(
    scale: Float[Tensor, ""] | Float[Tensor, " m"], **parts: Float[Tensor, "_ d"]
) -> Float[Tensor, "m d"]:
    r"""Rows :math:`s\,x/\|x\|` of all parts in one matrix.

    Args:
        scale: s, one for all or one for each row of the result; receives its gradient.
        parts: ``(n, d)`` each, by the names that a message would use. Half precision is brought to float32.

    Raises:
        InputError: if a row has no direction: it is zero, or holds nan or infinity.

    Example:
        >>> import torch
        >>> directions(torch.tensor(2.0), keys=torch.tensor([[3.0, 4.0]]))
        tensor([[1.2000, 1.6000]])
    """
    result: Tensor = _Directions.apply(tuple(parts), scale, *parts.values())
    return result


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
        InputError: as ``directions``.
    """
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    inverse: Tensor = 1 / torch.linalg.vector_norm(x, dim=1, dtype=dtype)
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


def _joined(parts: list[Tensor]) -> Tensor:
    """Below one another; one alone is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class _Directions(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, names: tuple[str, ...], scale: Tensor, *parts: Tensor) -> Tensor:
        inverse = _joined([inverse_norms(n, x) for n, x in zip(names, parts, strict=True)])
        factor = (inverse * scale.to(inverse.dtype))[:, None]
        if len(parts) == 1:
            out = parts[0] * factor
        else:
            out = torch.cat([part.to(inverse.dtype) for part in parts]).mul_(factor)
        ctx.save_for_backward(scale, inverse, *parts)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # set by create_graph=True
            raise RuntimeError(
                "this loss has no second derivatives; use backend='dense' where create_graph=True is needed"
            )
        scale, inverse, *parts = ctx.saved_tensors
        factor = scale.to(grad.dtype).expand(len(grad))
        along = torch.empty_like(inverse)
        results: list[Tensor | None] = []
        start = 0
        height = max(1, PIECE // parts[0].shape[1])
        for part, wanted in zip(parts, ctx.needs_input_grad[2:], strict=True):
            result = torch.empty_like(part) if wanted else None
            for top in range(0, len(part), height):
                rows = slice(top, min(top + height, len(part)))
                here = slice(start + rows.start, start + rows.stop)
                unit = part[rows].to(grad.dtype) * inverse[here, None]
                torch.sum(unit * grad[here], dim=1, out=along[here])
                if result is not None:
                    across = torch.addcmul(grad[here], unit, along[here, None], value=-1)
                    # Once more: a unit vector is one to seven digits only, and the part of the gradient
                    # along it may be a hundred times the part across.
                    left = (unit * across).sum(dim=1)
                    across.addcmul_(unit, left[:, None], value=-1)
                    result[rows] = across.mul_((inverse[here] * factor[here])[:, None])
            results.append(result)
            start += len(part)
        grad_scale = None
        if ctx.needs_input_grad[1]:
            grad_scale = (along if scale.ndim else along.sum()).to(scale.dtype)
        return None, grad_scale, *results
