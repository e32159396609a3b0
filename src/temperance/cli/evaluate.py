"""``temperance evaluate``."""

from pathlib import Path

import numpy as np
from rich.table import Table

from temperance.cli.given import console, default_folder
from temperance.data.annotated import is_annotated
from temperance.errors import InputError
from temperance.report.evaluation import PAGE, write_answers, write_evaluation_report
from temperance.transfer.evaluating import DENSE, TASKS, Extractor, evaluate, extractors
from temperance.transfer.results import Evaluation, Part, Settings

DEFAULT_TASKS = "knn,linear,few-shot"
DEFAULT_PICTURES = "scenes"
FINETUNE = "finetune"


def run_evaluate(
    runs: list[Path],
    task: str | None,
    data: list[str],
    steps: int | None,
    seeds: int,
    frozen: bool,
    with_supervised: bool,
    root: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Parse, evaluate, print."""
    tasks = _tasks(task or DEFAULT_TASKS)
    for name, value in (("--steps", steps), ("--seeds", seeds)):
        if value is not None and value < 1:
            raise InputError(f"{name} {value} is not positive; give 1 or more")
    found = extractors(runs)
    settings = _settings(found[0], tasks, data, steps, frozen)
    folder = out or (runs[0] if len(runs) == 1 and runs[0].is_dir() else _folder(settings))
    output = console(stderr=True)

    def show(part: Part, done: int, total: int) -> None:
        output.print(
            f"{done}/{total} {part.task}, {_name(part)}, seed {part.seed}: {part.headline:.1%} "
            f"in {part.seconds:.0f} s",
            soft_wrap=True,
        )

    evaluation = evaluate(
        found,
        tasks,
        settings,
        folder,
        seeds=seeds,
        with_supervised=with_supervised,
        root=root,
        on_part=show,
        on_head=lambda part, head, train, test: write_answers(folder, part, head, train, test),
    )
    write_evaluation_report(folder, evaluation)
    if as_json:
        print(evaluation.model_dump_json(by_alias=True, indent=1))
        return
    console().print(_table(evaluation))
    console().print(f"Look at it: {folder / PAGE}", soft_wrap=True)


def _tasks(text: str) -> list[str]:
    tasks = []
    for name in (part.strip() for part in text.split(",")):
        tasks += ["finetune-1", "finetune-10"] if name == FINETUNE else [name] if name else []
    for name in tasks:
        if name not in TASKS:
            raise InputError(f"--task {name!r} is unknown; give some of {', '.join(TASKS)}")
    if not tasks:
        raise InputError(f"--task names none; give some of {', '.join(TASKS)}")
    return list(dict.fromkeys(tasks))


def _settings(
    first: Extractor, tasks: list[str], data: list[str], steps: int | None, frozen: bool
) -> Settings:
    """Which data serve which tasks: annotated pictures the dense ones, and, cut out, the others."""
    pictures = next((name for name in data if is_annotated(name)), None)
    images = next((name for name in data if not is_annotated(name)), None)
    if any(task in DENSE for task in tasks):
        if data and pictures is None:
            raise InputError(
                f"--data {data[0]} has no boxes or masks; give detection and segmentation scenes, COCO or VOC"
            )
        pictures = pictures or DEFAULT_PICTURES
    if images is None and not data and any(task not in DENSE for task in tasks):
        origin = first.origin.get("data")
        if origin is None:
            raise InputError(f"{first.path} does not say what it was trained on; give --data")
        images = str(origin)
    return Settings(images=images, pictures=pictures, steps=steps, frozen=frozen)


def _folder(settings: Settings) -> Path:
    return default_folder("evaluate", settings.images or settings.pictures or "")


def _name(part: Part) -> str:
    if part.start != "pretrained":
        return part.start
    return part.extractor if part.temperature is None else f"τ = {part.temperature:g}"


def _table(evaluation: Evaluation) -> Table:
    """Headlines in per cent: mean over seeds (and members of one τ), and their standard deviation."""
    table = Table()
    table.add_column("start")
    groups: dict[str, dict[str, list[float]]] = {}
    for part in evaluation.parts:
        groups.setdefault(_name(part), {}).setdefault(part.task, []).append(100 * part.headline)
    for task in evaluation.tasks:
        metric = next(iter(next(p for p in evaluation.parts if p.task == task).metrics))
        table.add_column(f"{task} ({metric}, %)", justify="right")
    for name, scores in groups.items():
        table.add_row(name, *(_spread(scores.get(task, [])) for task in evaluation.tasks))
    return table


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    deviation = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{deviation}"
