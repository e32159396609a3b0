"""What people bring, checked: embeddings, their partners, their classes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from temperance.diagnosis.rows import Rows, Vectors, looked_through
from temperance.errors import InputError

# Fewer rows than this have no hardest negatives to speak of.
FEWEST = 10
# τ beyond these says nothing on cosines: the push falls on one negative, or on all alike.
LOWEST, HIGHEST = 1e-3, 1e2


@dataclass(frozen=True, eq=False)
class Given:
    """What is to be diagnosed.

    Attributes:
        x: ``(n, d)`` embeddings; the anchors are some of them.
        y: ``(n, d)``, row i the positive of row i of x, or None.
        negatives: ``(k, d)`` all negatives there are, or None: those are the rows of y, or of x.
        classes: ``(n,)`` class numbers, or None.
        names: of the classes.
    """

    x: Rows
    y: Rows | None
    negatives: Rows | None
    classes: Int[Tensor, " n"] | None
    names: tuple[str, ...]

    @property
    def candidates(self) -> Rows:
        """What stands in the denominator beside the positive."""
        return self.negatives or self.y or self.x

    @property
    def negatives_each(self) -> int:
        """How many negatives an anchor has."""
        return len(self.candidates) - (self.negatives is None)


def checked(
    x: Any,
    y: Any = None,
    labels: Any = None,
    negatives: Any = None,
    names: tuple[str, str, str] = ("x", "y", "negatives"),
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Given:
    """Look through everything that is given.

    Args:
        x: ``(n, d)`` array or tensor.
        y: of the same shape, or None.
        labels: n classes of any kind, or None.
        negatives: ``(k, d)``, or None.
        names: what messages call x, y and the negatives.
        on_rows: called with how many rows were looked at since the last call.

    Raises:
        InputError: on whatever cannot be compared.
    """
    vectors = [
        None if v is None else vectors_of(n, v)
        for n, v in zip(names, (x, y, negatives), strict=True)
    ]
    first, second, third = vectors
    assert first is not None
    if first.ndim == 2 and len(first) < FEWEST:
        raise InputError(
            f"{names[0]} has {len(first)} rows; give at least {FEWEST}, better thousands"
        )
    if second is not None and second.shape != first.shape:
        raise InputError(
            f"{names[1]} has shape {second.shape} and {names[0]} {first.shape}; "
            "give one partner of the same width for each row"
        )
    if third is not None and (third.ndim != 2 or third.shape[1:] != first.shape[1:]):
        raise InputError(
            f"{names[2]} has shape {third.shape}; give (k, {first.shape[-1]}), as wide as {names[0]}"
        )
    classes, class_names = (None, ()) if labels is None else classes_of(labels, len(first))
    rows = [
        None if v is None else looked_through(n, v, on_rows)
        for n, v in zip(names, vectors, strict=True)
    ]
    assert rows[0] is not None
    return Given(rows[0], rows[1], rows[2], classes, class_names)


def vectors_of(name: str, x: Any) -> Vectors:
    """A tensor or an array as an array, without a copy where there need be none."""
    if isinstance(x, Tensor):
        x = x.detach().cpu()
        return (x.float() if x.dtype == torch.bfloat16 else x).numpy()  # type: ignore[no-any-return]
    try:
        return x if isinstance(x, np.ndarray) else np.asarray(x)
    except ValueError as error:
        raise InputError(
            f"{name} has rows of different lengths; give (n, d), one vector a row"
        ) from error


def classes_of(labels: Any, rows: int) -> tuple[Int[Tensor, " n"], tuple[str, ...]]:
    """Class numbers, and the names of the classes.

    Raises:
        InputError: if there is not one label for each row, or the labels tell no rows apart.

    Example:
        >>> classes_of(["cat", "dog", "cat"], 3)
        (tensor([0, 1, 0]), ('cat', 'dog'))
    """
    given = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if given.shape != (rows,):
        raise InputError(f"labels have shape {given.shape}; give one for each of the {rows} rows")
    if given.dtype.kind not in "iubUS":
        given = given.astype(str)
    names, numbers = np.unique(given, return_inverse=True)
    if len(names) == 1:
        raise InputError(f"labels name one class only, {names[0]!s}; leave them out")
    if len(names) == rows:
        raise InputError("labels give each row a class of its own; leave them out")
    return torch.from_numpy(numbers.astype(np.int64)), tuple(str(name) for name in names)


def checked_temperature(temperature: Any) -> float | None:
    """τ, where it says anything about cosines.

    Raises:
        InputError: if it is not a number from 0.001 to 100.
    """
    if temperature is None:
        return None
    try:
        value = float(temperature)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"temperature {temperature!r} is not a number; give one such as 0.1"
        ) from error
    if not LOWEST <= value <= HIGHEST:
        raise InputError(
            f"temperature {value:g} is not between {LOWEST:g} and {HIGHEST:g}, where cosines tell anything; "
            "if that is a logit scale, τ is 1 over it"
        )
    return value
