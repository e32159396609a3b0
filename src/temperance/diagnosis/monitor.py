"""Eyes on the temperature of a running training: figures for a log, and a word when something looks wrong."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from temperance.errors import InputError
from temperance.geometry import alignment, effective_negatives, relative_penalty, uniformity
from temperance.losses import (
    DCL,
    CLIPLoss,
    HardContrastive,
    InfoNCE,
    NTXent,
    SigmoidLoss,
)
from temperance.temperatures import Learnable, Policy

PAIR_LOSSES = (InfoNCE, NTXent, DCL, CLIPLoss, HardContrastive, SigmoidLoss)
# Anchors that stand for the batch, and numbers of their rows.
SAMPLE, ENTRIES = 512, 1 << 22

# Where a run looks wrong.
COLLAPSED = 0.95
FEWEST_EFFECTIVE = 2.0
MOST_EFFECTIVE = 0.98
CAP = 0.0101
FACTOR = 10.0


class TemperatureWarning(UserWarning):
    """A run that looks wrong, with the reason and the remedy."""


@dataclass(frozen=True)
class Reading:
    """A batch at its temperature; means over a sample of anchors.

    Attributes:
        temperature: τ; its mean where each anchor has one.
        effective_negatives: among how many negatives the push is shared.
        effective_share: the same as a part of all negatives.
        positive_similarity: cosine of a pair.
        hardest_negative: cosine of an anchor and its most similar negative.
        alignment: squared distance of a pair; lower is better.
        uniformity: log mean Gaussian potential; lower is more uniform.
        mean_similarity: cosine of an anchor and its negatives.
        false_negative_mass: share of the push on negatives of the anchor's class; nan without labels.
    """

    temperature: float
    effective_negatives: float
    effective_share: float
    positive_similarity: float
    hardest_negative: float
    alignment: float
    uniformity: float
    mean_similarity: float
    false_negative_mass: float

    def scalars(self) -> dict[str, float]:
        """What there is to log, by name."""
        found = {f"temperature/{f.name}": getattr(self, f.name) for f in fields(self)}
        found["temperature/tau"] = found.pop("temperature/temperature")
        return {name: value for name, value in found.items() if math.isfinite(value)}


@torch.no_grad()
def read_batch(
    anchors: Float[Tensor, "n d"],
    positives: Float[Tensor, "n d"],
    temperature: float,
    negatives: Float[Tensor, "k d"] | None = None,
    labels: Int[Tensor, " n"] | None = None,
) -> Reading:
    """Measure one batch.

    Args:
        anchors: ``(n, d)``.
        positives: ``(n, d)``; without ``negatives`` the other rows are each anchor's negatives.
        temperature: τ > 0.
        negatives: ``(k, d)`` of a queue, which are then the negatives.
        labels: ``(n,)`` classes, for the false-negative mass within the batch.

    Example:
        >>> import torch
        >>> read_batch(torch.eye(4), torch.eye(4), 0.1).effective_share
        1.0
    """
    others = positives if negatives is None else negatives
    n, m = len(anchors), len(others)
    rows = torch.linspace(0, n - 1, min(n, SAMPLE, max(16, ENTRIES // max(1, m)))).long()
    rows = rows.to(anchors.device)
    a, p, c = (_unit(x) for x in (anchors[rows], positives[rows], others))
    own = (a * p).sum(dim=1)
    similarities = a @ c.T
    off = torch.ones_like(similarities, dtype=torch.bool)
    if negatives is None:
        off[torch.arange(len(rows), device=rows.device), rows] = False
    kept = similarities.masked_fill(~off, -math.inf)
    effective = effective_negatives(kept, temperature)
    mass = math.nan
    if labels is not None and negatives is None:
        same = (labels[rows, None] == labels) & off
        mass = float((relative_penalty(kept, temperature) * same).sum(dim=1).mean())
    return Reading(
        temperature=temperature,
        effective_negatives=float(effective.mean()),
        effective_share=float(effective.mean() / off[0].sum()),
        positive_similarity=float(own.mean()),
        hardest_negative=float(kept.amax(dim=1).mean()),
        alignment=alignment(a, p),
        uniformity=uniformity(a),
        mean_similarity=float(similarities[off].mean()),
        false_negative_mass=mass,
    )


class TemperatureMonitor:
    """Watches a loss while it trains.

    Every so many calls of the loss in training mode it measures a sample of the batch, gives the figures to
    whatever logs them, and warns, once for each cause, when the run looks wrong.

    Args:
        log: takes the figures by name, and the number of the call; such as
            ``lambda figures, step: writer.add_scalars("", figures, step)``. None for none.
        every: calls between two readings.
        warn: takes a sentence; unless told, a ``TemperatureWarning``.

    Example:
        >>> import torch
        >>> from temperance import NTXent
        >>> loss, seen = NTXent(temperature=0.5), []
        >>> monitor = TemperatureMonitor(lambda figures, step: seen.append(figures), every=1)
        >>> monitor.watch(loss)
        >>> _ = loss(torch.randn(32, 8), torch.randn(32, 8))
        >>> seen[0]["temperature/tau"]
        0.5
    """

    def __init__(
        self,
        log: Callable[[dict[str, float], int], None] | None = None,
        *,
        every: int = 50,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        if every < 1:
            raise InputError(f"every {every} is not positive; give 1 or more")
        self.every = every
        self._log = log
        self._warn = warn or (lambda words: warnings.warn(words, TemperatureWarning, stacklevel=4))
        self._said: set[str] = set()
        self._first: float | None = None
        self._calls = 0

    def watch(self, loss: nn.Module) -> None:
        """Read what a loss of pairs is given, from its next call on.

        Raises:
            InputError: for losses without pairs.
        """
        if not isinstance(loss, PAIR_LOSSES):
            known = ", ".join(kind.__name__ for kind in PAIR_LOSSES)
            raise InputError(f"{type(loss).__name__} has no pairs to watch; give one of {known}")
        loss.register_forward_hook(self._called, with_kwargs=True)

    def _called(
        self, loss: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any], result: object
    ) -> None:
        if not loss.training:
            return
        step, self._calls = self._calls, self._calls + 1
        if step % self.every:
            return
        anchors, positives, *queue = inputs
        classes = (
            options.get("labels") if options.get("labels") is not None else options.get("classes")
        )
        negatives = queue[0] if queue else options.get("negatives")
        rule = loss.temperature
        self.observe(step, anchors, positives, _number(rule), negatives, classes, rule)

    def observe(
        self,
        step: int,
        anchors: Float[Tensor, "n d"],
        positives: Float[Tensor, "n d"],
        temperature: float,
        negatives: Float[Tensor, "k d"] | None = None,
        labels: Int[Tensor, " n"] | None = None,
        rule: object = None,
    ) -> Reading | None:
        """Measure, log and warn at once; for losses that are not modules of this package.

        Args:
            step: of the training.
            anchors: as in ``read_batch``; where one row is nan nothing is measured, and it is said.
            positives: the same.
            temperature: the same.
            negatives: the same.
            labels: the same.
            rule: what gave the temperature; a learned one says whether it stands at a bound.
        """
        finite = torch.isfinite(anchors).all() & torch.isfinite(positives).all()
        if not bool(finite) or not math.isfinite(temperature):
            self._say(
                "nan",
                f"step {step}: embeddings or temperature hold nan or infinity. Lower the learning rate, "
                "clip gradients, or look at the images of this batch.",
            )
            return None
        reading = read_batch(anchors, positives, temperature, negatives, labels)
        self._judge(step, reading, rule)
        if self._log is not None:
            self._log(reading.scalars(), step)
        return reading

    def _judge(self, step: int, seen: Reading, rule: object) -> None:
        tau = seen.temperature
        if seen.mean_similarity > COLLAPSED:
            self._say(
                "collapse",
                f"step {step}: all embeddings point one way (mean cosine of negatives "
                f"{seen.mean_similarity:.3f}, above {COLLAPSED}): the space has collapsed. Lower the "
                "temperature or the learning rate, or give more negatives.",
            )
        at_cap = (
            rule.at_bound if isinstance(rule, Learnable) else isinstance(rule, Tensor) and tau < CAP
        )
        if at_cap:
            self._say(
                "cap",
                f"step {step}: the learned temperature stands at its bound, τ = {tau:.4g} (scale "
                f"{1 / tau:.4g}): it would go further if it could. Look at the effective negatives "
                f"({seen.effective_negatives:.1f}): fix τ higher, or move the bound if that is meant.",
            )
        if seen.effective_negatives < FEWEST_EFFECTIVE:
            self._say(
                "few",
                f"step {step}: at τ = {tau:.4g} the push falls on {seen.effective_negatives:.2f} negatives "
                "of each anchor (fewer than 2): only the very hardest count, false negatives among them. "
                "Raise the temperature.",
            )
        if seen.effective_share > MOST_EFFECTIVE:
            self._say(
                "all",
                f"step {step}: at τ = {tau:.4g} the push is shared by {seen.effective_share:.1%} of the "
                "negatives alike: hard ones count no more than others. Lower the temperature.".replace(
                    "%", " %"
                ),
            )
        if self._first is None:
            self._first = tau
        moved = isinstance(rule, Learnable | Tensor) and not (
            1 / FACTOR < tau / self._first < FACTOR
        )
        if moved:
            self._say(
                "diverging",
                f"step {step}: the learned temperature went from {self._first:.4g} to {tau:.4g}, more than "
                "tenfold. Give it a lower learning rate, no weight decay, or bounds.",
            )

    def _say(self, cause: str, words: str) -> None:
        if cause not in self._said:
            self._said.add(cause)
            self._warn(words)


def _number(temperature: object) -> float:
    if isinstance(temperature, Policy):
        return temperature.last
    if isinstance(temperature, Tensor):
        return float(temperature.detach().mean())
    assert isinstance(temperature, float | int)
    return float(temperature)


def _unit(x: Tensor) -> Tensor:
    return nn.functional.normalize(x.detach().float(), dim=1)
