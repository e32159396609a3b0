"""Forward and backward by the clock, and the matrix products that no exact loss can do without."""

import statistics
import time
from collections.abc import Callable

import torch

from temperance.speed.case import Case, inputs
from temperance.speed.implementations import Loss

# Products of all rows with all columns that the tiled algorithm needs, forward and backward together; those
# of nt_xent are of halves, since its matrix is symmetric.
PRODUCTS = {"info_nce": 3, "clip": 4, "nt_xent": 2, "moco": 2}
HEIGHT = 512


def step(loss: Loss, case: Case, tau: float, device: torch.device) -> Callable[[], None]:
    """What a training step asks of a loss: its value and its gradients, anew at each call."""
    a, b, queue = inputs(case, device)

    def run() -> None:
        a.grad = b.grad = None
        loss(a, b, queue, tau).backward()  # type: ignore[no-untyped-call]

    return run


def floor(case: Case, device: torch.device) -> Callable[[], None]:
    """The matrix products alone, over blocks of rows."""
    n, m, width = case.rows, case.columns, case.width
    a, c = torch.randn(n, width, device=device), torch.randn(m, width, device=device)
    height = min(HEIGHT, n)
    logits, pulled = a.new_empty(height, m), a.new_empty(height, width)
    gathered = torch.zeros_like(c)
    products = PRODUCTS[case.loss]

    def run() -> None:
        for top in range(0, n, height):
            rows = a[top : top + height]
            block = logits[: len(rows)]
            torch.mm(rows, c.T, out=block)
            torch.mm(block, c, out=pulled[: len(rows)])
            if products >= 3:
                torch.addmm(gathered, block.T, rows, out=gathered)
            if products == 4:
                torch.mm(rows, c.T, out=block)

    return run


def times(
    runs: dict[str, Callable[[], None]],
    rounds: int,
    device: torch.device | None = None,
    on_run: Callable[[str], None] = lambda name: None,
) -> dict[str, list[float]]:
    """Seconds of each run in each round; within a round they take turns.

    Args:
        runs: by name.
        rounds: how often each runs.
        device: what is waited for, where runs only ask for work to be done.
        on_run: called with a run's name before it begins.

    Example:
        >>> found = times({"sleep": lambda: time.sleep(0.01)}, rounds=3)
        >>> min(found["sleep"]) >= 0.01
        True
    """
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            on_run(name)
            wait(device)
            begun = time.perf_counter()
            run()
            wait(device)
            found[name].append(time.perf_counter() - begun)
    return found


def wait(device: torch.device | None) -> None:
    """Until a CUDA device has done what it was asked; others are never behind."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


def ratio(above: list[float], below: list[float]) -> float:
    """The median of the ratios within a round.

    Example:
        >>> ratio([2.0, 4.0, 9.0], [1.0, 2.0, 3.0])
        2.0
    """
    return statistics.median(x / y for x, y in zip(above, below, strict=True))
