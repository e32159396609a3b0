"""What each stand-in takes and keeps beside the library that it stands in for.

    pip install --group peers
    python benchmarks/integrations.py               # every library that is installed
    python benchmarks/integrations.py --rows 1024 --rounds 9 --only lightly

Forward and backward on the same inputs, in turn, round by round: medians of the ratios within a round. Peak
memory is that of a fresh process above its size with the inputs, and a case that would take more than --limit
GB there is not run.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from temperance.integrations import (
    lightly,
    moco,
    open_clip,
    pytorch_metric_learning,
    sentence_transformers,
)
from temperance.speed import peak_above, ratio, times

TAU, WIDTH, QUEUE, CLASS = 0.1, 128, 65536, 16
Loss = Callable[[Tensor, Tensor], Tensor]


def lightly_nt_xent(module) -> Loss:
    return module.NTXentLoss(TAU)


def clip(module) -> Loss:
    return lambda a, b: module.ClipLoss()(normalize(a, dim=1), normalize(b, dim=1), 1 / TAU)


def sig_lip(module) -> Loss:
    loss = module.SigLipLoss()
    return lambda a, b: loss(normalize(a, dim=1), normalize(b, dim=1), 1 / TAU, -10.0)


def ranking(module) -> Loss:
    loss = module.MultipleNegativesRankingLoss(nn.Identity(), scale=1 / TAU)
    return lambda a, b: loss.compute_loss_from_embeddings([a, b], None)


def labelled(name: str) -> Callable[..., Loss]:
    """Both matrices below one another, 16 rows a class."""

    def make(module) -> Loss:
        loss = getattr(module, name)(TAU)
        return lambda a, b: loss(
            torch.cat([a, b]), torch.arange(2 * len(a)) % (2 * len(a) // CLASS)
        )

    return make


def moco_queue(module) -> Loss:
    queue = normalize(torch.randn(WIDTH, QUEUE, generator=torch.Generator().manual_seed(2)), dim=0)
    return lambda q, k: module.moco_loss(normalize(q, dim=1), normalize(k, dim=1), queue, T=TAU)


class MoCo:
    """What MoCo's model and its criterion do; there is no package of it."""

    @staticmethod
    def moco_loss(q: Tensor, k: Tensor, queue: Tensor, T: float) -> Tensor:
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.clone()], dim=1) / T
        return cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))


RANKING = "sentence_transformers.sentence_transformer.losses"
METRIC = "pytorch_metric_learning.losses"
# What makes the loss, ours and theirs, and at how many rows theirs would hold about so many numbers: n², or
# pairs × negatives.
CASES = {
    "lightly NTXentLoss": (lightly_nt_xent, lightly, "lightly.loss", lambda n: 24 * n**2),
    "open_clip ClipLoss": (clip, open_clip, "open_clip.loss", lambda n: 5 * n**2),
    "open_clip SigLipLoss": (sig_lip, open_clip, "open_clip.loss", lambda n: 6 * n**2),
    "sentence-transformers MultipleNegativesRankingLoss": (
        ranking,
        sentence_transformers,
        RANKING,
        lambda n: 5 * n**2,
    ),
    "pytorch-metric-learning SupConLoss": (
        labelled("SupConLoss"),
        pytorch_metric_learning,
        METRIC,
        lambda n: 48 * n**2,
    ),
    "pytorch-metric-learning NTXentLoss": (
        labelled("NTXentLoss"),
        pytorch_metric_learning,
        METRIC,
        lambda n: 5 * (2 * n * CLASS) * (2 * n) ** 2,
    ),
    "MoCo": (moco_queue, moco, None, lambda n: 4 * n * QUEUE),
}


def losses(name: str, rows: int, limit: float) -> Iterator[tuple[str, Loss]]:
    make, ours, theirs, numbers = CASES[name]
    yield "temperance", make(ours)
    if 4 * numbers(rows) > limit * 1e9:
        return
    try:
        yield "original", make(MoCo if theirs is None else import_module(theirs))
    except ImportError:
        return


def step(loss: Loss, rows: int) -> Callable[[], None]:
    a = torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(0))
    b = a + torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(1))
    a.requires_grad_()
    b.requires_grad_()

    def run() -> None:
        a.grad = b.grad = None
        loss(a, b).backward()

    return run


def peak(name: str, which: str, rows: int, limit: float) -> float:
    """In MB, in a fresh process."""
    command = [sys.executable, __file__, "--only", name, "--memory", which]
    command += ["--rows", str(rows), "--limit", str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="only cases whose name holds this")
    parser.add_argument("--rows", type=int, default=4096, help="pairs; a sixteenth of it for MoCo")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=8.0)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        loss = dict(losses(options.only, options.rows, options.limit))[options.memory]
        # Threads' and libraries' own memory comes before the count.
        step(loss, max(CLASS, options.rows // 4))()
        print(peak_above(step(loss, options.rows), torch.device("cpu")))
        return
    print(
        f"{options.rows:,} pairs, D = {WIDTH}, τ = {TAU:g}; torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads; {options.rounds} rounds\n"
    )
    print("| loss | ms | original's ms | × faster | peak MB | original's peak MB |")
    print("|---|---|---|---|---|---|")
    for name in CASES:
        if options.only not in name:
            continue
        rows = options.rows // 16 if name == "MoCo" else options.rows
        runs = {which: step(loss, rows) for which, loss in losses(name, rows, options.limit)}
        for run in runs.values():
            run()
        found = times(runs, options.rounds)
        ms = {which: f"{1e3 * statistics.median(x):.1f}" for which, x in found.items()}
        peaks = {which: f"{peak(name, which, rows, options.limit):.0f}" for which in runs}
        faster = (
            f"{ratio(found['original'], found['temperance']):.2f}" if "original" in runs else ""
        )
        absent = f"not run at {rows:,} pairs"
        print(
            f"| {name} | {ms['temperance']} | {ms.get('original', absent)} | {faster} | "
            f"{peaks['temperance']} | {peaks.get('original', absent)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
