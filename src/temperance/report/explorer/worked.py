"""The worked example: a softmax over three scores at falling temperatures, in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LOGITS = (1.0, 2.0, 3.0)
NEAR_MISS = (0.0, 2.9, 3.0)


@dataclass(frozen=True)
class Row:
    """One softmax cross-entropy, in float64: scores, the right class, the temperature, the loss."""

    logits: tuple[float, ...]
    target: int
    temperature: float
    probabilities: tuple[float, ...]
    loss: float
    undivided_loss: float
    """The loss of the common mistake: the criterion is given the scores, not scores/temperature."""


def softmax(logits: Sequence[float], temperature: float) -> tuple[float, ...]:
    """Turn scores into probabilities, ``exp(x/τ) / Σ exp(x/τ)``.

    Example:
        >>> [f"{p:.4f}" for p in softmax([1, 2, 3], temperature=0.5)]
        ['0.0159', '0.1173', '0.8668']
    """
    top = max(logits)
    weights = [math.exp((x - top) / temperature) for x in logits]
    return tuple(w / math.fsum(weights) for w in weights)


def cross_entropy(logits: Sequence[float], target: int, temperature: float) -> float:
    """Minus the logarithm of the target's probability.

    Written with ``log1p`` on the differences to the target's score, so that a tiny loss keeps its
    digits where ``-log(softmax)`` would lose them to cancellation.

    Example:
        >>> f"{cross_entropy([1, 2, 3], target=2, temperature=0.1):.4e}"
        '4.5401e-05'
    """
    gaps = sorted((x - logits[target]) / temperature for x in logits)
    return gaps[-1] + math.log1p(math.fsum(math.exp(gap - gaps[-1]) for gap in gaps[:-1]))


def softmax_table() -> list[Row]:
    """Compute the worked example: three scores, at falling temperatures.

    The right class scores highest (the loss falls with the temperature), then lowest (it rises),
    then second by a hair (it falls, then rises: a near miss, as a hard negative makes it).
    """
    cases = (
        (LOGITS, 2, (1.0, 0.5, 0.1)),
        (LOGITS, 0, (1.0, 0.5, 0.1)),
        (NEAR_MISS, 1, (3.0, 1.0, 0.5, 0.1)),
    )
    return [
        Row(
            logits=logits,
            target=target,
            temperature=temperature,
            probabilities=softmax(logits, temperature),
            loss=cross_entropy(logits, target, temperature),
            undivided_loss=cross_entropy(logits, target, 1.0),
        )
        for logits, target, temperatures in cases
        for temperature in temperatures
    ]
