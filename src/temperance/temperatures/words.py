"""Temperatures as people type them: ``0.1``, ``learnable``, ``cosine:0.1,1``."""

from collections.abc import Callable
from dataclasses import dataclass

from temperance.errors import InputError
from temperance.temperatures.alignment import AlignmentAware
from temperance.temperatures.effective import EffectiveNegatives
from temperance.temperatures.given import Cosine, Fixed, Learnable, Linear, Steps, WarmUp
from temperance.temperatures.per_anchor import PerAnchor
from temperance.temperatures.policy import Policy
from temperance.temperatures.similarity import Pairwise, TemperatureFree

MANY = 64


@dataclass(frozen=True)
class Kind:
    """One rule by name.

    Attributes:
        make: from the number of instances and the numbers typed.
        numbers: how many may be typed, at least and at most.
        form: how it is typed.
        meaning: in a few words.
    """

    make: Callable[[int, list[float]], Policy]
    numbers: tuple[int, int]
    form: str
    meaning: str


KINDS: dict[str, Kind] = {
    "learnable": Kind(
        lambda n, x: Learnable(*x), (0, 1), "learnable[:0.07]", "learned, as in CLIP"
    ),
    "cosine": Kind(
        lambda n, x: Cosine(*x), (0, 2), "cosine[:0.1,1]", "a cosine from high to low and back"
    ),
    "linear": Kind(
        lambda n, x: Linear(*x), (2, 2), "linear:0.5,0.1", "straight from one to another"
    ),
    "warm-up": Kind(
        lambda n, x: WarmUp(*x[:2], **({"share": x[2]} if len(x) > 2 else {})),
        (2, 3),
        "warm-up:0.5,0.1[,0.1]",
        "the same in a first part of training",
    ),
    "steps": Kind(lambda n, x: Steps(*x), (1, MANY), "steps:0.5,0.2,0.1", "one after another"),
    "aligned": Kind(
        lambda n, x: AlignmentAware(*x), (0, 1), "aligned[:0.1]", "rises as views agree (MACL)"
    ),
    "pairwise": Kind(
        lambda n, x: Pairwise(*x), (0, 2), "pairwise[:0.07,0.2]", "by similarity (DySTreSS)"
    ),
    "effective": Kind(
        lambda n, x: EffectiveNegatives(*x),
        (0, 1),
        "effective[:0.3]",
        "the push shared among that part of the negatives",
    ),
    "effective-each": Kind(
        lambda n, x: EffectiveNegatives(*x, per_anchor=True),
        (0, 1),
        "effective-each[:0.3]",
        "the same for each anchor",
    ),
    "per-anchor": Kind(
        lambda n, x: PerAnchor(n, **({"initial": x[0]} if x else {})),
        (0, 1),
        "per-anchor[:0.1]",
        "one for each instance (iSogCLR)",
    ),
    "free": Kind(lambda n, x: TemperatureFree(), (0, 0), "free", "none (artanh)"),
}


def policy(words: str, instances: int) -> Policy:
    """The rule that somebody typed.

    Args:
        words: a number, or a name with its numbers after a colon, separated by commas.
        instances: of the data set, for rules that keep something of each.

    Raises:
        InputError: on an unknown name, or numbers that are none or do not fit.

    Example:
        >>> policy("0.2", 10).log_line()
        'fixed: τ = 0.2'
        >>> policy("cosine:0.1,0.5", 10).log_line()
        'cosine: τ = 0.5, 0 % of the way'
    """
    name, _, rest = words.strip().partition(":")
    if name in KINDS:
        kind = KINDS[name]
        numbers = [_number(words, part) for part in rest.split(",")] if rest else []
        least, most = kind.numbers
        if not least <= len(numbers) <= most:
            raise InputError(f"temperature {words!r} has {len(numbers)} numbers; give {kind.form}")
        return kind.make(instances, numbers)
    try:
        return Fixed(float(words))
    except ValueError as error:
        known = ", ".join(kind.form for kind in KINDS.values())
        raise InputError(
            f"temperature {words!r} is not a number and no rule; give one such as 0.1, or {known}"
        ) from error


def _number(words: str, part: str) -> float:
    try:
        return float(part)
    except ValueError as error:
        raise InputError(
            f"temperature {words!r}: {part!r} is not a number; give one such as 0.1"
        ) from error
