"""The report of a training: what the extractor reached, how it came there, and what τ did to its space."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from temperance.data import ImageSet, Splits
from temperance.errors import InputError
from temperance.methods.batches import Batches
from temperance.methods.config import SIMPLE, weighed
from temperance.report.cloud import Cloud, cloud_of
from temperance.report.explorer import explorer_part
from temperance.report.figures import Space, course_figure
from temperance.report.page import Part, asset, figure, page, text
from temperance.report.sections import (
    OPTIMIZERS,
    accuracy_table,
    geometry_table,
    hardest_negatives,
    loss_in_words,
    maps,
    method,
    plain,
    pushed,
    read_space,
)
from temperance.runs import write_atomic
from temperance.runs.results import Results
from temperance.search import TrainConfig, in_epochs, member_arrays

REPORT = "report.html"


def write_training_report(folder: Path, results: Results, images: ImageSet, parts: Splits) -> None:
    """Write ``report.html`` into the folder of a training.

    Args:
        folder: of the run; its arrays are read.
        results: of the run.
        images: the data, for the pictures.
        parts: their splits.
    """
    (run,) = results.runs
    space = read_space(folder, run.temperature)
    labels = None if images.labels is None else images.labels[parts.validation]
    sections = [
        _answer(results),
        _course(folder, results),
        *_space(space, results, images, parts.validation, labels),
        _tables(results),
        _method(results),
    ]
    names = None if labels is None else [images.classes[label] for label in labels]
    part = Part("".join(sections), asset("sweep.css"))
    explorer = explorer_part(_cloud(space, names, images.name))
    title = f"An extractor of {results.data.name}"
    write_atomic(folder / REPORT, page(title, part, explorer, folder.resolve().name))


def _space(
    space: Space,
    results: Results,
    images: ImageSet,
    rows: Int64[np.ndarray, " n"],
    labels: Int64[np.ndarray, " n"] | None,
) -> list[str]:
    """The space and its push; nothing under losses that do not push all negatives as τ weighs them."""
    (run,) = results.runs
    if not weighed(TrainConfig.model_validate(results.config)):
        return []
    return [
        pushed([space], run.seed),
        hardest_negatives([space], images, rows, labels, run.seed),
        maps([space], labels, results.data.classes, run.seed),
    ]


def _cloud(space: Space, names: list[str] | None, name: str) -> Cloud | None:
    try:
        return cloud_of(space.plain, names, name)
    except (
        InputError
    ):  # too few images, or a space without directions: the rest is worth reading still
        return None


def _temperature(results: Results) -> str:
    (run,) = results.runs
    if run.rule is None:
        return f"τ = {run.temperature:g}"
    if run.rule == SIMPLE:
        return "the simple loss, which has no temperature"
    return f"τ by the rule {run.rule}, {plain(run.temperature)} at the end"


def _answer(results: Results) -> str:
    (run,) = results.runs
    reached = run.test.features
    raw = results.baselines.raw_pixels.test.features
    fresh = results.baselines.untrained.test.features
    if reached.linear_accuracy is None:
        lead = (
            f"Of {results.data.validation:,} held-out images "
            f'<strong class="answer">{100 * run.geometry.pretext_accuracy:.1f} %</strong> have their own '
            "other view nearest of all."
        )
    else:
        assert raw.linear_accuracy is not None
        assert fresh.linear_accuracy is not None
        lead = (
            f'<strong class="answer">{100 * reached.linear_accuracy:.1f} %</strong> of '
            f"{results.data.test:,} test images are told right by a linear layer on the features; "
            f"{100 * raw.linear_accuracy:.1f} % on raw pixels, {100 * fresh.linear_accuracy:.1f} % before "
            "training."
        )
    words = [
        f"Trained for {in_epochs(run.epochs)} with {_temperature(results)}. One training says nothing of "
        "other temperatures: temperance sweep compares them.",
        *([results.recommendation.reason] if results.recommendation else []),
        *(f"Note: {note}." for note in results.data.notes),
    ]
    said = "".join(f"<p>{text(sentence)}</p>" for sentence in words)
    return f'<section><p class="lead">{lead}</p>{said}</section>'


def _course(folder: Path, results: Results) -> str:
    (run,) = results.runs
    config = TrainConfig.model_validate(results.config)
    readings = {
        name.removeprefix("readings."): values
        for name, values in member_arrays(folder).items()
        if name.startswith("readings.")
    }
    steps = len(Batches(results.data.train, config.batch_size, config.seed))
    see = (
        "How the loss falls, and whether it has come to rest. Its height depends on τ and on the number of "
        "negatives, and compares with no other run."
    )
    counted = f"Means over the {steps} batches of each epoch; seed {run.seed}."
    if readings:
        see += (
            " Below, what τ does meanwhile: among how many negatives the push is shared, how similar pairs "
            "and the hardest negatives are, how evenly the space is spread."
        )
        counted = f"{counted[:-1]}; {len(readings['step'])} single batches below."
    drawn = figure("course", course_figure(run, _by_epoch(readings, steps)), see, counted)
    return f"<section><h2>The course of training</h2>{drawn}</section>"


def _by_epoch(
    readings: Mapping[str, Float32[np.ndarray, " r"]], steps: int
) -> dict[str, list[float]]:
    found = {name: values.tolist() for name, values in readings.items() if name != "step"}
    if readings:
        found["epoch"] = (readings["step"] / steps).tolist()
    return found


def _tables(results: Results) -> str:
    accuracies = ""
    if results.data.classes:
        accuracies = f"<h3>Accuracy on test images (%)</h3>{accuracy_table(results)}"
    return (
        f"<section><h2>All figures</h2>{accuracies}"
        f"<h3>The space, on validation images</h3>{geometry_table(results)}</section>"
    )


def _method(results: Results) -> str:
    (run,) = results.runs
    config, data = TrainConfig.model_validate(results.config), results.data
    facts = [
        f"Data: {data.name}, {data.size} × {data.size}; {data.train:,} images train "
        f"({'with their' if config.method == 'supcon' else 'without'} labels), {data.validation:,} and "
        f"{data.test:,} are held out (validation, test).",
        f"Training: {loss_in_words(config, run.rule)}; batches of {config.batch_size}, epochs: "
        f"{config.epochs}, {OPTIMIZERS[config.optimizer]} {run.seconds / 60:.1f} minutes, measuring "
        "included.",
    ]
    return method(results, facts, "the extractor is encoder.safetensors and encoder.json")
