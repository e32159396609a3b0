"""What it costs to hold the effective negatives at a share, and how near to it they come.

    python benchmarks/effective.py runs/sweep-glyphs/members/t0.2-s0
    python benchmarks/effective.py --sentences      # needs what benchmarks/sentences.py needs

InfoNCE on embeddings of a real encoder (two views of the built-in letters, or WordNet's definitions and the
words that they define), beside the same loss at a fixed temperature; medians of the ratios within a round,
both in turn. The share is measured over all anchors.
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


def sentences(rows: int = 8192) -> tuple[torch.Tensor, torch.Tensor]:
    from sentences import definitions, encoder, parts

    model, pairs = encoder(), parts(definitions())[0][:rows]
    a, b = (
        model.encode(list(texts), batch_size=256, convert_to_tensor=True)
        for texts in zip(*pairs, strict=True)
    )
    # What encode returns is of inference mode, and takes no gradient.
    return a.clone().requires_grad_(), b.clone().requires_grad_()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("encoder", nargs="?", help="a run folder with an encoder")
    parser.add_argument("--sentences", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    if options.sentences == bool(options.encoder):
        parser.error("give a run folder or --sentences")
    a, b = sentences() if options.sentences else views_of(options.encoder)
    n = len(a)

    def step(temperature: float | Policy) -> None:
        a.grad = b.grad = None
        info_nce(a, b, temperature=temperature).backward()

    print(f"{n} pairs, D = {a.shape[1]}, torch {torch.__version__}\n")
    print("| share | τ | for | mean share | furthest anchor | time, × fixed τ |")
    print("|---|---|---|---|---|---|")
    for share in (0.05, 0.3, 0.7):
        for per_anchor in (False, True):
            rule = EffectiveNegatives(share, per_anchor=per_anchor)
            _, told = info_nce(a, b, temperature=rule, statistics=True)
            found = told.effective_negatives / (n - 1)
            furthest = float((found / share - 1).abs().max()) if per_anchor else None
            tau = rule.last
            runs = {"rule": lambda r=rule: step(r), "fixed": lambda t=tau: step(t)}
            taken = times(runs, options.rounds)
            whom = "each anchor" if per_anchor else "the batch"
            print(
                f"| {share} | {tau:.4f} | {whom} | {float(found.mean()):.4f} | "
                f"{'' if furthest is None else f'{furthest:.1%} off'} | "
                f"{ratio(taken['rule'], taken['fixed']):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
