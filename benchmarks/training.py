"""What each method makes of the built-in sets with its default settings, beside untrained encoders.

    python benchmarks/training.py                              # go on with benchmarks/training.csv
    python benchmarks/training.py --methods simclr,moco-v2 --data glyphs --seeds 1
    python benchmarks/training.py --table                      # what is there, as a table

Each row is `temperance train DATA --method METHOD --seed SEED`, measured by kNN and a linear probe on the
features of the test images; it is written when it is finished, and not computed again.
"""

import argparse
import csv
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import mean

import torch

from temperance.cli.given import settle
from temperance.data import ImageSet, Splits
from temperance.encoders import Encoder, embed
from temperance.methods import METHODS, untrained
from temperance.search import TrainConfig
from temperance.search.member import train_on
from temperance.transfer import correctness

TABLE = Path(__file__).with_suffix(".csv")
COLUMNS = ("data", "method", "seed", "linear", "knn", "seconds")
UNTRAINED = "untrained"
HEADS = {"linear": "linear_accuracy", "knn": "knn_accuracy"}


def rows() -> list[dict[str, str]]:
    if not TABLE.exists():
        return []
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


def accuracies(encoder: Encoder, images: ImageSet, parts: Splits) -> dict[str, float]:
    features = embed(encoder, torch.from_numpy(images.images)).features.numpy()
    assert images.labels is not None
    learned, asked = ((features[x], images.labels[x]) for x in (parts.train, parts.test))
    right = correctness(learned, {"test": asked}, list(HEADS.values()))["test"]
    return {name: float(right[head].mean(dtype="float64")) for name, head in HEADS.items()}


def measure(data: str, method: str, seed: int) -> dict[str, float]:
    begun = time.perf_counter()
    given = {"data": data, "seed": seed, "method": None if method == UNTRAINED else method}
    settings, images, parts = settle(TrainConfig, given, None)
    if method == UNTRAINED:
        encoder = untrained(images.images[parts.train], seed)
    else:
        encoder = train_on(images, parts, settings).encoder
    seconds = time.perf_counter() - begun
    return accuracies(encoder, images, parts) | {"seconds": seconds}


def table() -> Iterator[str]:
    yield "| data | method | seeds | linear probe | × untrained's errors | kNN | × untrained's errors |"
    yield "|---|---|---|---|---|---|---|"
    found = rows()
    for data in dict.fromkeys(row["data"] for row in found):
        by_method: dict[str, list[dict[str, str]]] = {}
        for row in found:
            if row["data"] == data:
                by_method.setdefault(row["method"], []).append(row)
        for method, runs in by_method.items():
            cells = [data, method, str(len(runs))]
            for head in HEADS:
                values = [float(run[head]) for run in runs]
                first = [float(run[head]) for run in by_method.get(UNTRAINED, [])]
                shown = f"{100 * mean(values):.1f} %"
                if len(values) > 1:
                    shown += f" ({100 * min(values):.1f} to {100 * max(values):.1f})"
                share = (1 - mean(values)) / (1 - mean(first)) if first else float("nan")
                cells += [shown, f"{share:.2f}"]
            yield f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="glyphs,mnist5k")
    parser.add_argument("--methods", default=",".join([UNTRAINED, *METHODS]))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        print("\n".join(table()))
        return
    there = {(row["data"], row["method"], int(row["seed"])) for row in rows()}
    asked = product(range(options.seeds), options.data.split(","), options.methods.split(","))
    for seed, data, method in asked:
        if (data, method, seed) in there:
            continue
        found = measure(data, method, seed)
        new = not TABLE.exists()
        with TABLE.open("a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow(COLUMNS)
            writer.writerow(
                [data, method, seed, *(f"{found[x]:.4f}" for x in HEADS), f"{found['seconds']:.1f}"]
            )
        print(data, method, seed, found, flush=True)


if __name__ == "__main__":
    main()
