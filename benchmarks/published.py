"""The four losses of Wang & Liu (CVPR 2021, arXiv 2012.09740), at their temperatures, on data that ships.

    temperance sweep digits --temperatures 0.07,0.3,0.7,1 --losses --out runs/published
    python benchmarks/published.py runs/published

Prints the table of docs/published.md, and draws FOLDER/losses.svg for it.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from temperance.methods.config import SIMPLE
from temperance.report.figures import losses_figure
from temperance.report.svg import standalone
from temperance.runs.results import Run, read_results
from temperance.search import with_hardest

MEASURES: dict[str, tuple[str, Callable[[Run], float]]] = {
    "linear probe (%)": (".1f", lambda run: 100 * run.test.accuracy("features.linear_accuracy")),
    "kNN on the projection (%)": (
        ".1f",
        lambda run: 100 * run.test.accuracy("projection.knn_accuracy"),
    ),
    "five labels a class, on the projection (%)": (
        ".1f",
        lambda run: 100 * run.test.accuracy("projection.few_shot_accuracy"),
    ),
    "minus uniformity": (".2f", lambda run: -run.geometry.uniformity),
    "tolerance": (".3f", lambda run: run.geometry.tolerance),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    results = read_results(folder)
    hard = with_hardest(folder, results)
    if hard is None:
        raise SystemExit(f"{folder} is of a sweep without --losses")
    (folder / "losses.svg").write_text(standalone(losses_figure(results, hard)))
    taus = results.by_temperature()
    print(f"| | loss | {' | '.join(f'τ = {tau:g}' for tau in taus)} | without τ (simple) |")
    print("|---" * (len(taus) + 3) + "|")
    for name, (digits, measure) in MEASURES.items():
        for loss, swept in (("contrastive", results), ("hard contrastive", hard)):
            groups = [*swept.by_temperature().values(), swept.by_rule()[SIMPLE]]
            cells = [f"{np.mean([measure(run) for run in runs]):{digits}}" for runs in groups]
            print(f"| {name if swept is results else ' '} | {loss} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
