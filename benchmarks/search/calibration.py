"""Do the intervals of a recommendation hold the best τ as often as they say?

    python benchmarks/search/calibration.py --data digits mnist --seeds 30

trains the grid of the matrix at 12 epochs with many seeds and keeps which images each extractor got right in
``benchmarks/search/calibration/DATA.npz``, a seed at a time. The best τ is where the curve over all seeds is
highest, on the test images; the intervals come from disjoint triples of seeds, on the validation images, as a
sweep with three seeds gives them. Truth and triples share seeds, a tenth of them where there are thirty.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from matrix import TEMPERATURES, train
from tasks import MATTERS, Matter

from temperance.encoders import Encoder, embed
from temperance.search.recommend import NAMES, choose
from temperance.transfer import correctness

WIDTH, EPOCHS, TRIPLE = 8, 12, 3
METRICS = [name for name in NAMES if name.endswith("accuracy")]
Table = dict[str, np.ndarray]


def right(matter: Matter, encoder: Encoder) -> Table:
    """``SPLIT.SPACE.METRIC``: for each image of validation whether, or in what part of the draws, it was got
    right; of test the accuracy."""
    both = embed(encoder, torch.from_numpy(matter.images))
    (labels,) = matter.labels.values()
    rows = {"validation": matter.validation, "test": matter.test}
    found = {}
    for space in ("features", "projection"):
        x = getattr(both, space).numpy()
        asked = {split: (x[r], labels[r]) for split, r in rows.items()}
        told = correctness((x[matter.train], labels[matter.train]), asked)
        for split, metrics in told.items():
            for name, values in metrics.items():
                kept = values if split == "validation" else values.mean(keepdims=True)
                found[f"{split}.{space}.{name}"] = kept
    return found


def measured(data: str, seeds: int, path: Path) -> Table:
    """``(seeds, temperatures, images)`` of each column, trained where they are not kept yet."""
    kept: Table = dict(np.load(path)) if path.exists() else {}
    there = len(next(iter(kept.values()))) if kept else 0
    if there >= seeds:
        return {name: values[:seeds] for name, values in kept.items()}
    matter = MATTERS[data]()
    images = torch.from_numpy(matter.images[matter.train])
    for seed in range(there, seeds):
        tables = [right(matter, encoder) for encoder in train(images, WIDTH, EPOCHS, seed)]
        for name in tables[0]:
            new = np.stack([table[name] for table in tables])[None]
            new = new.astype(np.float16 if name.startswith("validation") else np.float32)
            kept[name] = np.concatenate([kept[name], new]) if name in kept else new
        partial = path.with_suffix(".partial.npz")
        np.savez_compressed(partial, **kept)
        partial.replace(path)
        print(data, "seed", seed, flush=True)
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", nargs="+", choices=MATTERS, default=["digits", "mnist"])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "calibration")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.out.mkdir(exist_ok=True)
    tau = np.array(TEMPERATURES)
    print("| data | metric | best τ | shape | triples | held by | called flat | median width |")
    print("|---|---|---|---|---|---|---|---|")
    held, peaks = [], []
    for data in asked.data:
        table = measured(data, asked.seeds, asked.out / f"{data}.npz")
        for metric in METRICS:
            test, validation = (
                table[f"{split}.{metric}"].transpose(1, 0, 2).astype(np.float64)
                for split in ("test", "validation")
            )
            truth = choose(metric, tau, test, "")
            choices = [
                choose(metric, tau, validation[:, first : first + TRIPLE], "")
                for first in range(0, asked.seeds - TRIPLE + 1, TRIPLE)
            ]
            ends = [choice.interval for choice in choices if choice.interval is not None]
            inside = [low <= truth.temperature <= high for low, high in ends]
            widths = [
                math.log(high / low) / math.log(tau[-1] / tau[0])
                for (low, high), choice in zip(ends, choices, strict=True)
                if choice.shape == "peak"
            ]
            held += inside
            peaks += widths
            flat = sum(choice.shape == "flat" for choice in choices)
            width = f"{np.median(widths):.2f}" if widths else "–"
            cells = (data, metric, f"{truth.temperature:g}", truth.shape, len(inside))
            rest = (f"{np.mean(inside):.0%}", flat, width)
            print(f"| {' | '.join(map(str, cells + rest))} |", flush=True)
    print(
        f"\nAll: {np.mean(held):.0%} of {len(held)}; median width of peaks {np.median(peaks):.2f}"
    )


if __name__ == "__main__":
    main()
