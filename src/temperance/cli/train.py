"""``temperance train``."""

import shutil
from pathlib import Path
from typing import Any

from temperance.cli.given import console, default_folder, progress, settle
from temperance.data import ImageSet, Splits
from temperance.errors import InputError
from temperance.methods import TrainingConfig
from temperance.methods.config import rule_or_number
from temperance.runs import make_folder, write_atomic
from temperance.runs.config import claim_folder
from temperance.runs.results import Results, Run, check_results, write_results
from temperance.search import TrainConfig
from temperance.search.member import MEMBER, finished_member, measure_baselines, run_member
from temperance.search.sweep import about, environment, metrics_table

CHECKPOINTS = "checkpoints"


def run_train(
    given: dict[str, Any], config: Path | None, out: Path | None, resume: bool, as_json: bool
) -> None:
    """Parse, train, print."""
    if given["temperature"] is not None:
        given["temperature"] = rule_or_number(given["temperature"])
    elif config is None:
        raise InputError(
            "train needs a temperature; give one with --temperature 0.2, or find one: temperance sweep"
        )
    settings, images, parts = settle(TrainConfig, given, config)
    folder = make_folder(out or default_folder("train", settings.data))
    claim_folder(folder, settings)
    check_results(folder)
    if not resume:
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        (folder / MEMBER).unlink(missing_ok=True)
    run = finished_member(folder) or _train(settings.training(), images, parts, folder)
    results = Results(
        command="train",
        config=settings.model_dump(mode="json"),
        environment=environment(),
        data=about(images, parts),
        baselines=measure_baselines(images, parts, seeds=1),
        runs=[run],
        recommendation=None,
    )
    write_atomic(folder / "metrics.csv", metrics_table([run]))
    write_results(folder, results)
    if as_json:
        print(results.model_dump_json(by_alias=True, indent=1))
    else:
        _print(results, folder)


def _train(config: TrainingConfig, images: ImageSet, parts: Splits, folder: Path) -> Run:
    output = console(stderr=True)
    count = "epoch {task.completed} of {task.total}"
    with progress(output, count, "loss {task.fields[loss]}") as bar:
        task = bar.add_task("training", total=config.epochs, loss="")

        def show(epoch: int, loss: float) -> None:
            bar.update(task, completed=epoch, loss=f"{loss:.3f}")
            if not output.is_terminal:
                output.print(f"epoch {epoch} of {config.epochs}: loss {loss:.3f}")

        return run_member(
            images,
            parts,
            config,
            folder,
            checkpoints=folder / CHECKPOINTS,
            accelerator="auto",
            on_epoch=show,
        )


def _print(results: Results, folder: Path) -> None:
    output = console()
    (run,) = results.runs
    accuracies = run.test.features
    raw = results.baselines.raw_pixels.test.features
    if accuracies.linear_accuracy is not None:
        output.print(
            f"On {results.data.test} test images the features reach {accuracies.linear_accuracy:.1%} by a "
            f"linear probe, {accuracies.knn_accuracy:.1%} by kNN and {accuracies.few_shot_accuracy:.1%} from "
            f"five images a class; raw pixels {raw.linear_accuracy:.1%}, {raw.knn_accuracy:.1%} and "
            f"{raw.few_shot_accuracy:.1%}.",
            highlight=False,
        )
    output.print(
        f"Uniformity {run.geometry.uniformity:.2f}, local separation {run.geometry.local_separation:.3f}.",
        highlight=False,
    )
    output.print(f"The extractor: {folder / 'encoder.safetensors'}", soft_wrap=True)
