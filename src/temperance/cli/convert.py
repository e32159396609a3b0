"""``temperance convert``."""

import json
import math
from dataclasses import dataclass

from rich.table import Table

from temperance.cli.given import console, number, temperature
from temperance.errors import InputError
from temperance.integrations.conversion import (
    step_factor,
    temperature_from_logit_scale_parameter,
    temperature_from_scale,
)
from temperance.methods.config import checked_temperature


@dataclass(frozen=True)
class Library:
    """What one library calls the temperature.

    Attributes:
        name: of the library.
        word: what it calls the quantity.
        typed: what to type for this temperature.
    """

    name: str
    word: str
    typed: str


def run_convert(
    tau: str | None, scale: str | None, log_scale: str | None, base: str | None, as_json: bool
) -> None:
    """Print one temperature in the words of every library."""
    value = _value(tau, scale, log_scale)
    base_temperature = None if base is None else temperature(base)
    libraries = words(value)
    found = {"temperature": value, "scale": 1 / value, "log_scale": math.log(1 / value)}
    if base_temperature is not None:
        found["step_factor"] = step_factor(value, base_temperature)
    if as_json:
        typed = {library.name: library.typed for library in libraries}
        print(json.dumps(found | {"libraries": typed}, indent=1))
        return
    output = console()
    table = Table("τ", "scale 1/τ", "logit-scale parameter log(1/τ)")
    table.add_row(*(f"{x:.6g}" for x in list(found.values())[:3]))
    output.print(table)
    table = Table("library", "its word", "what to type")
    for library in libraries:
        table.add_row(library.name, library.word, library.typed)
    output.print(table)
    if base_temperature is not None:
        output.print(
            f"base_temperature={base_temperature:g} multiplies the loss by τ/τ₀ = "
            f"{found['step_factor']:.6g}, and so each step of plain gradient descent.",
            soft_wrap=True,
        )


def words(tau: float) -> list[Library]:
    """What to type in each library for one temperature.

    Example:
        >>> words(0.05)[3].typed
        'MultipleNegativesRankingLoss(model, scale=20)'
    """
    t, scale, parameter = (f"{x:.6g}" for x in (tau, 1 / tau, math.log(1 / tau)))
    return [
        Library("temperance", "temperature", f"NTXent(temperature={t})"),
        Library("lightly", "temperature", f"NTXentLoss(temperature={t})"),
        Library(
            "open_clip", "logit_scale", f"logit_scale={parameter}; the loss gets its exp, {scale}"
        ),
        Library(
            "sentence-transformers", "scale", f"MultipleNegativesRankingLoss(model, scale={scale})"
        ),
        Library("pytorch-metric-learning", "temperature", f"NTXentLoss(temperature={t})"),
        Library("SupContrast", "temperature", f"SupConLoss(temperature={t}, base_temperature={t})"),
        Library("MoCo", "T", f"T={t}"),
        Library("SigLIP", "t' and b", f"t'={parameter}; b is its own, and begins at -10"),
    ]


def _value(tau: str | None, scale: str | None, log_scale: str | None) -> float:
    given = [text for text in (tau, scale, log_scale) if text is not None]
    if len(given) != 1:
        raise InputError(
            f"{len(given)} of --temperature, --scale and --log-scale are given; give one of them"
        )
    if scale is not None:
        return checked_temperature(temperature_from_scale(number("scale", scale)))
    if log_scale is not None:
        parameter = number("log-scale", log_scale)
        return checked_temperature(temperature_from_logit_scale_parameter(parameter))
    return temperature(given[0])
