"""The temperature at which the push is shared among a given part of the negatives."""

import math
from threading import get_ident

import torch
from jaxtyping import Float
from torch import Tensor

from temperance.contrast import (
    LOG2_E,
    in_threads,
    total_over_ranks,
    whole_rows,
    workers_for,
)
from temperance.temperatures.policy import Batch, Policy, Tempering, checked, checked_range

# Anchors that stand for the batch; where each has a temperature of its own, a few tell where to begin.
SAMPLE, FEW = 512, 64
# Numbers of their rows that are kept at a time.
KEPT = 1 << 22
# Numbers of a block of whole rows, where every anchor has a temperature of its own.
BLOCK = 1 << 21
# Numbers that are worked on at a time.
CACHED = 1 << 18
# The first steps of such a block are taken on one in so many candidates.
THIN = 8
# A temperature is found when the effective negatives are off by less than this part of the target. That of a
# batch is found, too, by Newton's step from where they are off by less than the next, unless it is longer
# than the last (in log τ): it squares what is missing. From batch to batch that is all there is to do.
CLOSE, NEAR, SHORT = 2e-3, 0.03, 0.03
# Those of an anchor, found where twice that first part is missing. Its step is of third order, and is left
# unseen only where the bend, its part of second order, is below the last.
NEAR_BENT, SHORT_BENT, BEND = 0.2, 0.08, 0.1
STEPS = 40
# The share of a logit so low is 0, in float64 too.
LOWEST = -1e4


class EffectiveNegatives(Policy):
    r"""The τ at which each anchor's push is shared among a given part of its negatives.

    The effective negatives of anchor i are :math:`e^{H(r_i)}`, the perplexity of its negatives' shares
    :math:`r_{ik} \propto e^{s_{ik}/\tau}`: from the number of tied hardest ones (τ → 0) to all of them
    (τ → ∞). They rise with τ, since :math:`\partial H/\partial \log\tau = \mathrm{Var}_r(s)/\tau^2 \ge 0`
    (Wang & Liu, CVPR 2021, arXiv 2012.09740, define the shares), so that

    .. math:: \tfrac1n \sum_i e^{H(r_i)} / m_i = \text{share}

    has one root, found by Newton's steps within bounds. It is the perplexity of t-SNE (van der Maaten &
    Hinton 2008) as a rule for τ: the same share means the same attention to hard negatives whatever
    the batch, the queue or the spread of the space. No gradient flows through the choice.

    Args:
        share: of the negatives, in (0, 1).
        per_anchor: whether every anchor has its own τ, or the batch one, found on at most 512 anchors.
        lowest: τ is never lower; where ties leave no root it stands at a bound, and ``log_line`` says so.
        highest: τ is never higher.

    Example:
        >>> from temperance import InfoNCE
        >>> loss = InfoNCE(temperature=EffectiveNegatives(0.5), statistics=True)
        >>> z = torch.nn.functional.normalize(torch.randn(256, 8), dim=1)
        >>> _, told = loss(z, z)
        >>> round(float(told.effective_negatives.mean()) / 255, 2)
        0.5
    """

    name = "effective"
    found: Tensor

    def __init__(
        self,
        share: float = 0.3,
        *,
        per_anchor: bool = False,
        lowest: float = 1e-3,
        highest: float = 100.0,
    ) -> None:
        super().__init__()
        self.share = checked("share", share, 1e-6, 1 - 1e-6, "a part of the negatives, such as 0.3")
        self.per_anchor = per_anchor
        self.lowest, self.highest = checked_range(lowest, highest)
        # Where the next batch begins to look.
        self.register_buffer("found", torch.tensor(float("nan"), dtype=torch.float64))
        self.clamped = 0.0

    @torch.no_grad()
    def temperature(self, batch: Batch) -> Float[Tensor, ""] | Float[Tensor, " n"]:
        """The root for the batch, or for each of its anchors."""
        batch = batch.everyone()
        log_tau = self._begin(batch)
        if not self.per_anchor:
            return self._scalar(batch, math.exp(log_tau))
        each = _EachAnchor(self, batch, log_tau)
        each.look_at_all(batch)
        self.clamped = each.clamped
        return each.tau

    @property
    def tempers(self) -> bool:
        """Whether each anchor has its own, as long as nobody has written another ``temperature``."""
        return self.per_anchor and type(self).temperature is EffectiveNegatives.temperature

    @torch.no_grad()
    def tempering(self, batch: Batch) -> Tempering:
        """What finds the root of each anchor needs that anchor's similarities alone."""
        return _EachAnchor(self, batch, self._begin(batch))

    def log_line(self) -> str:
        """The temperature, the share, and for how many anchors there is no such temperature."""
        bound = f", at its bound for {100 * self.clamped:.0f} % of anchors" if self.clamped else ""
        return f"{self.name} {self.share:g}: τ = {self.last:.4g}{bound}"

    def _begin(self, batch: Batch) -> float:
        """Log τ of the batch, found on some of its anchors."""
        begin = float(self.found) if math.isfinite(float(self.found)) else math.log(0.1)
        block, counts = _sample(batch, FEW if self.per_anchor else SAMPLE)
        log_tau, self.clamped = self._for_batch(block, counts, begin, batch.over_ranks)
        self.found.fill_(log_tau)
        return log_tau

    def _for_batch(
        self, block: Tensor, counts: Tensor, begin: float, over_ranks: bool
    ) -> tuple[float, float]:
        """Log τ for a block of whole rows, and 1 where it stands at a bound."""
        _below_largest(block, self.highest)
        count = workers_for(block.numel(), block.device)
        spare = [_Moments(block) for _ in range(count)]

        def share(log_tau: float) -> tuple[float, float]:
            """The mean share of the negatives, and its slope."""
            at = block.new_full((len(block),), log_tau)

            def work(worker: int, workers: int) -> Tensor:
                rows = slice(len(block) * worker // workers, len(block) * (worker + 1) // workers)
                entropy, variance, _ = spare[worker](block[rows], at[rows])
                shares = torch.exp(entropy) / counts[rows]
                return torch.stack([shares.sum(), (shares * variance).sum()])

            sums = in_threads(work, count, block.device)
            total = torch.stack(sums).sum(dim=0)
            anchors = total.new_tensor(float(len(block)))
            if over_ranks:
                total, anchors = total_over_ranks(total), total_over_ranks(anchors)
            return float(total[0] / anchors), float(total[1] / anchors)

        low, high = math.log(self.lowest), math.log(self.highest)
        at = min(max(begin, low), high)
        for _ in range(STEPS):
            value, slope = share(at)
            missing = math.log(self.share / value) if value > 0 else 0.0
            if abs(missing) < CLOSE:
                return at, 0.0
            low, high = (at, high) if missing > 0 else (low, at)
            # Newton's step in the logarithms of both, or the middle where that leads out.
            step = missing * value / slope if slope > 0 else math.inf
            if not low < at + step < high:
                at = (low + high) / 2
                continue
            at += step
            if abs(missing) < NEAR and abs(step) < SHORT:
                return at, 0.0
        return at, 1.0


class _EachAnchor(Tempering):
    """Each anchor's temperature, found from its similarities to all candidates."""

    def __init__(self, rule: EffectiveNegatives, batch: Batch, begin: float) -> None:
        self._rule, self._begin = rule, begin
        self.tau = batch.anchors.new_empty(len(batch.anchors))
        self._negatives = _negatives(batch)
        self._ends = math.log(rule.lowest), math.log(rule.highest)
        self._outside: list[int] = []
        self._moments: dict[int, _Moments] = {}

    @property
    def clamped(self) -> float:
        """The part of the anchors that have no such temperature."""
        return sum(self._outside) / len(self.tau)

    def __call__(self, rows: slice, block: Tensor) -> tuple[Tensor, Tensor]:
        """See ``temperance.contrast.layout.Temper``."""
        counts = _counts(block, self._negatives)
        if (thread := get_ident()) not in self._moments:
            self._moments[thread] = _Moments(block)
        moments = self._moments[thread]
        target = (self._rule.share * counts).log()
        largest = _below_largest(block, self._rule.highest)
        at = block.new_full((len(block),), self._begin)
        if block.shape[1] > 64 * THIN:
            thin = block[:, ::THIN].contiguous()
            _below_largest(thin, self._rule.highest)
            at, _ = _roots(moments, thin, target - math.log(THIN), at, self._ends, 4)
        at, left = _roots(moments, block, target, at, self._ends, STEPS)
        self._outside.append(left)
        self.tau[rows] = at.exp()
        return largest, torch.exp(-at)

    def look_at_all(self, batch: Batch) -> None:
        """Without a loss that has the similarities at hand."""
        n, m = len(batch.anchors), len(batch.candidates)
        height = max(1, min(256, BLOCK // m))

        def work(worker: int, workers: int) -> None:
            block = batch.anchors.new_empty(height, m)
            for top in range(worker * height, n, workers * height):
                rows = slice(top, min(top + height, n))
                here = block[: rows.stop - rows.start]
                whole_rows(batch.anchors, batch.candidates, batch.layout, rows, here)
                self(rows, here)

        in_threads(work, workers_for(n * m, batch.anchors.device), batch.anchors.device)

    def done(self) -> None:
        """Let the rule know."""
        self._rule.clamped = self.clamped
        self._rule.note(self.tau)


def _below_largest(block: Tensor, highest: float) -> Tensor:
    """Take from each row its largest entry, in place: the same at every temperature; returns those."""
    largest = block.amax(dim=1).nan_to_num(neginf=0.0)
    block.sub_(largest[:, None])
    # What does not count has the share 0 at the highest τ, too, and 0 · -inf would be nan.
    block.clamp_min_(LOWEST * highest)
    return largest


def _sample(batch: Batch, most: int) -> tuple[Tensor, Tensor]:
    """Similarities of some anchors to all their negatives, and how many those are."""
    n, m = len(batch.anchors), len(batch.candidates)
    size = min(n, most, max(16, KEPT // m))
    rows = torch.linspace(0, n - 1, size, device=batch.anchors.device).long()
    block = batch.anchors.new_empty(size, m)
    layout = batch.layout.taken(rows)
    whole_rows(batch.anchors[rows], batch.candidates, layout, slice(0, size), block)
    return block, _counts(block, _negatives(batch))


def _negatives(batch: Batch) -> int | None:
    """How many negatives every anchor has, or None where that differs."""
    return batch.negatives if batch.layout.anchor_class is None else None


def _counts(block: Tensor, negatives: int | None) -> Tensor:
    """How many negatives the anchors of a block of whole rows have."""
    if negatives is not None:  # counting them would take as long as several steps
        return block.new_full((len(block),), float(max(1, negatives)))
    return (block > -torch.inf).sum(dim=1).clamp_min(1).to(block.dtype)


class _Moments:
    """Entropy of each row's shares; and variance and third central moment of its logits by them.

    A few rows at a time, so that what is between stays in a core's cache, and in memory that is used again:
    new memory would cost more than the work in it.
    """

    def __init__(self, like: Tensor) -> None:
        self._memory = like.new_empty(2, max(CACHED, like.shape[1]))

    def __call__(
        self, block: Tensor, log_tau: Tensor, only: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of a block from ``_below_largest``, or some of its rows, at as many temperatures."""
        n, m = len(log_tau), block.shape[1]
        height = max(1, CACHED // m)
        sizes = [min(height, n - top) for top in range(0, n, height)]
        sums, scale = block.new_empty(4, n), torch.exp(-log_tau)[:, None] * LOG2_E
        # Cut at once: each view by itself would have threads wait for each other.
        pieces = zip(
            (block if only is None else only).split_with_sizes(sizes),
            scale.split_with_sizes(sizes),
            *(of_power.split_with_sizes(sizes) for of_power in sums),
            strict=True,
        )
        places = {size: self._memory[:, : size * m].view(2, size, m).unbind() for size in {*sizes}}
        for some, by, total, *powers in pieces:
            logits, shares = places[len(by)]
            if only is None:
                torch.mul(some, by, out=logits)
            else:
                torch.index_select(block, 0, some, out=logits).mul_(by)
            torch.exp2(logits, out=shares)
            torch.sum(shares, dim=1, out=total)
            for power in powers:
                torch.sum(shares.mul_(logits), dim=1, out=power)
        total = sums[0].clamp_min(torch.finfo(block.dtype).tiny)
        mean, square, cube = sums[1:] / total
        variance = (square - mean.square()).clamp_min(0)
        third = cube - mean * (3 * square - 2 * mean.square())
        return total.log() - mean / LOG2_E, variance / LOG2_E**2, third / LOG2_E**3


def _roots(
    moments: _Moments,
    block: Tensor,
    target: Tensor,
    begin: Tensor,
    ends: tuple[float, float],
    steps: int,
) -> tuple[Tensor, int]:
    r"""Log τ at which each row's entropy is its target, and for how many rows it was not found.

    In :math:`t = \log\tau` the entropy has the slope V, the logits' variance by their shares, and that the
    slope :math:`-2V - K`, K their third central moment: Newton's step :math:`x` becomes, to second order,
    :math:`x + (1 + K/2V)\,x^2`.
    """
    low, high = (torch.full_like(begin, x) for x in ends)
    at = begin.clamp(*ends)
    left = torch.arange(len(at), device=at.device)
    for _ in range(steps):
        here = at[left]
        entropy, variance, third = moments(block, here, None if len(left) == len(at) else left)
        missing = target[left] - entropy
        below = missing > 0
        low[left], high[left] = (
            torch.where(below, here, low[left]),
            torch.where(below, high[left], here),
        )
        step = missing / variance
        bend = (1 + third / (2 * variance)) * step
        to = here + step * (1 + bend.clamp(-0.5, 0.5))
        inside = (low[left] < to) & (to < high[left])
        close = missing.abs() < 2 * CLOSE
        short = inside & ((to - here).abs() < SHORT_BENT)
        to = torch.where(inside, to, (low[left] + high[left]) / 2)
        # On a plateau of ties little is missing and yet the step is long.
        at[left] = torch.where(close & ~short, here, to)
        left = left[~(close | (short & (missing.abs() < NEAR_BENT) & (bend.abs() < BEND)))]
        if not len(left):
            break
    return at, len(left)
