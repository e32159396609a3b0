"""How fast the losses are, beside plain automatic differentiation, other libraries, and bare matrix products.

    pip install --group peers                       # the other libraries, as far as wanted
    python benchmarks/losses.py                     # every case
    python benchmarks/losses.py --case nt_xent --temperature 0.01 --rounds 9

Every implementation runs forward and backward on the same inputs, in turn, round by round; what is printed
are medians of the ratios within a round, since a shared machine's speed drifts. "Floor" is the time of the
matrix products alone that the tiled algorithm needs. Peak memory is the largest resident size of a fresh
process above its size with the inputs, so gradients and normalised copies count. Gradient errors are relative
Frobenius norms against a float64 dense computation, at 1,024 rows.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from temperance.functional import clip, info_nce, nt_xent

Loss = Callable[[Tensor, Tensor, Tensor | None, float], Tensor]


@dataclass(frozen=True)
class Case:
    """Rows, width, and size of the queue; how many matrix products the tiled algorithm needs."""

    loss: str
    rows: int
    width: int
    queue: int = 0
    dense: bool = True

    @property
    def name(self) -> str:
        queue = f" × {self.queue:,}" if self.queue else ""
        return f"{self.loss}, {self.rows:,}{queue} rows, D = {self.width}"


CASES = (
    Case("info_nce", 8192, 128),
    Case("clip", 8192, 128),
    Case("nt_xent", 16384, 128),
    Case("moco", 256, 128, 65536),
    Case("info_nce", 8192, 512),
    Case("clip", 8192, 512),
    Case("nt_xent", 8192, 512),
    Case("nt_xent", 131072, 128, dense=False),
    Case("info_nce", 256, 128),
    Case("clip", 256, 128),
    Case("nt_xent", 512, 128),
    Case("info_nce", 1024, 128),
    Case("clip", 1024, 128),
    Case("nt_xent", 2048, 128),
)
PRODUCTS = {"info_nce": 3, "clip": 4, "nt_xent": 2, "moco": 2}


def inputs(case: Case, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(0)
    rows = case.rows // 2 if case.loss == "nt_xent" else case.rows
    a = torch.randn(rows, case.width, generator=generator).to(dtype).requires_grad_()
    # Views that agree about as well as half-trained ones do.
    b = (a.detach() + torch.randn(rows, case.width, generator=generator)).to(dtype).requires_grad_()
    queue = None
    if case.queue:
        queue = normalize(torch.randn(case.queue, case.width, generator=generator), dim=1).to(dtype)
    return a, b, queue


def ours(case: Case) -> Loss:
    function = {"info_nce": info_nce, "clip": clip, "nt_xent": nt_xent, "moco": info_nce}[case.loss]
    if case.loss == "moco":
        return lambda a, b, q, t: function(a, b, q, temperature=t)
    return lambda a, b, q, t: function(a, b, temperature=t)


def dense(case: Case) -> Loss:
    def loss(a: Tensor, b: Tensor, queue: Tensor | None, tau: float) -> Tensor:
        a, b = normalize(a, dim=1), normalize(b, dim=1)
        own = torch.arange(len(a))
        if case.loss == "moco":
            assert queue is not None
            positive = (a * b).sum(1, keepdim=True)
            logits = torch.cat([positive, a @ normalize(queue, dim=1).T], 1) / tau
            return cross_entropy(logits, torch.zeros_like(own))
        if case.loss == "nt_xent":
            z = torch.cat([a, b])
            itself = torch.eye(len(z), dtype=torch.bool)
            logits = (z @ z.T / tau).masked_fill(itself, float("-inf"))
            return cross_entropy(logits, torch.arange(len(z)).roll(len(a)))
        logits = a @ b.T / tau
        if case.loss == "clip":
            return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
        return cross_entropy(logits, own)

    return loss


def peers(case: Case) -> dict[str, Loss]:
    """Other libraries' losses, where they are installed and take this case."""
    found: dict[str, Loss] = {}
    if case.loss == "nt_xent":
        try:
            from lightly.loss import NTXentLoss

            found["lightly"] = lambda a, b, q, t: NTXentLoss(temperature=t)(a, b)
        except ImportError:
            pass
        try:
            from pytorch_metric_learning.losses import NTXentLoss as Metric
            from pytorch_metric_learning.losses import SelfSupervisedLoss

            found["pytorch-metric-learning"] = lambda a, b, q, t: SelfSupervisedLoss(
                Metric(temperature=t)
            )(a, b)
        except ImportError:
            pass
    if case.loss in ("info_nce", "moco"):
        try:
            from info_nce import info_nce as other

            found["info-nce-pytorch"] = lambda a, b, q, t: other(a, b, q, temperature=t)
        except ImportError:
            pass
    if case.loss == "clip":
        try:
            from open_clip.loss import ClipLoss

            found["open_clip"] = lambda a, b, q, t: ClipLoss()(
                normalize(a, dim=1), normalize(b, dim=1), 1 / t
            )
        except ImportError:
            pass
    return found


def floor(case: Case) -> Callable[[], None]:
    """The matrix products alone, over blocks of rows."""
    m = case.queue or case.rows
    a, c = torch.randn(case.rows, case.width), torch.randn(m, case.width)
    height = min(512, case.rows)
    logits = torch.empty(height, m)
    pulled, gathered = torch.empty(height, case.width), torch.zeros(m, case.width)
    products = PRODUCTS[case.loss]

    def run() -> None:
        for top in range(0, case.rows, height):
            rows = a[top : top + height]
            h = len(rows)
            torch.mm(rows, c.T, out=logits[:h])
            torch.mm(logits[:h], c, out=pulled[:h])
            if products >= 3:
                gathered.addmm_(logits[:h].T, rows)
            if products == 4:
                torch.mm(rows, c.T, out=logits[:h])

    return run


def step(loss: Loss, case: Case, tau: float) -> Callable[[], None]:
    a, b, queue = inputs(case)

    def run() -> None:
        a.grad = b.grad = None
        loss(a, b, queue, tau).backward()

    return run


def times(runs: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            found[name].append(time.perf_counter() - begun)
    return found


def ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(x / y for x, y in zip(above, below, strict=True))


def peak_bytes(case: Case, name: str, tau: float) -> int:
    """In a fresh process: the peak above what the inputs take."""
    command = [sys.executable, __file__, "--memory", name, "--temperature", str(tau)]
    command += ["--only", json.dumps(case.__dict__)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 else -1


def measure_memory(case: Case, name: str, tau: float) -> None:
    loss = implementations(case)[name]
    # Threads' and libraries' own memory comes before the count.
    small = Case(case.loss, 256 if case.queue else 2048, case.width, 16384 if case.queue else 0)
    step(loss, small, tau)()
    run = step(loss, case, tau)
    status = Path("/proc/self/status")

    def kilobytes(field: str) -> int:
        return int(status.read_text().split(field + ":")[1].split()[0])

    before = kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    run()
    print((kilobytes("VmHWM") - before) * 1024)


def gradient_error(case: Case, loss: Loss, tau: float) -> float:
    small = Case(case.loss, min(case.rows, 1024), case.width, min(case.queue, 4096))
    a, b, queue = inputs(small)
    loss(a, b, queue, tau).backward()
    # The same numbers in float64, in the form that keeps its digits on separated pairs.
    wide = [x.detach().double().requires_grad_() for x in (a, b)]
    exact = {"clip": clip, "nt_xent": nt_xent}.get(case.loss, info_nce)
    more = {} if queue is None else {"negatives": queue.double()}
    exact(*wide, **more, temperature=tau, backend="dense").backward()
    found = torch.cat([a.grad, b.grad]).double()
    true = torch.cat([wide[0].grad, wide[1].grad])
    return float((found - true).norm() / true.norm())


def implementations(case: Case) -> dict[str, Loss]:
    found = {"temperance": ours(case)}
    if case.dense:
        found |= {"dense": dense(case)} | peers(case)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--case", help="only losses of this name")
    parser.add_argument("--largest", type=int, default=1 << 20, help="only so many rows at most")
    parser.add_argument("--temperature", type=float, default=0.07)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    tau = options.temperature
    if options.memory:
        measure_memory(Case(**json.loads(options.only)), options.memory, tau)
        return
    print(
        f"τ = {tau:g}; torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}; {options.rounds} rounds\n"
    )
    print("| case | implementation | ms | × dense | × floor | peak MB | gradient error |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        if (options.case and case.loss != options.case) or case.rows > options.largest:
            continue
        losses = implementations(case)
        runs = {"floor": floor(case)} | {name: step(x, case, tau) for name, x in losses.items()}
        for name in list(runs):
            try:
                runs[name]()
            except RuntimeError as error:
                del runs[name], losses[name]
                print(f"| {case.name} | {name} | cannot: {str(error).splitlines()[0]} | | | | |")
        found = times(runs, options.rounds if case.rows < 100_000 else 1)
        for name, loss in losses.items():
            against = f"{ratio(found['dense'], found[name]):.2f}" if case.dense else "–"
            peak = peak_bytes(case, name, tau) / 1e6
            print(
                f"| {case.name} | {name} | {1e3 * statistics.median(found[name]):.1f} | {against} | "
                f"{ratio(found[name], found['floor']):.2f} | {peak:.0f} | "
                f"{gradient_error(case, loss, tau):.1e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
