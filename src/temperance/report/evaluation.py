"""The page of an evaluation: scores beside what they are compared with, over τ where there are several."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from temperance.report.answers import answers
from temperance.report.explorer import explorer_part
from temperance.report.page import Part, figure, page, table, text
from temperance.report.svg import (
    Axis,
    Panel,
    Reference,
    Series,
    line_chart,
    series_colour,
    standalone,
)
from temperance.runs import write_atomic
from temperance.transfer.evaluating import DENSE
from temperance.transfer.evaluator import Evaluator
from temperance.transfer.results import Evaluation
from temperance.transfer.results import Part as Measured

PAGE = "evaluation.html"
FIGURE = "evaluation.svg"
SHEETS = {
    "detection": "Pairs: the true boxes, and beside them those found with a score of 0.3 or more.",
    "segmentation": "Pairs: the true classes in colours, and beside them those found.",
    "knn": "Rows: a held-out image, and the nine nearest of those with labels.",
}
# As the field writes them; other tasks and scores are called what they are.
NAMES = {
    "knn": "kNN",
    "ap50": "AP50",
    "ap": "AP",
    "ap75": "AP75",
    "miou": "mIoU",
    "miou_with_ground": "mIoU with the ground",
}
STARTS = {"random": "random weights", "supervised": "pretrained with labels"}


def write_evaluation_report(folder: Path, evaluation: Evaluation) -> None:
    """Write ``evaluation.html`` into a folder and, of several temperatures, ``evaluation.svg``.

    Args:
        folder: of the evaluation.
        evaluation: with at least one part.
    """
    about = [
        *_measured_on(evaluation),
        "Every start had the same head, data and steps. Scores are those of held-out data.",
    ]
    body = (
        "<section>"
        + "".join(f"<p>{text(sentence)}</p>" for sentence in about)
        + _scores(evaluation)
        + "</section>"
        + _curves(evaluation)
        + _answers(folder, evaluation)
        + "<section><h2>Class by class</h2>"
        + "".join(_classes(evaluation, task) for task in evaluation.tasks)
        + "</section>"
    )
    if _several(evaluation):
        write_atomic(folder / FIGURE, standalone(tasks_figure(evaluation)))
    title = "What the extractor is good for"
    write_atomic(folder / PAGE, page(title, Part(body), explorer_part(), folder.resolve().name))


def _measured_on(evaluation: Evaluation) -> list[str]:
    settings, words = evaluation.settings, []
    dense = [task for task in evaluation.tasks if task in DENSE]
    if len(dense) < len(evaluation.tasks):
        images = settings.images or f"objects cut out of {settings.pictures}"
        words.append(f"Classification is measured on {images}.")
    if dense:
        how = "was frozen" if settings.frozen else "was trained too"
        tasks = " and ".join(dense).capitalize()
        words.append(f"{tasks}: measured on {settings.pictures}; the extractor {how}.")
    return words


def write_answers(
    folder: Path, part: Measured, head: Evaluator[Any], train: object, test: object
) -> None:
    """Write a sheet of pictures of what an extractor's first head on a task says, for the page.

    Args:
        folder: of the evaluation.
        part: what was measured; other starts and seeds than the first are not shown.
        head: fitted.
        train: what it learned from.
        test: held out.
    """
    path = folder / _sheet(part.task)
    if part.task not in SHEETS or part.start != "pretrained" or part.seed or path.exists():
        return
    content = answers(head, train, test)
    if content is not None:
        write_atomic(path, content)


def tasks_figure(evaluation: Evaluation) -> str:
    """Draw the headline of each task against τ, a panel a task, with the other starts as lines across.

    Args:
        evaluation: of extractors at two temperatures or more.
    """
    panels = []
    for i, task in enumerate(evaluation.tasks):
        parts = [p for p in evaluation.of(task, "pretrained") if p.temperature is not None]
        taus = sorted({p.temperature for p in parts if p.temperature is not None})
        means = [_mean([p for p in parts if p.temperature == tau]) for tau in taus]
        seeds = [(p.temperature, 100 * p.headline) for p in parts if p.temperature is not None]
        references = [
            Reference(name, _mean(others))
            for start, name in STARTS.items()
            if (others := evaluation.of(task, start))
        ]
        metric = next(iter(parts[0].metrics)) if parts else ""
        panels.append(
            Panel(
                Axis(f"{_written(task)}: {_written(metric)} (%)"),
                [Series("", taus, means, series_colour(i), seeds=seeds)],
                references,
            )
        )
    return line_chart(
        "Score of each task against the temperature of pretraining",
        "Dots are single measurements, lines their means; dashed lines are other starts.",
        Axis("temperature τ", log=True),
        *panels,
    )


def _sheet(task: str) -> str:
    return f"evaluation-{task}.png"


def _answers(folder: Path, evaluation: Evaluation) -> str:
    shown = ""
    for task in evaluation.tasks:
        path = folder / _sheet(task)
        if task in SHEETS and path.is_file():
            source = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
            name = _named(evaluation.of(task, "pretrained")[0])
            picture = f'<img src="{source}" style="max-width:100%" alt="{text(SHEETS[task])}">'
            counted = f"First extractor ({name}), seed 0, held-out pictures."
            shown += figure(task, picture, SHEETS[task], counted, "wide")
    return f"<section><h2>What it says</h2>{shown}</section>" if shown else ""


def _several(evaluation: Evaluation) -> bool:
    return len({p.temperature for p in evaluation.parts if p.temperature is not None}) > 1


def _curves(evaluation: Evaluation) -> str:
    if not _several(evaluation):
        return ""
    see = (
        "Where each task's line is highest, and how far above the dashed lines of the other starts. Dots are "
        "single measurements, lines their means."
    )
    taus = {p.temperature for p in evaluation.parts if p.temperature is not None}
    seeds = len({p.seed for p in evaluation.parts})
    counted = (
        f"{len(evaluation.parts)} measurements: extractors at {len(taus)} τ and other starts, "
        f"{seeds} seed{'s' * (seeds != 1)} of each head."
    )
    drawn = figure("tasks", tasks_figure(evaluation), see, counted)
    return f"<section><h2>Each task against τ</h2>{drawn}</section>"


def _scores(evaluation: Evaluation) -> str:
    groups: dict[tuple[str, str], list[Measured]] = {}
    for part in evaluation.parts:
        groups.setdefault((part.task, _named(part)), []).append(part)
    rows = []
    for (task, name), parts in groups.items():
        metrics = "; ".join(
            f"{_written(metric)} {_spread([100 * p.metrics[metric] for p in parts])}"
            for metric in parts[0].metrics
        )
        seconds = np.mean([p.seconds for p in parts])
        rows.append((_written(task), name, metrics, f"{seconds:.0f}"))
    return table(
        ("task", "start", "score (%), mean ± standard deviation over seeds", "seconds"), rows
    )


def _classes(evaluation: Evaluation, task: str) -> str:
    """Class by class: means over seeds, a column for each start."""
    parts = [p for p in evaluation.parts if p.task == task]
    names = list(dict.fromkeys(_named(p) for p in parts))
    classes = sorted({name for p in parts for name in p.per_class})
    rows = []
    for kind in classes:
        cells = []
        for name in names:
            values = [
                100 * p.per_class[kind] for p in parts if _named(p) == name and kind in p.per_class
            ]
            cells.append(f"{np.mean(values):.1f}" if values else "–")
        rows.append((kind, *cells))
    title = f"{_written(task)}, class by class (%)"
    return f"<details><summary>{text(title)}</summary>{table(('class', *names), rows)}</details>"


def _written(name: str) -> str:
    return NAMES.get(name, name)


def _named(part: Measured) -> str:
    if part.start != "pretrained":
        return STARTS[part.start]
    return part.extractor if part.temperature is None else f"τ = {part.temperature:g}"


def _mean(parts: Sequence[Measured]) -> float:
    return float(np.mean([100 * p.headline for p in parts]))


def _spread(values: list[float]) -> str:
    deviation = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{deviation}"
