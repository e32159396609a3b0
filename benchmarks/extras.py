"""What statistics cost beside the loss, and eight temperatures beside one.

    python benchmarks/extras.py
    python benchmarks/extras.py --width 512 --rounds 9

Medians of the ratios within a round, both sides in turn.
"""

import argparse
from collections.abc import Callable

import torch

from temperance.functional import at_temperatures, clip, info_nce, nt_xent
from temperance.speed import Case, inputs, ratio, times

EIGHT = [0.03, 0.05, 0.08, 0.13, 0.22, 0.37, 0.61, 1.0]


def with_gradients(loss: Callable, case: Case, **options) -> Callable[[], None]:
    a, b, _ = inputs(case, torch.device("cpu"))

    def run() -> None:
        a.grad = b.grad = None
        value = loss(a, b, temperature=0.07, **options)
        (value[0] if isinstance(value, tuple) else value).backward()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print(f"{options.rows} rows, D = {options.width}, torch {torch.__version__}\n")
    print("| loss | statistics, × without |\n|---|---|")
    for name, loss in (("info_nce", info_nce), ("clip", clip), ("nt_xent", nt_xent)):
        case = Case(name, options.rows, options.width)
        runs = {
            "with": with_gradients(loss, case, statistics=True),
            "without": with_gradients(loss, case),
        }
        found = times(runs, options.rounds)
        print(f"| {name} | {ratio(found['with'], found['without']):.3f} |", flush=True)
    a, b, _ = inputs(Case("info_nce", options.rows, options.width), torch.device("cpu"))

    def one() -> None:
        with torch.no_grad():
            info_nce(a, b, temperature=0.07)

    found = times(
        {"eight": lambda: at_temperatures(a, b, temperatures=EIGHT), "one": one}, options.rounds
    )
    print(
        f"\nEight temperatures with statistics: {ratio(found['eight'], found['one']):.2f} × one loss alone."
    )


if __name__ == "__main__":
    main()
