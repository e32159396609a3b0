"""``temperance train``."""

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import typer
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from temperance.cli import INTERRUPTED, TERMINATED
from temperance.cli.given import (
    console,
    default_folder,
    executor,
    number,
    progress,
    settle,
)
from temperance.cli.search import plan_in_words
from temperance.data import ImageSet, Splits
from temperance.errors import InputError
from temperance.methods import (
    Devices,
    Look,
    Terminated,
    Training,
    TrainingConfig,
    is_first_process,
)
from temperance.methods.batches import Batches
from temperance.report.search import write_search_report
from temperance.report.training import REPORT, write_training_report
from temperance.runs import make_folder, write_atomic
from temperance.runs.config import claim_folder
from temperance.runs.results import Results, check_results, write_results
from temperance.search import AUTO, TrainConfig, search
from temperance.search.member import (
    MEMBER,
    finished_member,
    keep_member,
    measure_baselines,
    take_member,
    train_on,
)
from temperance.search.sweep import MEMBERS, about, environment, metrics_table

CHECKPOINTS, LOGS, SEARCH = "checkpoints", "logs", "search"


@contextmanager
def _told_to_end() -> Iterator[None]:
    """End by SIGTERM as by an interrupt, at any moment; of several processes the first says so."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except (KeyboardInterrupt, Terminated) as error:
        code = TERMINATED if isinstance(error, Terminated) else INTERRUPTED
        raise typer.Exit(code) if is_first_process() else SystemExit(code) from error
    finally:
        signal.signal(signal.SIGTERM, before)


@_told_to_end()
def run_train(
    given: dict[str, Any],
    config: Path | None,
    out: Path | None,
    resume: bool,
    devices: Devices,
    save_every: float,
    as_json: bool,
) -> None:
    """Parse, train, print."""
    if save_every <= 0:
        raise InputError(f"--save-every {save_every:g} is not positive; give minutes, such as 5")
    budget = given.pop("budget")
    if budget is not None:
        given["budget"] = number("budget", budget.removesuffix("x"))
    settings, images, parts = settle(TrainConfig, given, config, devices.processes)
    searching = settings.temperature == AUTO
    if searching:
        if devices.processes > 1:
            raise InputError(
                "--temperature auto searches in single processes; search first, by temperance sweep --budget "
                "2x, and share the training at the τ found"
            )
        console(stderr=True).print(plan_in_words(settings.search(), images))
    elif budget is not None:
        raise InputError("--budget is what a search may cost; give it beside --temperature auto")
    folder = make_folder(out or default_folder("train", settings.data))
    claim_folder(folder, settings)
    check_results(folder)
    if not resume:
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        shutil.rmtree(folder / SEARCH, ignore_errors=True)
        (folder / MEMBER).unlink(missing_ok=True)
    found = _searched(settings, images, parts, folder) if searching else None
    run = finished_member(folder)
    if run is None and found is not None:
        run = take_member(folder / SEARCH / MEMBERS / found.runs[0].folder, folder)
    elif run is None:
        recipe, begun = settings.at(settings.temperature, settings.seed), time.perf_counter()
        training = _train(recipe, images, parts, folder, devices, save_every)
        if not is_first_process():
            return  # that one measures and writes
        seconds = time.perf_counter() - begun
        run = keep_member(images, parts, recipe, training, folder, seconds)
    results = Results(
        command="train",
        config=settings.model_dump(mode="json"),
        environment=environment(),
        data=about(images, parts),
        baselines=found.baselines if found else measure_baselines(images, parts, settings, seeds=1),
        runs=[run],
        recommendation=found.recommendation if found else None,
        search=found.search if found else None,
    )
    write_atomic(folder / "metrics.csv", metrics_table([run]))
    write_results(folder, results)
    write_training_report(folder, results, images, parts)
    if as_json:
        print(results.model_dump_json(by_alias=True, indent=1))
    else:
        _print(results, folder)
        if given["temperature"] is None and config is None:
            console().print(
                f"τ = {settings.temperature} is that of {settings.method} in its paper; to find one for your "
                "data: temperance sweep",
                soft_wrap=True,
            )


def _searched(settings: TrainConfig, images: ImageSet, parts: Splits, folder: Path) -> Results:
    """What the search within the run found; it ends with the whole training."""
    say = console(stderr=True).print
    with executor("local") as here:
        results = search(settings.search(), images, parts, folder / SEARCH, here, say=say)
    write_search_report(folder / SEARCH, results)
    return results


def _train(
    config: TrainingConfig,
    images: ImageSet,
    parts: Splits,
    folder: Path,
    devices: Devices,
    save_every: float,
) -> Training:
    output = console(stderr=True)
    first = is_first_process()
    shown = "{task.fields[told]}"
    with progress(output, "step {task.completed} of {task.total}", shown, first=first) as bar:
        batches = Batches(len(parts.train), config.batch_size, config.seed)
        task = bar.add_task("training", total=config.epochs * len(batches), told="")

        def look(look: Look) -> None:
            bar.update(task, completed=look.step, told=_told(look))

        def show(epoch: int, loss: float) -> None:
            if first and not output.is_terminal:
                output.print(f"epoch {epoch} of {config.epochs}: loss {loss:.3f}")

        def warn(words: str) -> None:
            if first:
                output.print(f"warning: {words}", soft_wrap=True)

        return train_on(
            images,
            parts,
            config,
            checkpoints=folder / CHECKPOINTS,
            save_every=60 * save_every,
            devices=devices,
            loggers=_loggers(folder) if first else [],
            on_epoch=show,
            on_look=look,
            on_warning=warn,
        )


def _told(look: Look) -> str:
    """What stands below the bar."""
    words = [f"loss {look.loss:.3f}", f"{look.images_per_second:,.0f} images/s"]
    if look.figures:
        tau, effective = (look.figures[f"temperature/{x}"] for x in ("tau", "effective_negatives"))
        words += [f"τ {tau:.3g}", f"{effective:,.0f} effective negatives"]
    return " · ".join(words)


def _loggers(folder: Path) -> list[Logger]:
    """TensorBoard's, where it is installed."""
    if find_spec("tensorboard") is None and find_spec("tensorboardX") is None:
        return []
    return [TensorBoardLogger(folder, name="", version=LOGS)]


def _print(results: Results, folder: Path) -> None:
    output = console()
    (run,) = results.runs
    if results.recommendation is not None:
        output.print(f"τ = {run.temperature:g} was found. {results.recommendation.reason}")
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
    output.print(f"Look at it:    {folder / REPORT}", soft_wrap=True)
