"""The matrix: data × training length × encoder × τ × seed, each extractor measured with and without labels.

    python benchmarks/search/matrix.py --epochs 3 12 50 --widths 8 --seeds 0 1

appends to ``benchmarks/search/matrix/DATA.csv``, a row an extractor, and leaves out what is there. Training
is that of ``temperance train`` in batches of 128; the temperatures of a grid are trained side by side: with
one seed they see the same views, which are then drawn once.
"""

import argparse
import csv
import math
import time
from pathlib import Path

import numpy as np
import torch
from evidence import Evidence, consensus
from tasks import MATTERS, Matter

from temperance.data import Views
from temperance.encoders import Encoder, EncoderSpec, embed
from temperance.losses import NTXent
from temperance.transfer import METRICS, correctness

TEMPERATURES = (0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
BATCH, RATE, DECAY, WARM_UP = 128, 2e-3, 1e-4, 0.05
KEY = ("data", "width", "epochs", "seed", "temperature")


def train(images: torch.Tensor, width: int, epochs: int, seed: int) -> list[Encoder]:
    """One encoder a temperature, all from the same weights, on the same views."""
    floats = images.float() / 255
    spec = EncoderSpec(
        channels=images.shape[1],
        size=images.shape[2],
        mean=tuple(floats.mean(dim=(0, 2, 3)).tolist()),
        std=tuple(floats.std(dim=(0, 2, 3)).clamp_min(1e-3).tolist()),
        widths=(width, 2 * width, 4 * width),
    )
    members = []
    for temperature in TEMPERATURES:
        torch.manual_seed(seed)
        encoder = Encoder(spec).train()
        optimizer = torch.optim.AdamW(encoder.parameters(), lr=RATE, weight_decay=DECAY)
        members.append((encoder, NTXent(temperature), optimizer))
    views = Views(spec.channels, spec.size)
    batches = len(images) // BATCH
    steps, warm_up = epochs * batches, max(1, round(WARM_UP * epochs * batches))
    for step in range(steps):
        epoch, number = divmod(step, batches)
        order = np.random.default_rng((seed, epoch)).permutation(len(images))
        rows = torch.from_numpy(order[number * BATCH : (number + 1) * BATCH])
        key = np.random.SeedSequence((seed, epoch, number)).generate_state(1)[0]
        both = torch.cat(views.pair(images[rows], int(key)))
        progress = (step - warm_up) / max(1, steps - warm_up)
        factor = (
            (step + 1) / warm_up if step < warm_up else 0.5 * (1 + math.cos(math.pi * progress))
        )
        for encoder, loss, optimizer in members:
            optimizer.param_groups[0]["lr"] = RATE * factor
            optimizer.zero_grad()
            loss(*encoder.project(encoder(both)).chunk(2)).backward()
            optimizer.step()
    return [encoder.eval() for encoder, _, _ in members]


def accuracies(matter: Matter, encoder: Encoder) -> dict[str, float]:
    """``TASK.SPLIT.SPACE.METRIC`` for every labeling."""
    both = embed(encoder, torch.from_numpy(matter.images))
    found = {}
    for space, points in (("features", both.features), ("projection", both.projection)):
        x = points.numpy()
        for task, labels in matter.labels.items():
            right = correctness(
                (x[matter.train], labels[matter.train]),
                {
                    split: (x[rows], labels[rows])
                    for split, rows in (("validation", matter.validation), ("test", matter.test))
                },
            )
            for split, metrics in right.items():
                for metric in METRICS:
                    name = f"{task}.{split}.{space}.{metric.removesuffix('_accuracy')}"
                    found[name] = float(metrics[metric].mean())
    return found


def grid(name: str, width: int, epochs: int, seed: int) -> list[dict[str, str]]:
    """The rows of one grid and seed."""
    matter = MATTERS[name]()
    images = torch.from_numpy(matter.images)
    begun = time.process_time()
    encoders = train(images[matter.train], width, epochs, seed)
    seconds = (time.process_time() - begun) / len(TEMPERATURES)
    evidence = Evidence(images[matter.train], images[matter.validation])
    rows, lists = [], []
    for temperature, encoder in zip(TEMPERATURES, encoders, strict=True):
        begun = time.process_time()
        measures, near = evidence.of(encoder, temperature)
        found = accuracies(matter, encoder)
        lists.append(near)
        key = dict(zip(KEY, (name, width, epochs, seed, temperature), strict=True))
        spent = {"training_s": seconds, "measuring_s": time.process_time() - begun}
        rows.append(key | {n: f"{x:.5g}" for n, x in (spent | found | measures).items()})
    for row, agreement in zip(rows, consensus(lists), strict=True):
        row["features.consensus"] = f"{agreement:.5g}"
    return rows


def done(path: Path) -> set[tuple[str, ...]]:
    """Grids that are in the table, by data, width, epochs and seed."""
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {tuple(row[name] for name in KEY[:4]) for row in csv.DictReader(file)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", nargs="+", choices=MATTERS, default=list(MATTERS))
    parser.add_argument("--widths", nargs="+", type=int, default=[8, 16])
    parser.add_argument("--epochs", nargs="+", type=int, default=[3, 12, 50, 200])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "matrix")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.out.mkdir(exist_ok=True)
    for width in asked.widths:
        for epochs in asked.epochs:
            for seed in asked.seeds:
                for name in asked.data:
                    path = asked.out / f"{name}.csv"
                    if tuple(map(str, (name, width, epochs, seed))) in done(path):
                        continue
                    begun = time.perf_counter()
                    rows = grid(name, width, epochs, seed)
                    new = not path.exists()
                    with path.open("a", newline="") as file:
                        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
                        if new:
                            writer.writeheader()
                        writer.writerows(rows)
                    wall = time.perf_counter() - begun
                    print(name, width, epochs, seed, f"{wall:.0f} s", flush=True)


if __name__ == "__main__":
    main()
