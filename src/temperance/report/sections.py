"""What the reports of a sweep and of a training share: sections on the space, tables, and words."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64

from temperance.data import ImageSet
from temperance.geometry import hardness
from temperance.methods.config import SIMPLE, Method, Optimizer, Recipe
from temperance.report import figures
from temperance.report.figures import Space
from temperance.report.gallery import NEIGHBOURS, gallery, hardest_anchors
from temperance.report.page import figure, text
from temperance.runs.results import Results, Run, Spaces
from temperance.search import member_arrays

ACCURACIES = {"knn_accuracy": "kNN", "linear_accuracy": "linear", "few_shot_accuracy": "5-shot"}


MEASURES = {
    "alignment": ("alignment", "squared distance of the two views; lower is better"),
    "uniformity": ("uniformity", "lower is spread more evenly"),
    "tolerance": ("tolerance", "mean cosine within a class"),
    "effective_negatives": ("effective negatives", "among how many the push is shared"),
    "false_negative_mass": ("false-negative mass", "share of the push on the anchor's own class"),
    "positive_similarity": ("positive similarity", "cosine of the two views"),
    "top10_negative_similarity": ("top-10 negatives", "cosine to the ten hardest"),
    "local_separation": (
        "local separation",
        "positive similarity less that of the top-10 negatives",
    ),
    "neighbour_consistency": (
        "consistency of neighbours",
        "share of the ten nearest in one view that are so in the other",
    ),
    "effective_rank": ("effective rank", "dimensions in use; near 1 is collapse"),
    "pretext_accuracy": ("own view nearest", "share of images; says nothing of classes"),
}


LOSSES: dict[Method, str] = {
    "simclr": "SimCLR, NT-Xent within the batch",
    "moco-v1": "MoCo v1, InfoNCE against a queue",
    "moco-v2": "MoCo v2, InfoNCE against a queue",
    "instdisc": "InstDisc, noise-contrastive estimation against a memory bank",
    "instdisc-softmax": "InstDisc, the softmax over a memory bank",
    "supcon": "the supervised contrastive loss within the batch",
    "paired": "CLIP's loss of pairs within the batch",
}


OPTIMIZERS: dict[Optimizer, str] = {
    "adamw": "AdamW with warm-up and cosine, whose steps do not grow with the gradient, so that the 1/τ in "
    "it is not mistaken for the effect of τ.",
    "sgd": "SGD with warm-up and cosine, whose steps grow with the gradient and its 1/τ: a lower τ means "
    "larger steps, too.",
    "lars": "LARS with warm-up and cosine, whose steps do not grow with the gradient of a layer.",
}


def loss_in_words(recipe: Recipe, rule: str | None = None) -> str:
    """What is minimised; ``rule`` of the temperature, if it has one."""
    if rule == SIMPLE:
        some = "all" if recipe.hardest is None else f"the hardest {100 * recipe.hardest:g} % of the"
        return f"{recipe.method} with the simple loss, {some} negatives pushed alike"
    if recipe.hardest is None:
        return LOSSES[recipe.method]
    return f"{LOSSES[recipe.method]}, the hardest {100 * recipe.hardest:g} % of the negatives alone"


def read_space(folder: Path, temperature: float) -> Space:
    """What a member, or a training, kept of the validation images.

    Args:
        folder: of the member.
        temperature: τ it was trained at.
    """
    arrays = member_arrays(folder)
    plain, view_a, view_b = (
        torch.from_numpy(arrays[name]).float() for name in ("projection", "view_a", "view_b")
    )
    return Space(temperature, plain, view_a, view_b)


def pushed(spaces: Sequence[Space], seed: int) -> str:
    """Where the push falls, and how far positives are from it.

    Args:
        spaces: of the temperatures, rising.
        seed: with which they were trained.
    """
    n = len(spaces[0].plain)
    counted = f"{n:,} validation images, {n - 1:,} negatives for each; seed {seed}."
    push = figure(
        "push",
        figures.push_figure(spaces),
        "Where the push lands. A low τ puts it on the few most similar negatives, far to the right; a high "
        "one on the many that are not similar at all.",
        counted,
    )
    similarity = figure(
        "similarity",
        figures.similarity_figure(spaces),
        "How similar a picture's other view is, and its ten hardest negatives. The further apart the two "
        "outlines, the better instances are told apart.",
        counted,
    )
    return (
        '<section><h2>What is pushed</h2><div class="columns wide">'
        f"{push}{similarity}</div></section>"
    )


def hardest_negatives(
    shown: Sequence[Space],
    images: ImageSet,
    rows: Int64[np.ndarray, " n"],
    labels: Int64[np.ndarray, " n"] | None,
    seed: int,
) -> str:
    """Pictures of the negatives that are pushed most.

    Args:
        shown: spaces of a few temperatures, rising.
        images: the whole set.
        rows: of the validation images.
        labels: of those.
        seed: with which the spaces were trained.
    """
    pushes = [
        (s.temperature, hardness(s.view_a, s.view_b, s.temperature, top=NEIGHBOURS)) for s in shown
    ]
    middle = pushes[len(pushes) // 2][1]
    anchors = hardest_anchors(middle, labels)
    pictures = gallery(pushes, anchors, images.images[rows], labels, images.classes)
    false = (
        'The <span class="false-word">framed</span> ones are of the anchor’s own class, false negatives: '
        "pushing them away is what tears a class apart."
        if labels is not None
        else "Without labels nobody can say which of them belong with the anchor; look for yourself."
    )
    see = "Whether what is pushed hardest is a near miss, or the same thing again."
    counted = (
        f"{len(anchors)} of {len(rows):,} validation images, whose order numbers the rows of the CSV; "
        f"seed {seed}."
    )
    drawn = figure("hardest", pictures, see, counted, "wide")
    return (
        "<section><h2>The hardest negatives</h2>"
        "<p>The validation images whose negatives come closest, and the eight negatives that are pushed "
        f"most, with the share of the push on each. {false}</p>{drawn}</section>"
    )


def maps(
    shown: Sequence[Space],
    labels: Int64[np.ndarray, " n"] | None,
    classes: Sequence[str],
    seed: int,
) -> str:
    """Maps of the spaces; the arguments are those of the sections above."""
    n = min(len(shown[0].plain), figures.MAP_POINTS)
    see = (
        "Whether pictures of one kind lie together, and kinds apart"
        if labels is not None
        else "Whether the pictures fall into clusters"
    )
    drawn = "".join(
        figure(
            f"map-{space.temperature:g}",
            figures.map_figure(space, labels, classes),
            f"τ = {space.temperature:g}. {see}.",
            f"{n} validation images; seed {seed}.",
        )
        for space in shown
    )
    return (
        "<section><h2>Maps of the space</h2>"
        f"<p>The projections of {n} validation images, laid on a plane by t-SNE. Neighbours on the map are "
        "similar; distances between far points, and the sizes of clusters, say little.</p>"
        f'<div class="maps wide">{drawn}</div></section>'
    )


def accuracy_table(results: Results) -> str:
    """Accuracies on the test images: of each temperature and rule, and of the baselines."""
    columns = [f"{space}.{metric}" for space in ("features", "projection") for metric in ACCURACIES]
    names = [f"{ACCURACIES[m]}, {space}" for space, m in (c.split(".") for c in columns)]
    rows = _rows(results, lambda runs: [_spread([run.test for run in runs], c) for c in columns])
    for name, baseline in (
        ("raw pixels", results.baselines.raw_pixels),
        ("untrained", results.baselines.untrained),
    ):
        kept = [c for c in columns if c.startswith("features") or baseline.test.projection]
        cells = "".join(
            f"<td>{_spread([baseline.test], c) if c in kept else '–'}</td>" for c in columns
        )
        rows.append(f'<tr class="baseline"><th scope="row">{name}</th>{cells}</tr>')
    return rows_table(("τ", *names), "".join(rows))


def geometry_table(results: Results) -> str:
    """Measures of the space, of each temperature and rule, and what they mean."""
    shown = [name for name in MEASURES if getattr(results.runs[0].geometry, name) is not None]
    rows = _rows(results, lambda runs: [plain(average(runs, name)) for name in shown])
    meanings = "".join(f"<li>{MEASURES[n][0]}: {MEASURES[n][1]}</li>" for n in shown)
    table = rows_table(("τ", *(MEASURES[name][0] for name in shown)), "".join(rows))
    return f'{table}<ul class="small muted">{meanings}</ul>'


def method(results: Results, facts: Sequence[str], where: str) -> str:
    """How it was measured, the machine last.

    Args:
        results: of the command.
        facts: a sentence or more each.
        where: what lies beside the page, apart from ``results.json``.
    """
    environment = results.environment
    measured_on = (
        "Measured on "
        + ", ".join(f"{name} {value}" for name, value in environment.items() if name != "platform")
        + f"; {environment['platform']}."
    )
    items = "".join(f"<li>{text(fact)}</li>" for fact in (*facts, measured_on))
    return (
        f'<section><h2>How it was measured</h2><ul class="small">{items}</ul><p class="small">Everything is '
        f"in results.json beside this page; {where}.</p></section>"
    )


def _rows(results: Results, cells: Callable[[list[Run]], list[str]]) -> list[str]:
    """A row for each temperature, and for each rule."""
    groups = {
        runs[0].rule or f"{t:g}": runs for t, runs in results.by_temperature().items()
    } | results.by_rule()
    return [
        f'<tr><th scope="row">{text(name)}</th>{"".join(f"<td>{x}</td>" for x in cells(runs))}</tr>'
        for name, runs in groups.items()
    ]


def _spread(spaces: list[Spaces], metric: str) -> str:
    values = [100 * v for s in spaces if (v := s.accuracy(metric)) is not None]
    deviation = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{deviation}"


def average(runs: list[Run], measure: str) -> float:
    """The mean of a measure of the space over runs; nan where none has it."""
    values = [v for run in runs if (v := run.value(f"geometry.{measure}")) is not None]
    return float(np.mean(values)) if values else float("nan")


def plain(value: float) -> str:
    """A number in three figures."""
    return (f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}").replace("-", "−")


def rows_table(columns: tuple[str, ...], rows: str) -> str:
    """A table of rows that are HTML already."""
    head = "".join(
        f'<th scope="col">{text(name)}</th>' if name else "<td></td>" for name in columns
    )
    return (
        '<div class="scroll wide" tabindex="0" role="region" aria-label="table"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
