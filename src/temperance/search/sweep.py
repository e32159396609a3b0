"""The sweep: every temperature and seed, and what they say together."""

import csv
import io
import os
import platform
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import lightning
import numpy as np
import torch
from pydantic import ValidationError

import temperance
from temperance.data import ImageSet, Splits
from temperance.errors import InputError
from temperance.methods import Recipe
from temperance.runs import make_folder, read_json, write_atomic, write_json
from temperance.runs.config import claim_folder
from temperance.runs.results import (
    Baselines,
    Choice,
    Images,
    Recommendation,
    Results,
    Run,
    check_results,
    read_results,
    write_results,
)
from temperance.search.config import (
    LABEL_FREE,
    METRIC_NAMES,
    UNSEARCHED,
    SearchConfig,
    SweepConfig,
    in_epochs,
)
from temperance.search.member import finished_member, member_arrays, member_name
from temperance.search.recommend import choose, settle
from temperance.search.workers import Executor, as_finished
from temperance.transfer import METRICS

BASELINES = "baselines.json"
MEMBERS = "members"
BUDGETS = "budgets"
HARD = "hard"
# Settings that have an option of their own; the others are typed as --set NAME=VALUE.
NAMED_OPTIONS = ("method", "backbone", "weights", "views", "batch_size")
WITHOUT_LABELS = (
    "Chosen without labels, by how often the nearest neighbours of an image in one view are those in "
    "another. That is a proxy, which cannot know what classes you want. On small labelled data sets it "
    f"chose as well as the constant τ = {UNSEARCHED:g}, and no rule without labels chose better. Give class "
    "sub-folders to be surer."
)


class Progress(Protocol):
    """Who is told how a sweep goes."""

    def begin(self, config: SweepConfig, finished: list[Run]) -> None:
        """A sweep begins, one of several perhaps, with some runs finished earlier."""

    def epochs(self, finished: int) -> None:
        """So many epochs have been finished in this session, over all runs."""

    def run(self, run: Run) -> None:
        """A run has been finished."""


def sweep(
    config: SweepConfig,
    images: ImageSet,
    parts: Splits,
    folder: Path,
    executor: Executor,
    progress: Progress,
    budgets: Sequence[int] = (),
) -> Results:
    """Run what is missing of a sweep, recommend, and write ``results.json`` and ``metrics.csv``.

    Args:
        config: temperatures, seeds, epochs.
        images: the data.
        parts: their splits.
        folder: the run folder; one that holds this same sweep is gone on with.
        executor: where the runs are worked on.
        progress: is told how it goes.
        budgets: shorter trainings, in epochs, for each of which the same sweep is made in ``budgets/EPOCHS``.

    Raises:
        InputError: if the folder holds something else, cannot be written to, or a worker was ended.
    """
    make_folder(folder)
    claim_folder(folder, config)
    check_results(folder)
    for epochs in budgets:
        shorter = config.model_copy(update={"epochs": epochs, "losses": False})
        sweep(shorter, images, parts, folder / BUDGETS / str(epochs), executor, progress)
    if config.losses:
        sweep(config.hardest_alone(), images, parts, folder / HARD, executor, progress)
    make_folder(folder / MEMBERS)
    trainings = config.trainings()
    folders = {training: folder / MEMBERS / member_name(training) for training in trainings}
    runs = {t: run for t in trainings if (run := finished_member(folders[t])) is not None}
    progress.begin(config, list(runs.values()))
    missing = [training for training in trainings if training not in runs]
    baselines = kept_baselines(folder)
    if missing or baselines is None:
        with executor.begin(min(executor.count, len(missing) + 1), images, parts) as pool:
            first = None if baselines else pool.baselines(config, config.seeds)
            wanted = {pool.member(training, folders[training]): training for training in missing}
            for future in as_finished(set(wanted), lambda: progress.epochs(pool.epochs_finished)):
                runs[wanted[future]] = future.result()
                progress.run(future.result())
            if first is not None:
                baselines = first.result()
                write_json(folder / BASELINES, baselines.model_dump())
    assert baselines is not None
    ordered = sorted(
        (run for run in runs.values() if run.rule is None),
        key=lambda run: (run.temperature, run.seed),
    )
    # Trainings go seed by seed; rules are shown one after another.
    rules = [run for rule in config.rules for t, run in runs.items() if t.temperature == rule]
    rules.sort(key=lambda run: (config.rules.index(run.rule or ""), run.seed))
    results = Results(
        command="sweep",
        config=config.model_dump(mode="json"),
        environment=environment() | {"workers": executor.count, "executor": executor.name},
        data=about(images, parts),
        baselines=baselines,
        runs=ordered,
        rules=rules,
        recommendation=_recommend(config, images, ordered, folder / MEMBERS),
        budgets=list(budgets),
    )
    write_atomic(folder / "metrics.csv", metrics_table([*ordered, *rules]))
    write_results(folder, results)
    return results


def by_budget(folder: Path, results: Results) -> dict[int, Results]:
    """The sweeps of all training lengths, the shortest first, by their epochs.

    Args:
        folder: of the sweep.
        results: of the sweep itself, which is the longest.

    Raises:
        InputError: if a shorter one is missing or damaged.
    """
    shorter = {n: read_results(folder / BUDGETS / str(n)) for n in results.budgets}
    return shorter | {results.config["epochs"]: results}


def with_hardest(folder: Path, results: Results) -> Results | None:
    """The same sweep with the hardest negatives alone, if there is one.

    Args:
        folder: of the sweep.
        results: of the sweep itself.

    Raises:
        InputError: if it is missing or damaged.
    """
    return read_results(folder / HARD) if results.config.get("losses") else None


def environment() -> dict[str, str | int]:
    """The versions that a number may depend on."""
    return {
        "temperance": temperance.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "cores": os.cpu_count() or 1,
    }


def about(images: ImageSet, parts: Splits) -> Images:
    """What was trained and measured on, for the results."""
    return Images(
        name=images.name,
        fingerprint=images.fingerprint,
        channels=images.channels,
        size=images.size,
        train=len(parts.train),
        validation=len(parts.validation),
        test=len(parts.test),
        classes=list(images.classes),
        notes=list(images.notes),
    )


def metrics_table(runs: list[Run]) -> str:
    """``metrics.csv``: one row for each temperature, seed and epoch."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["temperature", "seed", "epoch", "loss"])
    for run in runs:
        for epoch, loss in enumerate(run.losses, start=1):
            writer.writerow([run.rule or run.temperature, run.seed, epoch, loss])
    return out.getvalue()


def train_command(config: SweepConfig | SearchConfig, temperature: float) -> str:
    """The command that trains one extractor as the sweep did, at the temperature found."""
    parts = ["temperance", "train", config.data, "--temperature", f"{temperature:g}"]
    parts += ["--epochs", str(config.epochs)]
    if config.image_size is not None:
        parts += ["--image-size", str(config.image_size)]
    return shlex.join([*parts, *_options(config)])


def _options(recipe: Recipe) -> list[str]:
    """What must be typed for a recipe, beside its epochs: whatever is not as usual."""
    # Defaults follow from these three, which have defaults of their own.
    leading = {"method", "batch_size", "optimizer"}
    chosen = Recipe(**recipe.model_dump(include={*leading, "epochs"})).model_dump()
    usual = chosen | Recipe(epochs=recipe.epochs).model_dump(include=leading)
    words: list[str] = []
    for name, value in recipe.model_dump(include=set(Recipe.model_fields)).items():
        if value == usual[name]:
            continue
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        if name in NAMED_OPTIONS:
            words += [f"--{name.replace('_', '-')}", text]
        else:
            words += ["--set", f"{name}={text}"]
    return words


def kept_baselines(folder: Path) -> Baselines | None:
    """The baselines that a run folder holds, if they were measured."""
    path = folder / BASELINES
    if not path.exists():
        return None
    try:
        return Baselines.model_validate(read_json(path))
    except ValidationError as error:
        raise InputError(f"{path} is damaged; delete it and give the same command again") from error


def _recommend(
    config: SweepConfig, images: ImageSet, runs: list[Run], members: Path
) -> Recommendation:
    """The choice for every metric; validation images alone decide."""
    temperatures = np.array(config.temperatures)
    arrays = [member_arrays(members / run.folder) for run in runs]
    budget = in_epochs(config.epochs)

    def choice(metric: str, name: str) -> Choice:
        values = np.stack([member[name] for member in arrays])
        return choose(
            metric, temperatures, values.reshape(len(temperatures), config.seeds, -1), budget
        )

    by_metric = {}
    if images.labels is not None:
        for space in ("features", "projection"):
            for accuracy in METRICS:
                metric = f"{space}.{accuracy}"
                by_metric[metric] = choice(metric, f"validation.{metric}")
    by_metric[LABEL_FREE] = choice(LABEL_FREE, "neighbour_consistency")
    if images.labels is None:
        chosen = by_metric[LABEL_FREE]
        chosen = chosen.model_copy(update={"reason": f"{chosen.reason} {WITHOUT_LABELS}"})
    else:
        asked = by_metric[METRIC_NAMES[config.metric]]
        chosen = settle(
            asked, [by_metric[METRIC_NAMES[use]] for use in ("knn", "few-shot", "linear")]
        )
    return Recommendation(
        **chosen.model_dump(),
        command=train_command(config, chosen.temperature),
        by_metric=by_metric,
    )
