"""Images per second of training, beside a bare loop written by hand, and lightly's own.

    python benchmarks/training_speed.py
    python benchmarks/training_speed.py --rounds 9 --steps 10 --workers 2

All sides train the small encoder with SimCLR's views, NT-Xent and AdamW at the same batch, and take turns, an
epoch each, within one run. The bare loop has the same views, encoder and loss without a trainer. lightly's is
the loop of its documentation: its transform, image by image in the workers of a DataLoader, and NTXentLoss.
Each side's first epoch warms up, and lightly's first step of an epoch, in which its workers begin, is not
counted. Medians, and medians of the ratios within a round.
"""

import argparse
import time
from collections.abc import Callable

import lightly.loss
import numpy as np
import torch
from lightly.transforms import SimCLRTransform
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from temperance import NTXent
from temperance.data import Views
from temperance.methods import TrainingConfig, train, untrained
from temperance.speed import ratio

CASES = ((1, 28), (3, 32))
TAU = 0.1

Epoch = Callable[[], float]


def bare(images: np.ndarray, config: TrainingConfig) -> tuple[Epoch, list[float]]:
    """Seconds of an epoch; how much of it went into the views comes in the list."""
    encoder = untrained(images, 0, config).train()
    views = Views(images.shape[1], images.shape[2], "simclr")
    loss, optimizer = NTXent(TAU), torch.optim.AdamW(encoder.parameters(), lr=config.learning_rate)
    rows, shares = torch.from_numpy(images), []

    def run() -> float:
        begun, augmenting = time.perf_counter(), 0.0
        for number, ids in enumerate(torch.randperm(len(rows)).split(config.batch_size)):
            start = time.perf_counter()
            pair = torch.cat(views.pair(rows[ids], number))
            augmenting += time.perf_counter() - start
            optimizer.zero_grad()
            loss(*encoder.project(encoder(pair)).chunk(2)).backward()
            optimizer.step()
        seconds = time.perf_counter() - begun
        shares.append(augmenting / seconds)
        return seconds

    return run, shares


class Pictures(Dataset):
    """What lightly's transform takes."""

    def __init__(self, images: np.ndarray) -> None:
        size = images.shape[2]
        self.pictures = [
            Image.fromarray(x[0] if len(x) == 1 else x.transpose(1, 2, 0)) for x in images
        ]
        self.transform = SimCLRTransform(
            input_size=size, cj_strength=0.5, gaussian_blur=0.0, normalize=None
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, row: int) -> list[torch.Tensor]:
        return self.transform(self.pictures[row])


def by_lightly(images: np.ndarray, config: TrainingConfig, workers: int) -> Epoch:
    encoder = untrained(images, 0, config).train()
    criterion = lightly.loss.NTXentLoss(temperature=TAU)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=config.learning_rate)
    loader = DataLoader(
        Pictures(images),
        batch_size=config.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )

    def run() -> float:
        begun = 0.0
        for step, (first, second) in enumerate(loader):
            loss = criterion(encoder.project(encoder(first)), encoder.project(encoder(second)))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if step == 0:
                begun = time.perf_counter()
        steps = len(loader)
        return (time.perf_counter() - begun) * steps / (steps - 1)

    return run


def measure(images: np.ndarray, batch: int, rounds: int, workers: int) -> None:
    _, channels, size, _ = images.shape
    config = TrainingConfig(epochs=rounds + 1, batch_size=batch, temperature=TAU, views="simclr")
    loop, shares = bare(images, config)
    others = {"bare": loop, "lightly": by_lightly(images, config, workers)}
    found: dict[str, list[float]] = {"train": [], **{name: [] for name in others}}
    begun = time.perf_counter()

    def in_turn(epoch: int, loss: float) -> None:
        nonlocal begun
        found["train"].append(time.perf_counter() - begun)
        for name, run in others.items():
            found[name].append(run())
        begun = time.perf_counter()

    train(images, config, on_epoch=in_turn)
    timed = {name: seconds[1:] for name, seconds in found.items()}
    rate = {name: len(images) / np.median(seconds) for name, seconds in timed.items()}
    print(
        f"| {batch} × {channels} × {size}² | {rate['train']:,.0f} | {rate['bare']:,.0f} "
        f"| {rate['lightly']:,.0f} | {ratio(timed['train'], timed['bare']):.2f} "
        f"| {ratio(timed['lightly'], timed['train']):.1f} | {np.median(shares[1:]):.0%} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=10, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="of lightly's loader")
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print(
        "| batch | train, images/s | bare | lightly | seconds of train, × bare | of lightly, × train "
        "| views, of a bare step |\n|---|---|---|---|---|---|---|"
    )
    random = np.random.default_rng(0)
    for channels, size in CASES:
        shape = (options.batch * options.steps, channels, size, size)
        images = random.integers(0, 256, shape, np.uint8)
        measure(images, options.batch, options.rounds, options.workers)


if __name__ == "__main__":
    main()
