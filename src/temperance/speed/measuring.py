"""All there is to say of one case: times, ratios, memory, and what is left of the gradient."""

import os
import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch

from temperance.errors import InputError
from temperance.speed.case import Case, inputs
from temperance.speed.implementations import (
    DENSE,
    TEMPERANCE,
    Implementation,
    Loss,
    implementations_of,
    tiled_loss,
)
from temperance.speed.memory import peak_bytes, shortage
from temperance.speed.timing import floor, ratio, step, times

FLOOR = "floor"


@dataclass(frozen=True)
class Measured:
    """One implementation on one case.

    Attributes:
        name: of the implementation.
        seconds: median of forward and backward.
        times_dense: how many times faster than dense automatic differentiation; None where that cannot run.
        times_floor: how many times what the bare matrix products take.
        peak_bytes: above the inputs, in a fresh process; None where it cannot be told.
        gradient_error: Frobenius norm of the error over that of the gradient, by float64, at no more than
            1,024 rows and 4,096 queued keys.
        fault: why there are no figures, or None.
    """

    name: str
    seconds: float | None = None
    times_dense: float | None = None
    times_floor: float | None = None
    peak_bytes: int | None = None
    gradient_error: float | None = None
    fault: str | None = None

    def cells(self) -> list[str]:
        """As a table says it: ms, × dense, × floor, peak MB, error; what is not known is a dash."""
        known = (
            (self.seconds, 1e3, ".1f"),
            (self.times_dense, 1, ".2f"),
            (self.times_floor, 1, ".2f"),
            (self.peak_bytes, 1e-6, ".0f"),
            (self.gradient_error, 1, ".1e"),
        )
        return ["–" if x is None else format(x * unit, how) for x, unit, how in known]


def check_fits(case: Case, device: torch.device) -> None:
    """Refuse a case whose vectors themselves would not fit the memory.

    Raises:
        InputError: says how much is needed, and how much is free.
    """
    short = shortage(TEMPERANCE, case, device)
    if short is not None:
        raise InputError(f"{case.name}: {short}; give fewer rows")


def measure(
    case: Case,
    tau: float,
    rounds: int,
    device: torch.device,
    on_step: Callable[[str], None] = lambda what: None,
) -> list[Measured]:
    """Time what takes a case, and weigh it; what cannot run comes last, with its fault.

    What would not fit the memory is not tried, and what another library raises is reported, not raised.

    Args:
        case: the loss and its size.
        tau: the temperature.
        rounds: how often each runs, after once to warm up.
        device: a CPU or a CUDA device.
        on_step: called with a name as each of ``steps`` begins; fewer come where something cannot run.

    Raises:
        InputError: if the inputs themselves would not fit the memory.

    Example:
        >>> case = Case("moco", 8, 4, queue=16)
        >>> found = measure(case, 0.1, rounds=1, device=torch.device("cpu"))
        >>> [x.name for x in found][:2]
        ['temperance', 'dense']
    """
    check_fits(case, device)
    runs = {FLOOR: floor(case, device)}
    losses: dict[str, Loss] = {}
    faults: dict[str, str] = {}
    for implementation in implementations_of(case.loss):
        on_step(implementation.name)
        ready = _ready(implementation, case, tau, device)
        if isinstance(ready, str):
            faults[implementation.name] = ready
        else:
            losses[implementation.name], runs[implementation.name] = ready
    runs[FLOOR]()
    found = times(runs, rounds, device, on_step)
    measured = []
    for name, loss in losses.items():
        on_step(name)
        one = Measured(
            name,
            seconds=statistics.median(found[name]),
            times_dense=ratio(found[DENSE.name], found[name]) if DENSE.name in found else None,
            times_floor=ratio(found[name], found[FLOOR]),
            peak_bytes=peak_bytes(case, name, tau, device),
            gradient_error=gradient_error(case, loss, tau, device),
        )
        measured.append(one)
    return measured + [Measured(name, fault=fault) for name, fault in faults.items()]


def steps(case: Case, rounds: int) -> int:
    """How often ``measure`` calls ``on_step``, where everything can run."""
    count = len(implementations_of(case.loss))
    return count + rounds * (count + 1) + count


def _ready(
    implementation: Implementation, case: Case, tau: float, device: torch.device
) -> tuple[Loss, Callable[[], None]] | str:
    """A loss and its step, which has run once; or why it cannot run."""
    if implementation.cuda and device.type != "cuda":
        return "needs a CUDA device"
    short = shortage(implementation, case, device)
    if short is not None:
        return short
    try:
        loss = implementation.loss(case.loss)
        run = step(loss, case, tau, device)
        run()
    except Exception as error:  # another library may fail in any way
        if implementation.name == TEMPERANCE.name:
            raise
        return (str(error).splitlines() or [type(error).__name__])[0]
    return loss, run


def gradient_error(case: Case, loss: Loss, tau: float, device: torch.device) -> float:
    """How far float32 gradients are from those of the same numbers in float64.

    The latter are taken in the form that keeps its digits on separated pairs.
    """
    small = case.small()
    a, b, queue = inputs(small, device)
    loss(a, b, queue, tau).backward()  # type: ignore[no-untyped-call]
    wide_a, wide_b = (x.detach().double().requires_grad_() for x in (a, b))
    keys = None if queue is None else queue.double()
    exact = tiled_loss(case.loss, backend="dense")(wide_a, wide_b, keys, tau)
    true = torch.cat(torch.autograd.grad(exact, (wide_a, wide_b)))
    assert a.grad is not None
    assert b.grad is not None
    found = torch.cat([a.grad, b.grad]).double()
    return float((found - true).norm() / true.norm())


def machine(device: torch.device) -> str:
    """What was measured on, in a line."""
    processor = platform.processor() or platform.machine()
    where = f"{torch.get_num_threads()} threads, {os.cpu_count()} cores, {processor}"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    return f"torch {torch.__version__}, {where}"
