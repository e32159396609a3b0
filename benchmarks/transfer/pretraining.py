"""Extractors for the measurements of transfer: letters on textured grounds, told apart by NT-Xent.

    python benchmarks/transfer/pretraining.py runs/transfer --temperatures 0.03,0.1,0.3,1 --seeds 3

One folder for each temperature and seed, ``t0.1-s0``, with the seconds that it took in ``encoder.json``;
those that are there are not trained again.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch

from temperance import NTXent
from temperance.data import Views, load_images, split
from temperance.encoders import Encoder, EncoderSpec, save_encoder

DATA, VIEWS = "glyphs", "textured"
WIDTHS = (32, 64, 128, 128, 128)
BATCH, RATE = 256, 2e-3
STEPS = 400


def fresh(seed: int) -> Encoder:
    """The encoder before training; its input statistics are those of the views, not of the letters."""
    torch.manual_seed(seed)
    return Encoder(EncoderSpec(1, 28, (0.45,), (0.25,), widths=WIDTHS))


def pretrain(temperature: float, seed: int, steps: int) -> Encoder:
    images = load_images(DATA)
    train = torch.from_numpy(images.images[split(images).train])
    encoder = fresh(seed).train()
    loss, views = NTXent(temperature=temperature), Views(1, images.size, VIEWS)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: (
            min(1, (step + 1) / (0.05 * steps)) * 0.5 * (1 + math.cos(math.pi * step / steps))
        ),
    )
    random = np.random.default_rng(seed)
    for step in range(steps):
        rows = torch.from_numpy(random.choice(len(train), BATCH, replace=False))
        pair = views.pair(train[rows], int(random.integers(2**31)))
        value = loss(*encoder.project(encoder(torch.cat(pair))).chunk(2))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"  step {step + 1}: loss {float(value.detach()):.3f}", flush=True)
    return encoder.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--temperatures", default="0.03,0.1,0.3,1")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS)
    asked = parser.parse_args()
    for seed in range(asked.seeds):
        for temperature in map(float, asked.temperatures.split(",")):
            folder = asked.folder / f"t{temperature:g}-s{seed}"
            if (folder / "encoder.safetensors").exists():
                continue
            print(folder, flush=True)
            begun = time.perf_counter()
            encoder = pretrain(temperature, seed, asked.steps)
            seconds = time.perf_counter() - begun
            folder.mkdir(parents=True, exist_ok=True)
            origin = {"data": DATA, "views": VIEWS, "temperature": temperature, "seed": seed}
            origin |= {"steps": asked.steps, "batch_size": BATCH, "learning_rate": RATE}
            save_encoder(encoder, folder, origin | {"figures": {"seconds": round(seconds, 1)}})


if __name__ == "__main__":
    main()
