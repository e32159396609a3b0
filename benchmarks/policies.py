"""Rules for the temperature beside the best fixed one: a table in markdown from finished sweeps.

    for data in digits glyphs mnist5k; do
        temperance sweep $data --out runs/rules-$data --temperature learnable --temperature cosine:0.1,1 \\
            --temperature linear:0.5,0.1 --temperature warm-up:0.5,0.15 --temperature steps:0.5,0.2,0.1 \\
            --temperature aligned --temperature pairwise --temperature effective:0.1 \\
            --temperature effective:0.3 --temperature effective-each:0.3 --temperature per-anchor \\
            --temperature free --temperature sigmoid
    done
    python benchmarks/policies.py runs/rules-digits runs/rules-glyphs runs/rules-mnist5k
"""

import argparse
from pathlib import Path

import numpy as np

from temperance.runs.results import Results, read_results
from temperance.search import METRIC_NAMES, beside_fixed


def table(results: Results) -> list[str]:
    rows = beside_fixed(results)
    uses = {metric: use for use, metric in METRIC_NAMES.items()}
    fixed = {row.metric: row.fixed for row in rows}
    heads = [f"{uses[metric]}, τ = {tau:g}" for metric, tau in fixed.items()]
    lines = [
        f"| rule | τ at the end | {' | '.join(heads)} |",
        "|---" * (len(heads) + 2) + "|",
    ]
    for rule, runs in results.by_rule().items():
        tau = np.mean([run.temperature for run in runs])
        cells = [
            f"**{row.in_points}**" if row.verdict != "level" else row.in_points
            for row in rows
            if row.rule == rule
        ]
        lines.append(f"| `{rule}` | {tau:.3g} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    for folder in parser.parse_args().runs:
        results = read_results(folder)
        runs = results.runs[0]
        seeds = len({run.seed for run in results.runs})
        print(f"## {results.data.name}: {runs.epochs} epochs, {seeds} seeds\n")
        print("\n".join(table(results)), end="\n\n")


if __name__ == "__main__":
    main()
