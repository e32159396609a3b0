"""``temperance bench``."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from rich.table import Table

from temperance.cli.given import console, progress, temperature
from temperance.errors import InputError
from temperance.speed import (
    LOSSES,
    Case,
    Measured,
    absent_peers,
    check_fits,
    machine,
    measure,
    steps,
)

HOW_TO_READ = (
    "ms is one forward and backward pass. × dense says how many times faster than plain automatic "
    "differentiation (above 1 is faster), × floor how many times the bare matrix products it takes (1 is all "
    "that can be had), peak MB the memory above the inputs, in a fresh process, and error how far the "
    "gradient is from float64 (relative, at 1,024 rows at most; 1 is a gradient that is lost)."
)
COLUMNS = ("ms", "× dense", "× floor", "peak MB", "error")


def run_bench(
    losses: str | None,
    rows: int,
    width: int,
    queue: int,
    tau: str,
    rounds: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Parse, measure, print."""
    names = list(LOSSES)
    if losses is not None:
        names = list(dict.fromkeys(x.strip() for x in losses.split(",") if x.strip()))
    if not names:
        raise InputError(f"no losses given; give some of {', '.join(LOSSES)}")
    cases = [Case(name, rows, width, queue if name == "moco" else 0) for name in names]
    value, where = temperature(tau), _device(device)
    if rounds < 1:
        raise InputError(f"--rounds {rounds} is not positive; give 1 or more")
    for case in cases:
        check_fits(case, where)
    with _display(cases, rounds) as show:
        found = [measure(case, value, rounds, where, partial(show, case)) for case in cases]
    if as_json:
        _print_json(cases, found, value, rounds, where)
    else:
        _print(cases, found, value, rounds, where)


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise InputError(f"--device {name} is unknown; give cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds none here; give cpu")
    return torch.device(name)


@contextmanager
def _display(cases: Sequence[Case], rounds: int) -> Iterator[Callable[[Case, str], None]]:
    """A bar with time left on a terminal; a line a loss elsewhere."""
    output = console(stderr=True)
    total = [steps(case, rounds) for case in cases]
    begun: list[Case] = []
    bar = progress(
        output,
        "{task.fields[loss]}",
        "{task.fields[what]}",
        transient=True,
        auto_refresh=False,  # a thread that draws would take its share of what is timed
        speed_estimate_period=3600,  # timings are short and fresh processes long
    )
    with bar:
        task = bar.add_task("timing", total=sum(total), loss="", what="")

        def show(case: Case, what: str) -> None:
            if case not in begun:
                bar.update(task, completed=sum(total[: len(begun)]))  # something may not have run
                begun.append(case)
                if not output.is_terminal:
                    output.print(case.name)
            bar.update(task, advance=1, loss=case.loss, what=what, refresh=True)

        yield show


def _print_json(
    cases: Sequence[Case],
    found: Sequence[Sequence[Measured]],
    tau: float,
    rounds: int,
    device: torch.device,
) -> None:
    results = [
        asdict(case) | {"measured": [_known(x) for x in measured]}
        for case, measured in zip(cases, found, strict=True)
    ]
    about = {"machine": machine(device), "temperature": tau, "rounds": rounds}
    print(json.dumps(about | {"cases": results}, indent=1))


def _known(one: Measured) -> dict[str, Any]:
    """JSON has no nan, which is what a lost gradient may come to."""
    lost = one.gradient_error is not None and not math.isfinite(one.gradient_error)
    return asdict(one) | ({"gradient_error": None} if lost else {})


def _print(
    cases: Sequence[Case],
    found: Sequence[Sequence[Measured]],
    tau: float,
    rounds: int,
    device: torch.device,
) -> None:
    output = console()
    output.print(f"τ = {tau:g}, {rounds} rounds; {machine(device)}")
    faults: dict[tuple[str, str], list[str]] = {}
    for case, measured in zip(cases, found, strict=True):
        output.print(_table(case, measured))
        for one in measured:
            if one.fault is not None:
                faults.setdefault((one.name, one.fault), []).append(case.loss)
    for (name, fault), losses in faults.items():
        output.print(f"{name} cannot run {', '.join(losses)}: {fault}.")
    output.print(HOW_TO_READ)
    absent = dict.fromkeys(x for case in cases for x in absent_peers(case.loss, device))
    if absent:
        output.print(f"To set others beside it: pip install {' '.join(absent)}", soft_wrap=True)


def _table(case: Case, measured: Sequence[Measured]) -> Table:
    table = Table("", title=case.name, title_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for one in measured:
        if one.fault is None:
            table.add_row(one.name, *one.cells())
    return table
