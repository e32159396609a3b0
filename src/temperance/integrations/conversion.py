"""What other libraries call τ: a scale 1/τ, a logit-scale parameter log(1/τ), a base temperature."""

import math
from typing import TypeVar

from torch import Tensor

from temperance.errors import InputError

Number = TypeVar("Number", float, Tensor)


def temperature_from_scale(scale: Number) -> Number:
    """τ = 1/scale; a tensor's gradient flows back to it.

    Args:
        scale: what similarities are multiplied by, > 0.

    Raises:
        InputError: if it is not positive and finite.

    Example:
        >>> temperature_from_scale(20.0)
        0.05
    """
    size = float(scale.detach()) if isinstance(scale, Tensor) else scale
    if not (math.isfinite(size) and size > 0):
        raise InputError(f"scale {size:g} is not positive and finite; give 1/τ, such as 20")
    return 1 / scale


def temperature_from_logit_scale_parameter(parameter: float) -> float:
    """τ = exp(-t), where similarities are multiplied by exp(t).

    Args:
        parameter: t, such as CLIP's, which begins at log(1/0.07).

    Raises:
        InputError: if no float is exp(-t).

    Example:
        >>> round(temperature_from_logit_scale_parameter(2.6593), 4)
        0.07
    """
    try:
        return math.exp(-parameter)
    except OverflowError as error:
        raise InputError(
            f"logit-scale parameter {parameter:g} gives no finite temperature; give log(1/τ), such as 2.66"
        ) from error


def step_factor(temperature: float, base_temperature: float) -> float:
    """τ/τ₀: what a base temperature multiplies the loss by, and so each step of plain gradient descent.

    Args:
        temperature: τ > 0.
        base_temperature: τ₀ > 0.

    Raises:
        InputError: if the base temperature is not positive and finite.

    Example:
        >>> step_factor(0.14, 0.07)
        2.0
    """
    if not (math.isfinite(base_temperature) and base_temperature > 0):
        raise InputError(
            f"base_temperature {base_temperature:g} is not positive and finite; "
            "give the temperature itself for a factor of 1"
        )
    return temperature / base_temperature
