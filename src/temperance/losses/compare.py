"""The way from a loss in words to the engine: similarity × temperature × candidates."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from temperance.contrast import (
    OVER_RANKS,
    Backend,
    Layout,
    at_once,
    custom_diagonal,
    custom_log_sums,
    dense_custom_log_sums,
    gathered,
)
from temperance.errors import InputError
from temperance.losses import statistics as told
from temperance.losses.inputs import (
    Logits,
    Reduction,
    Similarity,
    Temperature,
    anchor_weights,
    arithmetic,
    check_backend,
    checked_temperature,
    logits,
    named,
    positions,
    symmetric_logits,
    tempered,
)
from temperance.losses.statistics import LossStatistics
from temperance.temperatures import Batch, PerAnchor, Policy

Loss = Float[Tensor, "..."] | tuple[Float[Tensor, "..."], LossStatistics]
Named = Mapping[str, Tensor]


F = TypeVar("F", bound=Callable[..., object])


def uncompiled(function: F) -> F:
    """Let ``torch.compile`` step over a loss in one break: it looks at values, and spreads over threads."""

    @wraps(function)
    def call(*args: object, **options: object) -> object:
        if torch.compiler.is_compiling():
            # Not at import: that would load the compiler with the package.
            return torch.compiler.disable(function)(*args, **options)  # type: ignore[no-untyped-call]
        return function(*args, **options)

    return call  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class Options:
    """What all losses of one anchor against a sum are told alike; see ``functional``."""

    temperature: Temperature
    similarity: Similarity
    reduction: Reduction
    weights: Tensor | None
    statistics: bool
    backend: Backend


def compare(
    anchors: Named,
    candidates: Named,
    layout: Layout,
    options: Options,
    *,
    positives: Named | None = None,
    target: Callable[[Logits], Tensor] | None = None,
    target_in_sum: bool = True,
    classes: tuple[Tensor, Tensor] | None = None,
    share: float | None = None,
    ids: Tensor | None = None,
) -> Loss:
    """Each anchor's positive against its negatives.

    Args:
        anchors: by name; several stand below one another.
        candidates: by name; none where the anchors are their own candidates.
        layout: which candidates are negatives.
        options: of the loss.
        positives: by name, where they are not among the candidates.
        target: makes the logits of the positives, where they are neither.
        target_in_sum: whether the positive stands in the denominator.
        classes: of anchors and of candidates, for the false-negative mass.
        share: the hardest share of the negatives that is kept, or None for all.
        ids: which instances the anchors are, for temperatures that keep one for each.
    """
    similarity, weights = options.similarity, options.weights
    first = next(iter(anchors.values()))
    n = sum(len(x) for x in anchors.values())
    check_backend(options.backend)
    if classes is not None and not options.statistics:
        raise InputError("classes are for the statistics alone; give statistics=True, too")
    backend = options.backend
    over_ranks = backend in OVER_RANKS
    if over_ranks and positives is not None:
        backend = "auto"  # a queue alone: each rank compares with its own

    def space_at(tau: Tensor) -> tuple[Logits, Layout]:
        if candidates:
            return logits(named(similarity), tau, anchors, candidates, backend), layout
        space = symmetric_logits(named(similarity), tau, anchors, backend)
        # Where there are candidates the anchors could not be their own after all.
        return space, replace(layout, sums="rows") if space.of_candidates else layout

    def where(space: Logits) -> Tensor | None:
        """Logits of the positives, where they are not among the candidates."""
        if positives is None:
            return None if target is None else target(space)
        ((name, x),) = positives.items()
        theirs = positions(named(similarity), name, x, backend, space.centre)
        return (space.anchors * theirs).sum(dim=1)

    def batch() -> Batch:
        with torch.no_grad():
            space, seen = space_at(first.new_ones((), dtype=arithmetic(first)))
            travels = over_ranks and positives is None
            return space.batch(seen, where(space), ids, over_ranks=over_ranks, travels=travels)

    rule = options.temperature
    if (
        isinstance(rule, Policy)
        and rule.tempers
        and positives is None
        and target is None
        and share is None
        and _in_one_pass(anchors, candidates, layout, options)
    ):
        tempering = rule.tempering(batch())
        space, layout = space_at(tempering.tau.new_ones(n))
        loss, _ = space.contrast(
            None,
            replace(layout, temper=tempering),
            weights=anchor_weights(options.reduction, weights, n, tempering.tau),
            target_in_sum=target_in_sum,
            backend=backend,
        )
        checked_temperature(tempering.tau, first, n)
        tempering.done()
        return loss
    tau, link = tempered(options.temperature, similarity, first, n, batch)
    factors = anchor_weights(options.reduction, weights, n, tau, over_ranks=over_ranks)
    if callable(similarity):
        if options.backend == "triton":
            raise InputError(
                "backend 'triton' takes a named similarity; give backend='auto' for one of your own"
            )
        if options.statistics or target is not None:
            named(similarity)
        losses = _custom(
            similarity, tau, anchors, candidates, layout, positives, target_in_sum, backend
        )
        return _reduced(losses, factors, weights)
    space, layout = space_at(tau)
    if link is not None:
        space, layout = space.linked(link), replace(layout, link=link)
    if share is not None:
        layout = replace(layout, floor=space.floors(layout, share, backend))
    theirs = where(space)
    if theirs is not None and positives is not None and link is not None:
        theirs = link(theirs)
    if layout.sums == "both" and factors is not None:
        factors = factors.repeat(2) / 2
    if isinstance(options.temperature, PerAnchor):
        if options.statistics or share or target or not target_in_sum or layout.sums == "both":
            raise InputError(
                "temperature 'per-anchor' is for InfoNCE and NT-Xent, without labels and statistics; "
                "leave those out"
            )
        losses = _per_anchor(options.temperature, batch(), space, theirs, layout, backend)
        return _reduced(losses, factors, weights)
    loss, found = space.contrast(
        theirs,
        layout,
        weights=factors,
        target_in_sum=target_in_sum,
        statistics=options.statistics,
        backend=backend,
    )
    if factors is None:
        loss = _reduced(loss.view(-1, n).mean(dim=0), None, weights)
    if found is None:
        return loss
    same = None
    if classes is not None:
        kept = replace(layout, anchor_class=classes[0], candidate_class=classes[1], same_class=True)
        with torch.no_grad():
            nothing = torch.zeros_like(found.target)
            same, _ = space.contrast(nothing, kept, target_in_sum=False, backend=backend)
    shown, compared = (list(x.values()) for x in (anchors, candidates or anchors))
    return loss, told.read(found, tau.detach(), link, shown, compared, same)


def _in_one_pass(anchors: Named, candidates: Named, layout: Layout, options: Options) -> bool:
    """Whether gradients are taken while all similarities of an anchor are at hand, for a rule to look at."""
    parts = candidates or anchors
    n, m = (sum(len(x) for x in each.values()) for each in (anchors, parts))
    return (
        not (options.statistics or callable(options.similarity))
        and options.backend in ("auto", "tiled")
        and options.reduction != "none"
        and layout.sums != "both"
        and len(candidates) <= 1
        and torch.is_grad_enabled()
        and all(x.requires_grad for x in parts.values())
        and not at_once(n * m, next(iter(anchors.values())).device)
    )


def _per_anchor(
    policy: PerAnchor,
    batch: Batch,
    space: Logits,
    theirs: Tensor | None,
    layout: Layout,
    backend: Backend,
) -> Tensor:
    """Every anchor's loss where each instance has a temperature of its own, set by that loss."""
    log_sums, found = space.contrast(
        theirs, layout, target_in_sum=False, statistics=True, backend=backend
    )
    assert found is not None
    assert found.rows.mean_logit is not None
    excess = found.rows.mean_logit - found.target
    return policy.objective(batch, log_sums - math.log(batch.negatives), excess)


def _custom(
    similarity: Callable[[Tensor, Tensor], Tensor],
    tau: Tensor,
    anchors: Named,
    candidates: Named,
    layout: Layout,
    positives: Named | None,
    target_in_sum: bool,
    backend: Backend,
) -> Tensor:
    """Every anchor's loss where the similarity is known only by what it gives for a tile."""
    if tau.ndim:
        raise InputError("a similarity of your own takes one temperature; give one number")
    if backend == "ring":
        raise InputError(
            "backend 'ring' takes a named similarity; give backend='gather' with one of your own"
        )
    a = torch.cat([x.to(tau.dtype) for x in anchors.values()])
    first, *queues = [x.to(tau.dtype) for x in candidates.values()] or [a]

    def beside(batch: Tensor, queues: list[Tensor]) -> tuple[Tensor, Layout]:
        everyone, start = gathered(batch) if backend == "gather" else (batch, 0)
        return torch.cat([everyone, *queues]), layout.moved(start)

    both, layout = layout.sums == "both", replace(layout, sums="rows")
    sides = [(a, beside(first, queues), False)]
    if both:
        sides.append((first, beside(a, []), True))
    if positives is not None:
        ((_, p),) = positives.items()
        p = p.to(tau.dtype)
    else:
        assert layout.own is not None
        p = first[layout.own]
    found = []
    log_sums = dense_custom_log_sums if backend == "dense" else custom_log_sums
    where = custom_diagonal(similarity, a, p) / tau
    for rows, (columns, here), flipped in sides:
        sums = log_sums(similarity, rows, columns, tau, here, flipped=flipped)
        margin = sums - where
        found.append(softplus(margin, threshold=40.0) if target_in_sum else margin)
    return torch.stack(found).mean(dim=0)


def _reduced(losses: Tensor, factors: Tensor | None, weights: Tensor | None) -> Tensor:
    if factors is not None:
        return torch.dot(losses, factors)
    return losses if weights is None else losses * weights.to(losses.dtype)
