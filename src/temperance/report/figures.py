"""The figures of a sweep: SVG text made from its results and from what its members kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from sklearn.manifold import TSNE
from torch.nn.functional import normalize

from temperance.geometry import hardness, push_by_similarity
from temperance.methods.config import SIMPLE
from temperance.report.svg import (
    Axis,
    Band,
    Group,
    Mark,
    Outline,
    Panel,
    Reference,
    Series,
    Strip,
    density_chart,
    heat_chart,
    heat_colour,
    line_chart,
    scatter_chart,
    series_colour,
)
from temperance.runs.results import Choice, Results, Run, Search, Trial
from temperance.search import LABEL_FREE, METRIC_NAMES, in_epochs

TAU = Axis("temperature τ", log=True)
USES = {
    METRIC_NAMES["linear"]: "linear probe on the features",
    METRIC_NAMES["knn"]: "kNN on the projection",
    METRIC_NAMES["few-shot"]: "five labels a class, on the projection",
    LABEL_FREE: "consistency of neighbours",
}
PUSH_BINS = 40
# A longer line needs no dots, and is smoother without.
POINTED = 30
READ = {"positive_similarity": "its other view", "hardest_negative": "its hardest negative"}
# A map of more points takes minutes to compute and shows no more.
MAP_POINTS = 700


@dataclass(frozen=True, eq=False)
class Space:
    """What one extractor makes of the validation images: row i of each is image i.

    Attributes:
        temperature: τ it was trained at.
        plain: ``(n, p)`` projections of the images as they are.
        view_a: ``(n, p)`` of one augmented view.
        view_b: ``(n, p)`` of the other.
    """

    temperature: float
    plain: Float[torch.Tensor, "n p"]
    view_a: Float[torch.Tensor, "n p"]
    view_b: Float[torch.Tensor, "n p"]


def uses(results: Results) -> dict[str, Choice]:
    """The choices for what people do with an extractor; without labels, the one that needs none."""
    assert results.recommendation is not None
    found = results.recommendation.by_metric
    return {metric: found[metric] for metric in METRIC_NAMES.values() if metric in found} or found


def in_brief(choice: Choice) -> str:
    """The best temperature and its interval in a few characters.

    A flat curve has none that is better than noise, and one temperature alone has no interval.
    """
    if choice.interval is None:
        return f"{choice.temperature:g}"
    low, high = choice.interval
    return "flat" if choice.shape == "flat" else f"{choice.temperature:g} ({low:g} to {high:g})"


def means(results: Results, metric: str) -> list[float]:
    """The mean over seeds at each temperature, rising, in per cent."""
    groups = results.by_temperature().values()
    values = [[v for run in runs if (v := run.value(metric)) is not None] for runs in groups]
    return [100 * float(np.mean(seeds)) for seeds in values]


def budget_figure(sweeps: Mapping[int, Results], metric: str) -> str:
    """Draw how one metric and its best temperature move with the length of training.

    Args:
        sweeps: of each length in epochs, the shortest first, over the same temperatures.
        metric: such as ``features.linear_accuracy``.
    """
    strips, words = [], []
    for epochs, results in sweeps.items():
        choice = uses(results)[metric]
        best = None if choice.shape == "flat" else choice.temperature
        strips.append(Strip(str(epochs), means(results, metric), best, choice.interval))
        words.append(f"{in_epochs(epochs)}: {in_brief(choice)}.")
    return heat_chart(
        f"{USES[metric]}, over temperature and epochs of training",
        f"Best temperature and its 90 % interval. {' '.join(words)}",
        TAU,
        "epochs",
        _unit(metric),
        list(next(iter(sweeps.values())).by_temperature()),
        strips,
    )


def choice_figure(results: Results) -> str:
    """Draw what the temperature is chosen by: a panel a use, with seeds, fitted curve and baselines."""
    panels = []
    for i, (metric, choice) in enumerate(uses(results).items()):
        references = (
            {
                "raw pixels": results.baselines.raw_pixels.validation.accuracy(metric),
                "untrained": results.baselines.untrained.validation.accuracy(metric),
            }
            if metric != LABEL_FREE
            else {}
        )
        panels.append(
            Panel(
                Axis(f"{USES[metric]}, {_unit(metric)}"),
                [_fitted(results, choice, "", series_colour(i), with_seeds=True)],
                [Reference(n, 100 * v) for n, v in references.items() if v is not None],
                _mark(choice),
            )
        )
    return line_chart(
        "What the temperature is chosen by",
        " ".join(choice.reason for choice in uses(results).values()),
        TAU,
        *panels,
    )


def dilemma_figure(results: Results) -> str:
    """Draw what the temperature trades: accuracies, and under them uniformity and tolerance.

    Without labels there are no accuracies and no tolerance; the consistency of neighbours and the accuracy of
    the pretext task (is the own view the nearest?) stand there instead.
    """
    uniformity = _measured(results, "uniformity", "−uniformity: higher is more evenly spread", -1)
    if results.data.classes:
        lines = [
            _fitted(results, choice, USES[metric], series_colour(i))
            for i, (metric, choice) in enumerate(uses(results).items())
        ]
        chosen = results.recommendation
        assert chosen is not None
        interval = chosen.interval if chosen.shape != "flat" else None
        mark = Mark(f"recommended τ = {chosen.temperature:g}", chosen.temperature, interval)
        panels = [
            Panel(Axis("accuracy (%)"), lines, mark=mark),
            uniformity,
            _measured(results, "tolerance", "tolerance: mean cosine within a class"),
        ]
    else:
        panels = [
            uniformity,
            _measured(results, "neighbour_consistency", "consistency of neighbours (%)", 100),
            _measured(results, "pretext_accuracy", "own view nearest of all (%)", 100),
        ]
    return line_chart(
        "The dilemma of the temperature",
        "As the temperature rises the space is spread less evenly, and neighbours of one kind stay closer.",
        TAU,
        *(panel for panel in panels if panel is not None),
    )


def four_losses(
    results: Results, hard: Results, metric: str
) -> dict[str, dict[float | None, list[float]]]:
    """For each loss the values of its seeds in per cent, by temperature; by None, where it has none.

    Args:
        results: of a sweep with the rule ``simple``.
        hard: of the same sweep with the hardest negatives alone.
        metric: such as ``features.linear_accuracy``.
    """

    def values(runs: list[Run]) -> list[float]:
        return [100 * value for run in runs if (value := run.value(metric)) is not None]

    found: dict[str, dict[float | None, list[float]]] = {}
    for kind, swept in (("", results), ("hard ", hard)):
        groups = swept.by_temperature().items()
        found[f"{kind}contrastive"] = {tau: values(runs) for tau, runs in groups}
        found[f"{kind}simple"] = {None: values(swept.by_rule()[SIMPLE])}
    return found


def losses_figure(results: Results, hard: Results) -> str:
    """Draw accuracy against the temperature for four losses; those that have none are lines across.

    Args:
        results: of a sweep with the rule ``simple``.
        hard: of the same sweep with the hardest negatives alone.
    """
    panels = []
    for metric in uses(results):
        lines, across = [], []
        for i, (name, by_tau) in enumerate(four_losses(results, hard, metric).items()):
            means = {tau: float(np.mean(values)) for tau, values in by_tau.items()}
            if None in means:
                across.append(Reference(name, means[None], series_colour(i)))
            else:
                taus = [tau for tau in means if tau is not None]
                dots = [(tau, value) for tau in taus for value in by_tau[tau]]
                lines.append(Series(name, taus, list(means.values()), series_colour(i), seeds=dots))
        panels.append(Panel(Axis(f"{USES[metric]}, {_unit(metric)}"), lines, across))
    return line_chart(
        "Four losses against the temperature",
        "Contrastive and simple loss, over all negatives and over the hardest alone.",
        TAU,
        *panels,
    )


def rungs(search: Search) -> dict[int, list[Trial]]:
    """The trainings of each length, the shortest first; temperatures rising."""
    found: dict[int, list[Trial]] = {}
    for trial in sorted(search.trials, key=lambda trial: (trial.epochs, trial.temperature)):
        found.setdefault(trial.epochs, []).append(trial)
    return found


def rungs_figure(results: Results) -> str:
    """Draw the accuracy of every training against its temperature, a line for each length.

    Args:
        results: of a search.
    """
    chosen, search = results.recommendation, results.search
    assert chosen is not None
    assert search is not None
    lengths = rungs(search)
    lines = [
        Series(
            in_epochs(epochs),
            [trial.temperature for trial in trials],
            [100 * trial.value for trial in trials],
            heat_colour(i, len(lengths)),
        )
        for i, (epochs, trials) in enumerate(lengths.items())
    ]
    mark = Mark(f"chosen τ = {chosen.temperature:g}", chosen.temperature)
    return line_chart(
        "What was tried, by length of training",
        "Each length of training goes on with the best temperatures of the one before it.",
        Axis("temperature τ", log=True),
        Panel(Axis(f"{USES[chosen.metric]}, accuracy (%)"), lines, mark=mark),
    )


def course_figure(run: Run, readings: Mapping[str, Sequence[float]]) -> str:
    """Draw the loss of each epoch and, under it, what τ did meanwhile.

    Args:
        run: a training.
        readings: by name, ``epoch`` among them; empty where training was too short for any.
    """
    epochs = [float(epoch + 1) for epoch in range(len(run.losses))]
    losses = [Series("", epochs, run.losses, "accent", points=len(epochs) <= POINTED)]
    panels = [Panel(Axis("loss (nats), mean of each epoch"), losses)]

    def line(title: str, scale: float, *names: str) -> None:
        named = [(name, readings[name]) for name in names if name in readings]
        lines = [
            Series(
                READ.get(name, "") if len(named) > 1 else "",
                readings["epoch"],
                [scale * value for value in values],
                series_colour(i) if len(named) > 1 else "accent",
                points=len(values) <= POINTED,
            )
            for i, (name, values) in enumerate(named)
        ]
        if lines:
            panels.append(Panel(Axis(title), lines))

    if len(set(readings.get("tau", ()))) > 1:
        line("temperature τ", 1, "tau")
    line("effective negatives (% of all)", 100, "effective_share")
    line("cosine to the anchor", 1, "positive_similarity", "hardest_negative")
    line("−uniformity: higher is more evenly spread", -1, "uniformity")
    line("push on the anchor's own class (%)", 100, "false_negative_mass")
    return line_chart(
        "The course of training",
        f"The loss comes from {run.losses[0]:.3g} to {run.losses[-1]:.3g} nats.",
        Axis("epoch"),
        *panels,
    )


def push_figure(spaces: Sequence[Space]) -> str:
    """Draw how much of the push falls on negatives of each similarity, a line for each temperature."""
    step = 2 / PUSH_BINS
    middles = [-1 + step * (i + 0.5) for i in range(PUSH_BINS)]
    lines = []
    for i, space in enumerate(spaces):
        push = push_by_similarity(space.view_a, space.view_b, space.temperature, PUSH_BINS)
        name, colour = f"τ = {space.temperature:g}", heat_colour(i, len(spaces))
        lines.append(Series(name, middles, (100 * push).tolist(), colour, points=False))
    return line_chart(
        "Share of the push by similarity of the negative, at each temperature",
        "At a low temperature the push falls on the most similar negatives, at a high one on all alike.",
        Axis("similarity of the negative to the anchor (cosine)", low=-1, high=1),
        Panel(Axis(f"share of the push (% in each {step:g} of cosine)", low=0), lines),
    )


def similarity_figure(spaces: Sequence[Space]) -> str:
    """Draw how similar positives and the ten hardest negatives are, a row for each temperature."""
    rows, lows = [], []
    for space in spaces:
        push = hardness(space.view_a, space.view_b, space.temperature)
        positive, negative = push.positive_similarity, push.top_similarity.flatten()
        lows += [float(x.quantile(0.01)) for x in (positive, negative)]
        outlines = [
            Outline("ten hardest negatives", negative.tolist(), "series-2"),
            Outline("positive", positive.tolist(), "series-3"),
        ]
        rows.append((f"τ = {space.temperature:g}", outlines))
    return density_chart(
        "Similarity of positives and of the hardest negatives, at each temperature",
        "Where the two outlines of a row overlap, pictures cannot be told from their neighbours.",
        Axis("similarity to the anchor (cosine)", low=min(lows), high=1),
        rows,
    )


def map_figure(space: Space, labels: Int64[np.ndarray, " n"] | None, classes: Sequence[str]) -> str:
    """Draw a space on a plane by t-SNE (van der Maaten & Hinton 2008), coloured by class."""
    shown = np.random.default_rng(0).permutation(len(space.plain))[:MAP_POINTS]
    points = normalize(space.plain[shown], dim=1).numpy()
    perplexity = min(30.0, (len(shown) - 1) / 3)
    plane = TSNE(perplexity=perplexity, init="pca", random_state=0, n_jobs=1).fit_transform(points)
    of = np.zeros(len(shown), np.int64) if labels is None else labels[shown]
    names = ["images"] if labels is None else classes
    groups = [
        Group(name, plane[of == i, 0].tolist(), plane[of == i, 1].tolist(), series_colour(i))
        for i, name in enumerate(names)
    ]
    return scatter_chart(
        f"Map of the validation images at τ = {space.temperature:g}",
        "Neighbours on the map are similar; distances between far points say little.",
        groups,
        letters=all(len(name) == 1 for name in names),
    )


def _unit(metric: str) -> str:
    return "share of ten (%)" if metric == LABEL_FREE else "accuracy (%)"


def _mark(choice: Choice) -> Mark | None:
    """The best temperature and its interval, where the curve says anything."""
    if choice.shape == "flat":
        return None
    return Mark(f"best τ = {choice.temperature:g}", choice.temperature, choice.interval)


def _fitted(
    results: Results, choice: Choice, name: str, colour: str, *, with_seeds: bool = False
) -> Series:
    def scaled(values: Sequence[float]) -> list[float]:
        return [100 * value for value in values]

    assert choice.curve is not None
    curve = choice.curve
    seeds = [
        (run.temperature, 100 * value)
        for run in results.runs
        if with_seeds and (value := run.value(choice.metric)) is not None
    ]
    return Series(
        name,
        curve.temperature,
        scaled(curve.value),
        colour,
        band=Band(scaled(curve.low), scaled(curve.high)),
        seeds=seeds,
        points=False,
    )


def _measured(results: Results, measure: str, title: str, scale: int = 1) -> Panel | None:
    """A measure of the space: means over seeds joined by lines, and the seeds; None where there is none."""
    seeds = [
        (run.temperature, scale * value)
        for run in results.runs
        if (value := run.value(f"geometry.{measure}")) is not None
    ]
    if not seeds:
        return None
    taus = list(results.by_temperature())
    means = [float(np.mean([v for t, v in seeds if t == tau])) for tau in taus]
    return Panel(Axis(title), [Series("", taus, means, "accent", seeds=seeds)])
