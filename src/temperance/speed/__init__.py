"""How fast is it here? The losses beside dense automatic differentiation, other libraries, and a floor.

Everything runs forward and backward on the same inputs, in turn, round by round; what is reported are medians
of the ratios within a round, since a shared machine's speed drifts.
"""

from temperance.speed.case import LOSSES, Case, inputs
from temperance.speed.implementations import (
    IMPLEMENTATIONS,
    Implementation,
    absent_peers,
    implementations_of,
)
from temperance.speed.measuring import Measured, check_fits, gradient_error, machine, measure, steps
from temperance.speed.memory import (
    free_bytes,
    needed_bytes,
    peak_above,
    peak_bytes,
)
from temperance.speed.timing import floor, ratio, step, times

__all__ = [
    "IMPLEMENTATIONS",
    "LOSSES",
    "Case",
    "Implementation",
    "Measured",
    "absent_peers",
    "check_fits",
    "floor",
    "free_bytes",
    "gradient_error",
    "implementations_of",
    "inputs",
    "machine",
    "measure",
    "needed_bytes",
    "peak_above",
    "peak_bytes",
    "ratio",
    "step",
    "steps",
    "times",
]
