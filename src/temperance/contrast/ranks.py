"""Several processes that share a batch: what each of them has, brought together."""

from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor

from temperance.contrast.layout import Candidates, Layout


def ranks() -> int:
    """How many processes share a batch; 1 where none have found together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this process is."""
    return dist.get_rank() if ranks() > 1 else 0


def total_over_ranks(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The sum over all ranks, without gradient."""
    total = x.detach().clone()
    if ranks() > 1:
        dist.all_reduce(total)
    return total


def lengths_over_ranks(x: Shaped[Tensor, "n ..."]) -> list[int]:
    """How many rows each rank has."""
    lengths = [torch.tensor([len(x)], device=x.device) for _ in range(ranks())]
    if len(lengths) > 1:
        dist.all_gather(lengths, lengths[0].clone())
    return [int(length) for length in lengths]


@torch.no_grad()
def parts_of_ranks(x: Shaped[Tensor, "n ..."]) -> list[Shaped[Tensor, "_ ..."]]:
    """What each rank has, in their order; ranks may differ in n. Without gradient."""
    if ranks() == 1:
        return [x]
    lengths = lengths_over_ranks(x)
    padded = x.new_zeros(max(lengths), *x.shape[1:])
    padded[: len(x)] = x
    received = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(received, padded)
    return [part[:length] for part, length in zip(received, lengths, strict=True)]


def gathered(x: Shaped[Tensor, "n ..."]) -> tuple[Shaped[Tensor, "m ..."], int]:
    """The rows of all ranks below one another, and how many stand before this rank's own.

    The gradient of a row is the sum of what all ranks' losses leave in it: none forgets the others.
    """
    rows, start = _Gathered.apply(x) if x.requires_grad else _together(x)
    return rows, start


def of_all_ranks(candidates: Candidates, layout: Layout) -> tuple[Candidates, Layout]:
    """The same, the first part of the candidates being that of all ranks; queues are each rank's own."""
    first, *queues = candidates.parts
    scale, *others = candidates.scales
    everyone, start = gathered(first)
    scales = (None if scale is None else gathered(scale)[0], *others)
    theirs, ours = layout.split(len(first))
    layout = layout.moved(start)
    if theirs.candidate_class is not None and ours.candidate_class is not None:
        classes = torch.cat([gathered(theirs.candidate_class)[0], ours.candidate_class])
        layout = replace(layout, candidate_class=classes)
    return Candidates((everyone, *queues), scales), layout


def _together(x: Tensor) -> tuple[Tensor, int]:
    parts = parts_of_ranks(x)
    return torch.cat(parts), sum(len(part) for part in parts[: rank()])


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, int]:
        rows, start = _together(x)
        ctx.own = slice(start, start + len(x))
        return rows, start

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: object) -> Tensor:
        total = grad.clone()
        if ranks() > 1:
            dist.all_reduce(total)
        return total[ctx.own]
