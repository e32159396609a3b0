"""Noise-contrastive estimation over a memory bank, as InstDisc has it."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, logsigmoid

from temperance.contrast import directions, parts_of_ranks
from temperance.errors import InputError
from temperance.losses.compare import uncompiled
from temperance.losses.inputs import (
    Reduction,
    anchor_weights,
    check_vectors,
    check_width,
    promoted,
    tempered,
)
from temperance.temperatures import Batch, Policy

# Numbers that are gathered from the bank, or made of it, at a time.
GATHERED = 2**22
# A product with the whole bank measured faster than gathering up to so many times what is asked for.
WHOLE = 8


@uncompiled
def nce(
    queries: Float[Tensor, "n d"],
    bank: Float[Tensor, "i d"],
    ids: Int[Tensor, " n"],
    noise: Int[Tensor, "n m"],
    *,
    log_normaliser: float | Float[Tensor, ""],
    temperature: float | Float[Tensor, ""] | Policy = 0.07,
    weights: Float[Tensor, " n"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    r"""Tell each instance from m instances of noise (Wu et al. 2018, arXiv 1805.01978).

    With :math:`P_j = e^{q \cdot v_j/\tau}/Z` and :math:`h_j = P_j / (P_j + m/n)`, the probability that
    instance j of n came from the data and not from uniform noise,

    .. math:: L_i = -\log h_i - \sum_{j \in \text{noise}_i} \log(1 - h_j)

    which is a logistic regression on :math:`q \cdot v_j/\tau - \log Z - \log(m/n)`, and is computed so. Only
    the queries and τ receive a gradient.

    Args:
        queries: ``(n, d)``; only their directions count.
        bank: ``(instances, d)`` unit vectors v, such as those of ``negatives.MemoryBank``.
        ids: ``(n,)`` which instance each query is.
        noise: ``(n, m)`` which instances are its noise.
        log_normaliser: log Z; see ``log_normaliser``.
        temperature: τ > 0, a scalar, or a rule that does not look at the batch.
        weights: ``(n,)``, each ≥ 0.
        reduction: ``"mean"`` or ``"sum"`` over queries, or ``"none"``.

    Returns:
        A scalar in nats, or ``(n,)`` with ``reduction="none"``.

    Raises:
        InputError: on shapes that do not fit, and a temperature that is not positive and finite.

    Example:
        >>> bank = torch.eye(4)
        >>> ids, noise = torch.tensor([0, 1]), torch.tensor([[2, 3], [3, 0]])
        >>> log_z = log_normaliser(bank[:2], bank, noise, temperature=0.5)
        >>> nce(bank[:2], bank, ids, noise, log_normaliser=log_z, temperature=0.5)
        tensor(1.0505)
    """
    if ids.shape != queries.shape[:1]:
        raise InputError(
            f"ids have shape {tuple(ids.shape)}; give one for each of the {len(queries)} queries"
        )
    queries, bank = promoted(queries, bank)
    _check(queries, bank, noise)
    columns = torch.cat([ids[:, None], noise], dim=1)
    offset = math.log(noise.shape[1] / len(bank)) + log_normaliser
    x = _logits(queries, bank, columns, temperature) - offset
    losses = -logsigmoid(x[:, 0]) - logsigmoid(-x[:, 1:]).sum(dim=1)
    factors = anchor_weights(reduction, weights, len(queries), losses)
    if factors is not None:
        return torch.dot(losses, factors)
    return losses if weights is None else losses * weights


@torch.no_grad()
def log_normaliser(
    queries: Float[Tensor, "n d"],
    bank: Float[Tensor, "i d"],
    noise: Int[Tensor, "n m"],
    *,
    temperature: float | Float[Tensor, ""] | Policy = 0.07,
) -> Float[Tensor, ""]:
    r"""The log Z of ``nce``, estimated from a batch; where processes share it, from that of all ranks.

    .. math:: Z = n \operatorname{mean}_{i,\, j \in \text{noise}_i} e^{q_i \cdot v_j/\tau}

    The paper estimates it on the first batch and holds it fixed.

    Args and raises are those of ``nce``.
    """
    queries, bank = promoted(queries, bank)
    _check(queries, bank, noise)
    logits = _logits(queries, bank, noise, temperature)
    sums = torch.cat(parts_of_ranks(logits.logsumexp(dim=1)))
    return sums.logsumexp(dim=0) + math.log(len(bank) / (len(sums) * noise.shape[1]))


class NCE(nn.Module):
    r"""``nce`` with a normalising constant that it estimates itself; see there.

    .. math:: L_i = -\log h_i - \sum_{j \in \text{noise}_i} \log(1 - h_j)

    Args:
        temperature: τ > 0, or a rule that does not look at the batch.
        fixed: whether Z is held as the first batch gives it, as in the paper; otherwise each batch gives its
            own. On small data, whose epochs are short, a bank that turns from random vectors to alike ones
            within tens of steps leaves a fixed Z behind by orders of magnitude; the noise then outweighs the
            positive, and the space collapses.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Attributes:
        log_normaliser: log Z of the last batch; nan before the first. It is kept with the state.

    Example:
        >>> loss = NCE(temperature=0.5)
        >>> bank = torch.eye(4)
        >>> loss(bank[:2], bank, torch.tensor([0, 1]), torch.tensor([[2, 3], [3, 0]]))
        tensor(1.0505)
        >>> loss.log_normaliser
        tensor(1.3863)
    """

    log_normaliser: Tensor

    def __init__(
        self,
        temperature: float | Float[Tensor, ""] | Policy = 0.07,
        *,
        fixed: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.fixed = fixed
        self.reduction = reduction
        self.register_buffer("log_normaliser", torch.tensor(math.nan))

    def forward(
        self,
        queries: Float[Tensor, "n d"],
        bank: Float[Tensor, "i d"],
        ids: Int[Tensor, " n"],
        noise: Int[Tensor, "n m"],
        *,
        weights: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "..."]:
        """The loss of one batch; arguments as of ``nce``."""
        if not self.fixed or bool(self.log_normaliser.isnan()):
            found = log_normaliser(queries, bank, noise, temperature=self.temperature)
            self.log_normaliser.copy_(found)
        return nce(
            queries,
            bank,
            ids,
            noise,
            log_normaliser=self.log_normaliser,
            temperature=self.temperature,
            weights=weights,
            reduction=self.reduction,
        )


def _check(queries: Tensor, bank: Tensor, noise: Tensor) -> None:
    check_vectors("queries", queries)
    check_width("bank", bank, queries)
    if noise.ndim != 2 or len(noise) != len(queries) or noise.shape[1] == 0:
        raise InputError(
            f"noise has shape {tuple(noise.shape)}; give ({len(queries)}, m), a row for each query"
        )


def _logits(
    queries: Tensor, bank: Tensor, columns: Tensor, temperature: float | Tensor | Policy
) -> Tensor:
    """s/τ of each query and the instances in its row of ``columns``."""

    def looked_at() -> Batch:
        assert isinstance(temperature, Policy)
        raise InputError(
            f"temperature {temperature.name!r} looks at the whole batch, of which NCE sees samples; give a "
            "number or a schedule"
        )

    tau, link = tempered(temperature, "cosine", queries, len(queries), looked_at)
    with torch.autocast(queries.device.type, enabled=False):
        found: Tensor = _SampledDots.apply(directions(1 / tau, queries=queries), bank, columns)
    return found if link is None else link(found)


class _SampledDots(torch.autograd.Function):
    """Products of each row with the rows of a table that are named for it, some rows at a time."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, table: Tensor, columns: Tensor) -> Tensor:
        ctx.save_for_backward(table, columns)
        dots = [
            (x @ table.to(x.dtype).T).gather(1, named)
            if _whole(table, columns)
            else torch.einsum("nmd,nd->nm", table[named].to(x.dtype), x)
            for x, named in _by_parts(table, rows, columns)
        ]
        return torch.cat(dots)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        table, columns = ctx.saved_tensors
        table = table.to(grad.dtype)
        if not _whole(table, columns):
            sums = embedding_bag(columns, table, per_sample_weights=grad, mode="sum")
            return sums, None, None
        parts = [
            x.new_zeros(len(x), len(table)).scatter_add_(1, named, x) @ table
            for x, named in _by_parts(table, grad, columns)
        ]
        return torch.cat(parts), None, None


def _whole(table: Tensor, columns: Tensor) -> bool:
    return len(table) <= WHOLE * columns.shape[1]


def _by_parts(table: Tensor, rows: Tensor, columns: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    each = len(table) if _whole(table, columns) else columns.shape[1] * table.shape[1]
    step = max(1, GATHERED // each)
    return zip(torch.split(rows, step), torch.split(columns, step), strict=True)
