"""What two views of a batch cost beside a training step, and beside torchvision image by image.

    python benchmarks/views.py
    python benchmarks/views.py --rounds 9

The step is forward and backward of the small encoder over both views, NT-Xent and AdamW. Medians, and medians
of the ratios within a round, all sides in turn.
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torchvision.transforms import v2

from temperance import NTXent
from temperance.data import Views
from temperance.encoders import Encoder, EncoderSpec
from temperance.speed import ratio, times

CASES = ((256, 1, 28), (256, 3, 32), (64, 3, 224))
RECIPES = ("default", "simclr", "moco-v2")


def training_step(images: Tensor) -> Callable[[], None]:
    _, channels, size, _ = images.shape
    encoder = Encoder(EncoderSpec(channels, size, (0.5,) * channels, (0.25,) * channels))
    loss, optimizer = NTXent(0.2), torch.optim.AdamW(encoder.parameters())
    views = torch.cat([images, images]).float() / 255

    def run() -> None:
        optimizer.zero_grad()
        loss(*encoder.project(encoder(views)).chunk(2)).backward()
        optimizer.step()

    return run


def by_torchvision(images: Tensor, recipe: str) -> Callable[[], None]:
    """The same recipe as torchvision has it, or nearly, on one image after the other."""
    _, channels, size, _ = images.shape
    blur = v2.GaussianBlur(max(3, round(0.1 * size) // 2 * 2 + 1), (0.1, 2.0))
    if channels == 1 and recipe == "default":
        steps = [
            v2.RandomAffine(
                12.0, (0.1, 0.1), (1.0, 1.4), interpolation=v2.InterpolationMode.BILINEAR
            ),
            v2.RandomApply([v2.ColorJitter(0.4)], 0.8),
            v2.RandomApply([v2.GaussianBlur(3, (0.1, 1.0))]),
            v2.RandomApply([v2.GaussianNoise(sigma=0.05)]),
        ]
    else:
        light = {"default": 0.4, "simclr": 0.8 if size >= 64 else 0.4, "moco-v2": 0.4}[recipe]
        hue = {"default": 0.1, "simclr": 0.2 if size >= 64 else 0.1, "moco-v2": 0.1}[recipe]
        colours = (light, light) if channels == 1 else (light, light, light, hue)
        steps = [
            v2.RandomResizedCrop(size, (0.08 if recipe == "simclr" else 0.2, 1.0)),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(*colours)], 0.8),
            *([v2.RandomGrayscale(0.2)] if channels == 3 else []),
        ]
        if recipe == "moco-v2" or (recipe == "simclr" and size >= 64):
            steps.append(v2.RandomApply([blur]))
    change = v2.Compose([v2.ToDtype(torch.float32, scale=True), *steps])

    def run() -> None:
        torch.stack([change(image) for image in (*images, *images)])

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print(
        "| batch | recipe | ms | of a step | step, ms | torchvision, × |\n|---|---|---|---|---|---|"
    )
    for count, channels, size in CASES:
        shape = (count, channels, size, size)
        images = torch.randint(
            0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        )
        step = training_step(images)
        for recipe in RECIPES:
            found = times(
                {
                    "views": partial(Views(channels, size, recipe).pair, images, 0),
                    "step": step,
                    "torchvision": by_torchvision(images, recipe),
                },
                options.rounds,
            )
            ms = {name: 1e3 * sorted(x)[len(x) // 2] for name, x in found.items()}
            print(
                f"| {count} × {channels} × {size}² | {recipe} | {ms['views']:.1f} "
                f"| {ratio(found['views'], found['step']):.0%} | {ms['step']:.0f} "
                f"| {ratio(found['torchvision'], found['views']):.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
