"""The four losses of Wang & Liu (CVPR 2021, arXiv 2012.09740), at their temperatures, on data that ships.

    python benchmarks/published.py runs/published --seeds 2

Ordinary and hard contrastive loss at each τ, and the two simple losses, which have none: trained like
``temperance sweep``, but each loss compares the first views with the second ones of the batch. Runs that are
in the folder are not repeated. Prints the tables of docs/published.md, and draws FOLDER/losses.svg for it.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import nn

from temperance import HardContrastive, InfoNCE, SimpleContrastive
from temperance.data import load_images, split
from temperance.methods import METHODS, TrainingConfig
from temperance.methods.simclr import SimCLR
from temperance.report.svg import (
    Axis,
    Panel,
    Reference,
    Series,
    line_chart,
    series_colour,
    standalone,
)
from temperance.runs.results import Run
from temperance.search.config import default_epochs
from temperance.search.member import finished_member, run_member
from temperance.temperatures import Policy

TEMPERATURES = (0.07, 0.3, 0.7, 1.0)
HARDEST = 0.08


def simple(temperature: Policy, hardest: float | None = None) -> nn.Module:
    """The loss takes no τ; whatever watches the training looks for one."""
    loss = SimpleContrastive(hardest=hardest)
    loss.temperature = temperature
    return loss


LOSSES: dict[str, Callable[[Policy], nn.Module]] = {
    "contrastive": lambda tau: InfoNCE(temperature=tau),
    "hard contrastive": lambda tau: HardContrastive(temperature=tau, share=HARDEST),
    "simple": simple,
    "hard simple": lambda tau: simple(tau, HARDEST),
}
MEASURES: dict[str, Callable[[Run], float | None]] = {
    "linear probe, test (%)": lambda run: run.test.features.linear_accuracy,
    "kNN on the projection, test (%)": lambda run: run.test.accuracy("projection.knn_accuracy"),
    "-uniformity": lambda run: -run.geometry.uniformity,
    "tolerance": lambda run: run.geometry.tolerance,
}


def trained(data: str, loss: str, temperature: float, seed: int, folder: Path) -> Run:
    """One run, or what is there of it."""
    name = loss.replace(" ", "-") + (f"-t{temperature:g}" if "simple" not in loss else "")
    folder = folder / f"{name}-s{seed}"
    run = finished_member(folder)
    if run is None:
        images = load_images(data)
        parts = split(images)
        epochs = default_epochs(len(parts.train), 256)
        METHODS["simclr"] = type(
            "Loss", (SimCLR,), {"make_loss": lambda self, tau: LOSSES[loss](tau)}
        )
        config = TrainingConfig(temperature=temperature, seed=seed, epochs=epochs)
        run = run_member(images, parts, config, folder)
        print(f"{folder.name}: {run.test.features.linear_accuracy:.1%}", flush=True)
    return run


def figure(runs: dict[tuple[str, float], list[Run]], about: str) -> str:
    """Accuracy against τ for the four losses; those without τ are lines across."""
    panels = []
    for name, measure in list(MEASURES.items())[:2]:
        series, references = [], []
        for i, loss in enumerate(LOSSES):
            found = {
                t: [100 * measure(run) for run in x] for (n, t), x in runs.items() if n == loss
            }
            means = [float(np.mean(x)) for x in found.values()]
            if "simple" in loss:
                references.append(Reference(loss, means[0], series_colour(i)))
            else:
                seeds = [(t, value) for t, values in found.items() for value in values]
                series.append(Series(loss, list(found), means, series_colour(i), seeds=seeds))
        panels.append(Panel(Axis(name), series, references))
    title = "Accuracy against temperature for four losses"
    return standalone(line_chart(title, about, Axis("temperature τ", log=True), *panels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default="glyphs")
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    runs: dict[tuple[str, float], list[Run]] = {}
    for seed in range(given.seeds):
        for loss in LOSSES:
            for tau in TEMPERATURES[:1] if "simple" in loss else TEMPERATURES:
                run = trained(given.data, loss, tau, seed, given.folder)
                runs.setdefault((loss, tau), []).append(run)
    about = f"Dots are single runs on {given.data}, {given.seeds} seeds at each τ; lines are their means."
    (given.folder / "losses.svg").write_text(figure(runs, about))
    for name, measure in MEASURES.items():
        print(f"\n| {name} | {' | '.join(f'τ = {t:g}' for t in TEMPERATURES)} | no τ |")
        print("|---" * (len(TEMPERATURES) + 2) + "|")
        for with_tau, without in (("contrastive", "simple"), ("hard contrastive", "hard simple")):
            cells = [runs[with_tau, t] for t in TEMPERATURES] + [runs[without, TEMPERATURES[0]]]
            figures = (np.mean([measure(run) for run in cell]) for cell in cells)
            digits = ".1%" if "%" in name else ".3f"
            print(f"| {with_tau}; {without} | {' | '.join(f'{x:{digits}}' for x in figures)} |")


if __name__ == "__main__":
    main()
