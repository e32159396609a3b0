"""What each rank keeps when a batch is spread over several, and how long it takes beside one process.

    python benchmarks/ranks.py
    python benchmarks/ranks.py --backends ring,gather --ranks 2 --rows 16384

The ranks are gloo processes on this machine, which share its cores: their times say what travelling and
waiting cost, not what more machines would save. Peak memory is the largest of the ranks', above the inputs.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from temperance.speed import Case, inputs, machine, peak_above
from temperance.speed.implementations import tiled_loss

TAU = 0.07
CPU = torch.device("cpu")
# The call before the one that counts: threads and connections have taken then what they keep.
WARM = 2048


def on_rank(case: Case, backend: str, rank: int, world: int) -> Callable[[], None]:
    """A step on this rank's rows of the batch."""
    a, b, _ = inputs(case, CPU)
    a, b = (x.detach().tensor_split(world)[rank].clone().requires_grad_() for x in (a, b))
    loss = tiled_loss(case.loss, backend)

    def run() -> None:
        a.grad = b.grad = None
        loss(a, b, None, TAU).backward()

    return run


def work(rank: int, world: int, case: Case, backend: str, rounds: int, where: str) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // world))
    dist.init_process_group("gloo", init_method=f"file://{where}/meet", rank=rank, world_size=world)
    on_rank(case.small(WARM), backend, rank, world)()
    run = on_rank(case, backend, rank, world)
    peak = peak_above(run, CPU)
    seconds = []
    for _ in range(rounds):
        dist.barrier()
        begun = time.perf_counter()
        run()
        dist.barrier()
        seconds.append(time.perf_counter() - begun)
    Path(where, f"{rank}.json").write_text(json.dumps([peak, statistics.median(seconds)]))
    dist.destroy_process_group()


def spread(case: Case, backend: str, world: int, rounds: int) -> tuple[int | None, float]:
    """The largest of the ranks' peaks, and the seconds that the slowest took."""
    with tempfile.TemporaryDirectory() as where:
        mp.spawn(work, (world, case, backend, rounds, where), nprocs=world)
        found = [json.loads(Path(where, f"{i}.json").read_text()) for i in range(world)]
    peaks = [peak for peak, _ in found if peak is not None]
    return max(peaks, default=None), max(seconds for _, seconds in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--losses", default="nt_xent,clip")
    parser.add_argument("--backends", default="ring", help="comma-separated")
    parser.add_argument("--ranks", default="2,4", help="comma-separated")
    parser.add_argument("--rows", type=int, default=8192, help="in all")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"τ = {TAU:g}; {machine(CPU)}; {options.rounds} rounds\n")
    print("| case | backend | ranks | peak MB in each | ms | × one process |")
    print("|---|---|---|---|---|---|")
    for loss in options.losses.split(","):
        case = Case(loss, options.rows, options.width)
        settings = [("auto", 1)]
        settings += [
            (x, int(n)) for x in options.backends.split(",") for n in options.ranks.split(",")
        ]
        alone = 0.0
        for backend, world in settings:
            peak, seconds = spread(case, backend, world, options.rounds)
            alone = alone or seconds
            memory = "–" if peak is None else f"{peak / 1e6:.0f}"
            print(
                f"| {case.name} | {backend} | {world} | {memory} | {1e3 * seconds:.1f} | "
                f"{seconds / alone:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
