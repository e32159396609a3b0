"""What every loss does with what it is given: check it, and bring it to where logits are dot products."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from temperance.contrast import (
    OVER_RANKS,
    Backend,
    Candidates,
    Directions,
    Elementwise,
    Layout,
    Statistics,
    contrast,
    differentiable_directions,
    floors,
    inverse_norms,
    ranks,
    total_over_ranks,
)
from temperance.errors import InputError, NotFinite
from temperance.temperatures import Batch, Policy

Reduction = Literal["mean", "sum", "none"]
Named = Literal["cosine", "dot", "euclidean"]
Similarity = Named | Callable[[Tensor, Tensor], Tensor]
BACKENDS = get_args(Backend)
# Beyond these a logit of float32 has no digits left.
LOWEST, HIGHEST = 1e-6, 1e6
ROUNDING = 1e-6
Number = float | Float[Tensor, ""] | Float[Tensor, " n"]
Temperature = Number | Policy


def check_backend(backend: str, *, kernels: bool = True) -> None:
    """Refuse a backend that there is not, or not for this loss."""
    known = BACKENDS if kernels else [name for name in BACKENDS if name != "triton"]
    if backend not in known:
        raise InputError(f"backend {backend!r} is unknown here; give one of {', '.join(known)}")


def check_vectors(name: str, x: Tensor) -> None:
    """Refuse what is no matrix of vectors."""
    if x.ndim != 2 or 0 in x.shape:
        raise InputError(f"{name} have shape {tuple(x.shape)}; give (n, d), one vector a row")
    if not x.is_floating_point():
        raise InputError(f"{name} are {x.dtype}; give floating-point vectors")


def check_pair(name_a: str, a: Tensor, name_b: str, b: Tensor) -> None:
    """Refuse two matrices whose rows are not pairs."""
    check_vectors(name_a, a)
    check_vectors(name_b, b)
    check_type(name_b, b, name_a, a)
    if a.shape != b.shape:
        raise InputError(
            f"{name_b} have shape {tuple(b.shape)} and {name_a} {tuple(a.shape)}; "
            "give one positive for each row"
        )


def check_type(name: str, x: Tensor, name_like: str, like: Tensor) -> None:
    """Refuse vectors of another type or on another device."""
    if (x.dtype, x.device) != (like.dtype, like.device):
        raise InputError(
            f"{name} are {x.dtype} on {x.device}, {name_like} {like.dtype} on {like.device}; "
            "bring them to one type and device"
        )


def promoted(*vectors: Tensor) -> list[Tensor]:
    """All in the widest of their types: autocast gives half precision, a queue or a bank keeps float32."""
    kinds = [x.dtype for x in vectors if x.is_floating_point()]
    if len(set(kinds)) < 2:
        return list(vectors)
    widest = reduce(torch.promote_types, kinds)
    return [x.to(widest) if x.is_floating_point() else x for x in vectors]


def check_width(name: str, x: Tensor, like: Tensor) -> None:
    """Refuse further candidates that cannot be compared with the anchors."""
    check_vectors(name, x)
    check_type(name, x, "queries", like)
    if x.shape[1] != like.shape[1]:
        raise InputError(
            f"{name} have shape {tuple(x.shape)}; give (k, {like.shape[1]}), as wide as the queries"
        )


def checked_temperature(temperature: Number, like: Tensor, anchors: int) -> Tensor:
    """τ as a tensor: a scalar, or one number for each anchor.

    Raises:
        InputError: if it is not positive and finite, or of another shape.
    """
    try:
        tau = torch.as_tensor(temperature, dtype=arithmetic(like), device=like.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"temperature {temperature!r} is not a number; give one such as 0.1"
        ) from error
    if tau.shape not in ((), (anchors,)):
        raise InputError(
            f"temperature has shape {tuple(tau.shape)}; give one number, or one for each of the "
            f"{anchors} anchors"
        )
    given = tau.detach()
    values = given.aminmax() if tau.ndim else (given,)
    for value in map(float, values):
        fault = fault_of(value)
        if fault is not None:
            raise InputError(f"temperature {value:g} {fault}; give a number such as 0.1")
    return tau


def tempered(
    temperature: Temperature,
    similarity: Similarity,
    like: Tensor,
    anchors: int,
    batch: Callable[[], Batch],
) -> tuple[Tensor, Elementwise | None]:
    """τ for a batch, and the link that makes logits of similarities where τ is a function of those.

    Args:
        temperature: a number or a rule.
        similarity: of the loss.
        like: the anchors, or the first of them.
        anchors: how many there are in all.
        batch: makes what a rule may ask for.

    Raises:
        InputError: as ``checked_temperature``, and where rule and similarity do not go together.
    """
    if not isinstance(temperature, Policy):
        return checked_temperature(temperature, like, anchors), None
    if temperature.link is not None and similarity != "cosine":
        raise InputError(
            f"temperature {temperature.name!r} is a function of the cosine; give similarity='cosine'"
        )
    if temperature.looks_at_batch:
        if callable(similarity):
            raise InputError(
                f"temperature {temperature.name!r} looks at similarities, and one of your own is known tile "
                "by tile alone; give a number, or a named similarity"
            )
        given = batch()
    else:
        nothing = like.new_empty((0, like.shape[1]), dtype=arithmetic(like))
        given = Batch(nothing, Candidates((), ()), Layout(), nothing[:, 0])
    return checked_temperature(temperature(given), like, anchors), temperature.link


def fault_of(temperature: float) -> str | None:
    """Why a number cannot be a temperature, or None."""
    if not (math.isfinite(temperature) and temperature > 0):
        return "is not positive and finite"
    if not LOWEST * (1 - ROUNDING) <= temperature <= HIGHEST * (1 + ROUNDING):
        return f"is not between {LOWEST:g} and {HIGHEST:g}"
    return None


def arithmetic(x: Tensor) -> torch.dtype:
    """The type in which logits are computed."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


@dataclass(frozen=True, eq=False)
class Logits:
    """Vectors whose dot products are the logits.

    Attributes:
        of_anchors: ``(n, d)``, as they are or as directions.
        of_candidates: parts of ``(m_p, d)``, likewise; empty where the anchors are their own candidates.
        scales: for each part, what its rows are multiplied by when they are used, or None.
        bound: no logit is larger, in absolute value.
        centre: what is taken off all vectors first, or None.
    """

    of_anchors: Float[Tensor, "n d"] | Directions
    of_candidates: Sequence[Float[Tensor, "_ d"] | Directions]
    scales: Sequence[Float[Tensor, " _"] | None]
    bound: float
    centre: Float[Tensor, " d"] | None = None

    @property
    def anchors(self) -> Float[Tensor, "n d"]:
        """The rows themselves."""
        return _rows(self.of_anchors)

    @property
    def candidates(self) -> list[Float[Tensor, "_ d"]]:
        """Those of each part."""
        return [_rows(x) for x in self.of_candidates]

    def contrast(
        self,
        target: Float[Tensor, " n"] | None,
        layout: Layout,
        *,
        weights: Float[Tensor, " k"] | None = None,
        target_in_sum: bool = True,
        statistics: bool = False,
        backend: Backend = "auto",
    ) -> tuple[Float[Tensor, "..."], Statistics | None]:
        """The engine's ``contrast`` on these vectors."""
        return contrast(
            self.of_anchors,
            self.of_candidates,
            target,
            layout,
            weights=weights,
            target_in_sum=target_in_sum,
            scales=self.scales,
            bound=self.bound,
            statistics=statistics,
            backend=backend,
        )

    def batch(
        self,
        layout: Layout,
        positives: Float[Tensor, " _"] | None = None,
        ids: Int[Tensor, " n"] | None = None,
        *,
        over_ranks: bool = False,
        travels: bool = False,
    ) -> Batch:
        """What a rule for the temperature may look at, where dot products are similarities.

        Args:
            layout: which candidates are negatives.
            positives: similarities of the positives; None where those are the anchors' own candidates.
            ids: which instances the anchors are, or None.
            over_ranks: see ``Batch``.
            travels: see ``Batch``.
        """
        scales = tuple(self.scales) or (None,)
        pieces = Candidates(tuple(self.candidates) or (self.anchors,), scales)
        if positives is None:
            assert layout.own is not None
            own = pieces.first(layout.own, self.anchors.dtype)
            positives = (self.anchors * own).sum(dim=1)
        return Batch(self.anchors, pieces, layout, positives, ids, over_ranks, travels)

    def linked(self, link: Elementwise) -> "Logits":
        """The same, bounded by what an increasing link makes of the longest dot products."""
        ends = link.value(self.anchors.new_tensor([-1.0, 1.0]))
        return replace(self, bound=float(ends.abs().max()))

    def positions(self, part: int) -> Float[Tensor, "m d"]:
        """A part of the candidates as anchors are multiplied by them."""
        if not self.of_candidates:
            return self.anchors
        scale = self.scales[part]
        vectors = _rows(self.of_candidates[part])
        return vectors if scale is None else vectors * scale[:, None]

    def floors(
        self, layout: Layout, share: float, backend: Backend = "auto"
    ) -> Float[Tensor, " n"]:
        """The logits below which candidates are not among the hardest ``share`` of the negatives."""
        return floors(self.anchors, self.candidates, self.scales, layout, share, backend)


def _rows(x: Tensor | Directions) -> Tensor:
    return x.rows if isinstance(x, Directions) else x


def named(similarity: Similarity) -> Named:
    """The similarity, where only those with a name will do.

    Raises:
        InputError: for any other.
    """
    if similarity in ("cosine", "dot", "euclidean"):
        return similarity
    raise InputError(
        f"similarity {similarity!r} is unknown here; give 'cosine', 'dot' or 'euclidean'"
    )


def logits(
    similarity: Named,
    tau: Tensor,
    anchors: Mapping[str, Tensor],
    candidates: Mapping[str, Tensor],
    backend: Backend = "auto",
) -> Logits:
    """Anchors and candidates such that their dot products are s/τ.

    Args:
        similarity: ``"cosine"``, ``"dot"``, or ``"euclidean"``: minus the squared distance.
        tau: a scalar, or one for each anchor.
        anchors: by name; several stand below one another.
        candidates: by name; each a part of its own.
        backend: ``"dense"`` where second derivatives may be wanted.
    """
    if similarity == "cosine":
        bound = 1 / float(tau.detach().min())
        vectors, scales = [], []
        for number, (name, x) in enumerate(candidates.items()):
            # What needs no gradient, such as a queue, is read where it lies and never copied.
            travels = number == 0 and backend in OVER_RANKS
            lies = not x.requires_grad and not travels
            vectors.append(x if lies else _directions(tau.new_ones(()), {name: x}, backend))
            scales.append(inverse_norms(name, x) if lies else None)
        return Logits(_directions(tau.reciprocal(), anchors, backend), vectors, scales, bound)
    for name, x in anchors.items():
        _finite(name, x)
    a = torch.cat([x.to(tau.dtype) for x in anchors.values()])
    centre = None
    if similarity == "euclidean":
        # -‖a - c‖² = 2 a·c - ‖a‖² - ‖c‖², which keeps its digits only for vectors near the origin.
        centre = _centre(a.detach(), backend)
        a = a - centre
        a = torch.cat([2 * a, -a.square().sum(1, keepdim=True), -torch.ones_like(a[:, :1])], dim=1)
    a = a / (tau[:, None] if tau.ndim else tau)
    parts = [positions(similarity, name, x, backend, centre) for name, x in candidates.items()]
    # How long the vectors of other ranks are is not known.
    longest = math.inf if backend in OVER_RANKS else max(map(_longest, parts), default=0.0)
    return Logits(a, parts, [None] * len(parts), _longest(a) * longest, centre)


def positions(
    similarity: Named,
    name: str,
    x: Tensor,
    backend: Backend = "auto",
    centre: Tensor | None = None,
) -> Float[Tensor, "n e"]:
    """Vectors as candidates stand: what an anchor of ``logits`` with that centre is multiplied by."""
    if similarity == "cosine":
        one = torch.ones((), dtype=arithmetic(x), device=x.device)
        return _rows(_directions(one, {name: x}, backend))
    _finite(name, x)
    c = x.to(arithmetic(x))
    if similarity == "dot":
        return c
    c = c if centre is None else c - centre
    return torch.cat([c, torch.ones_like(c[:, :1]), c.square().sum(1, keepdim=True)], dim=1)


def _directions(
    scale: Tensor, parts: Mapping[str, Tensor], backend: Backend
) -> Tensor | Directions:
    """Made at once where second derivatives may be wanted."""
    if backend == "dense":
        return differentiable_directions(scale, **parts)
    return Directions(scale, **parts)


def symmetric_logits(
    similarity: Named, tau: Tensor, parts: Mapping[str, Tensor], backend: Backend
) -> Logits:
    """Rows of which each is an anchor and a candidate, such that their dot products are s/τ.

    Where that cannot be, as with a temperature for each anchor, the candidates stand apart.
    """
    if tau.ndim or similarity == "euclidean":
        rows = torch.cat(list(parts.values()))
        return logits(similarity, tau, parts, {"candidates": rows}, backend)
    if similarity == "cosine":
        z = _directions(tau.rsqrt(), parts, backend)
        return Logits(z, [], [], 1 / float(tau.detach()))
    for name, x in parts.items():
        _finite(name, x)
    rows = torch.cat([x.to(tau.dtype) for x in parts.values()]) * tau.rsqrt()
    return Logits(rows, [], [], math.inf if backend in OVER_RANKS else _longest(rows) ** 2)


def _centre(x: Tensor, backend: Backend) -> Tensor:
    """The mean of all rows, of all ranks where they share the candidates."""
    if backend not in OVER_RANKS:
        return x.mean(dim=0)
    return total_over_ranks(x.sum(dim=0)) / total_over_ranks(x.new_tensor(len(x)))


def _finite(name: str, x: Tensor) -> None:
    # The largest entry tells of all, and makes no copy of a queue on the way.
    usable = torch.isfinite(torch.linalg.vector_norm(x.detach(), torch.inf, dim=1))
    if not bool(usable.all()):
        row = int((~usable).nonzero()[0])
        raise NotFinite(row, name)


def _longest(x: Tensor) -> float:
    return float(x.detach().norm(dim=1).max())


def anchor_weights(
    reduction: Reduction,
    weights: Tensor | None,
    anchors: int,
    like: Tensor,
    *,
    over_ranks: bool = False,
) -> Tensor | None:
    """What each anchor's loss is multiplied by in the sum that the reduction asks for; None for no sum.

    Over ranks the mean is such that the average of all ranks' losses is the mean over all anchors.

    Raises:
        InputError: on an unknown reduction, or weights that are not one number ≥ 0 for each anchor.
    """
    if reduction not in ("mean", "sum", "none"):
        raise InputError(f"reduction {reduction!r} is unknown; give 'mean', 'sum' or 'none'")
    if weights is not None:
        if weights.shape != (anchors,):
            raise InputError(
                f"weights have shape {tuple(weights.shape)}; give one for each of the {anchors} anchors"
            )
        if not bool((torch.isfinite(weights) & (weights >= 0)).all()):
            raise InputError("a weight is negative, nan or infinite; give numbers of at least 0")
    if reduction == "none":
        return None
    if weights is None and reduction == "mean" and not over_ranks:
        return like.new_full((anchors,), 1 / anchors)
    given = like.new_ones(anchors) if weights is None else weights.to(like.dtype)
    if reduction == "sum":
        return given
    total = given.sum()
    if over_ranks:  # of which this rank's part receives a gradient
        total = (total + (total_over_ranks(total) - total.detach())) / ranks()
    size = float(total.detach())
    if not math.isfinite(size) or size == 0:
        raise InputError("all weights are 0, so there is no mean; give some that are not")
    return given / total
