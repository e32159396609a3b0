"""Detection and segmentation from pretrained and from random weights, part by part into a CSV.

    python benchmarks/transfer/pretraining.py runs/transfer --temperatures 0.1
    python benchmarks/transfer/measuring.py runs/transfer benchmarks/transfer/starts.csv

Each seed has an extractor, a head and an order of its own; both starts have the same steps. Parts that the
CSV holds are not measured again.
"""

import argparse
import csv
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from pretraining import fresh

from temperance.data.annotated import load_annotated
from temperance.encoders import Encoder, load_encoder
from temperance.transfer.detection import Detection
from temperance.transfer.segmentation import Segmentation

COLUMNS = (
    "task",
    "start",
    "temperature",
    "seed",
    "steps",
    "seconds",
    "cpu_seconds",
    "metric",
    "value",
)
RANDOM = "random"
Part = tuple[str, str, str, int, int]


def starts(steps: dict[str, int], seeds: int) -> Iterator[Part]:
    for seed in range(seeds):
        for task, count in steps.items():
            yield task, "pretrained", "0.1", seed, count
            yield task, RANDOM, "", seed, count


def extractor(folder: Path, start: str, temperature: str, seed: int) -> Encoder:
    return (
        fresh(seed).eval() if start == RANDOM else load_encoder(folder / f"t{temperature}-s{seed}")
    )


def finished(path: Path) -> set[Part]:
    if not path.exists():
        return set()
    with path.open() as file:
        return {
            (r["task"], r["start"], r["temperature"], int(r["seed"]), int(r["steps"]))
            for r in csv.DictReader(file)
        }


def measure(part: Part, encoder: Encoder) -> list[tuple[object, ...]]:
    task, _, _, seed, steps = part
    data = load_annotated("scenes")
    kind = {"detection": Detection, "segmentation": Segmentation}[task]
    begun, cpu = time.perf_counter(), time.process_time()
    head = kind(encoder, steps=steps, seed=seed).fit(data.train)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    score = head.score(data.test)
    return [
        (*part, round(seconds), round(cpu), metric, round(value, 5))
        for metric, value in score.metrics.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--detection", type=int, default=Detection.default_steps, help="Steps.")
    parser.add_argument(
        "--segmentation", type=int, default=Segmentation.default_steps, help="Steps."
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    steps = {"detection": asked.detection, "segmentation": asked.segmentation}
    for part in starts(steps, asked.seeds):
        if part in finished(asked.out):
            continue
        rows = measure(part, extractor(asked.folder, *part[1:4]))
        print(*rows, sep="\n", flush=True)
        new = not asked.out.exists()
        with asked.out.open("a", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerows([COLUMNS, *rows] if new else rows)


if __name__ == "__main__":
    main()
