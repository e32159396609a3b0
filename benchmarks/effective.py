"""What it costs to hold the effective negatives at a share, and how near to it they come.

    python benchmarks/effective.py runs/sweep-glyphs/members/t0.2-s0

InfoNCE on embeddings of a real encoder (two views of the built-in letters), beside the same loss at a fixed
temperature; medians of the ratios within a round, both in turn. The share is measured over all anchors.
"""

import argparse

import torch

from temperance import load_encoder
from temperance.data import Views, load_images
from temperance.encoders import embed
from temperance.functional import info_nce
from temperance.speed import ratio, times
from temperance.temperatures import EffectiveNegatives, Policy


def views_of(encoder_folder: str) -> tuple[torch.Tensor, torch.Tensor]:
    encoder, images = load_encoder(encoder_folder), load_images("glyphs")
    pair = Views(images.channels, images.size).pair(torch.from_numpy(images.images), 0)
    a, b = (embed(encoder, view).projection.requires_grad_() for view in pair)
    return a, b


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("encoder", help="a run folder with an encoder")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    a, b = views_of(options.encoder)
    n = len(a)

    def step(temperature: float | Policy) -> None:
        a.grad = b.grad = None
        info_nce(a, b, temperature=temperature).backward()

    print(f"{n} pairs, D = {a.shape[1]}, torch {torch.__version__}\n")
    print("| share | τ | for | mean share | time, × fixed τ |\n|---|---|---|---|---|")
    for share in (0.05, 0.3, 0.7):
        for per_anchor in (False, True):
            rule = EffectiveNegatives(share, per_anchor=per_anchor)
            _, told = info_nce(a, b, temperature=rule, statistics=True)
            found = float(told.effective_negatives.mean()) / (n - 1)
            tau = rule.last
            runs = {"rule": lambda r=rule: step(r), "fixed": lambda t=tau: step(t)}
            taken = times(runs, options.rounds)
            whom = "each anchor" if per_anchor else "the batch"
            print(
                f"| {share} | {tau:.4f} | {whom} | {found:.4f} | "
                f"{ratio(taken['rule'], taken['fixed']):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
