"""The best temperature for the price of a training or two: successive halving over short trainings."""

import hashlib
import math
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from temperance.data import ImageSet, Splits
from temperance.errors import InputError
from temperance.methods import TrainingConfig
from temperance.runs import make_folder, write_atomic, write_json
from temperance.runs.config import claim_folder
from temperance.runs.results import (
    Choice,
    Recommendation,
    Results,
    Search,
    Shape,
    Trial,
    check_results,
    write_results,
)
from temperance.search.config import METRIC_NAMES, PULL, UNSEARCHED, SearchConfig, in_epochs
from temperance.search.grid import against_grid, known_grid
from temperance.search.member import finished_member, member_name
from temperance.search.sweep import (
    BASELINES,
    MEMBERS,
    about,
    environment,
    kept_baselines,
    metrics_table,
    train_command,
)
from temperance.search.workers import Executor

if TYPE_CHECKING:
    import optuna
    import sqlalchemy

# Each rung trains this many times as long as the one below it.
FACTOR = 4
# A rung of fewer epochs than this says nothing of the whole training.
FEWEST_EPOCHS = 2
DATABASE = "search.db"
POLL = 1.0
# Seconds: between signs of life, until silence means death, and of waiting for a locked database.
HEARTBEAT, GRACE, PATIENCE = 5, 60, 60
Point = tuple[float, int]
# The value of a point, and the seconds it took.
Timed = tuple[float, float]


@dataclass(frozen=True)
class Rung:
    """Trainings of one length, each with a schedule of that length.

    Attributes:
        epochs: of each.
        count: of temperatures.
    """

    epochs: int
    count: int


def plan(epochs: int, budget: float) -> list[Rung]:
    """The rungs below the whole training, which together cost no more than the budget leaves beside it.

    A sixteenth and a quarter of the length get half each of what is left; where a sixteenth is too short, or
    half would try a single temperature, one length gets all.

    Args:
        epochs: of the whole training.
        budget: in whole trainings.

    Raises:
        InputError: if the training is too short, or the budget too small, for two temperatures.

    Example:
        >>> plan(epochs=48, budget=2)
        [Rung(epochs=3, count=8), Rung(epochs=12, count=2)]
        >>> plan(epochs=20, budget=2)
        [Rung(epochs=5, count=4)]
    """
    left = (budget - 1) * epochs
    short, middle = epochs // FACTOR**2, epochs // FACTOR
    if short >= FEWEST_EPOCHS and left / 2 >= 2 * middle:
        return [Rung(short, int(left / 2 / short)), Rung(middle, int(left / 2 / middle))]
    length = short if short >= FEWEST_EPOCHS and left < 3 * middle else middle
    if length < FEWEST_EPOCHS or left < 2 * length:
        raise InputError(
            f"{in_epochs(epochs)} and a budget of {budget:g} trainings leave no room to try two "
            "temperatures; give more --epochs or a larger --budget"
        )
    return [Rung(length, int(left / length))]


def checked_plan(config: SearchConfig, images: ImageSet) -> list[Rung]:
    """The rungs of a search, if there are labels to search by.

    Raises:
        InputError: if there are none, and as ``plan``.
    """
    if images.labels is None:
        raise InputError(
            f"{config.data} has no labels to search by, and without them no rule was measured to beat a "
            f"constant: train with --temperature {UNSEARCHED:g}, or give class sub-folders"
        )
    return plan(config.epochs, config.budget)


def spread(lowest: float, highest: float, count: int) -> list[float]:
    """Temperatures at equal steps of log τ, in three digits.

    Example:
        >>> spread(0.05, 1.0, 3)
        [0.05, 0.224, 1.0]
    """
    return [float(f"{t:.3g}") for t in np.geomspace(lowest, highest, count)]


def search(
    config: SearchConfig,
    images: ImageSet,
    parts: Splits,
    folder: Path,
    executor: Executor,
    storage: str | None = None,
    say: Callable[[str], None] = lambda line: None,
    *,
    grid: Path | None = None,
) -> Results:
    """Find a temperature within a budget, train with it, and write ``results.json`` and ``metrics.csv``.

    Short trainings at temperatures spread over the range are measured on validation images; the best go on to
    the next length, from the start, with a schedule of that length; the best of the last rung is trained in
    full. Short trainings say little of long ones, so the best is that of ``ranked``. What is finished is kept
    in an Optuna study, so that a search goes on where it was stopped, and several processes, or machines by
    one database, share it: none runs a point that another has.

    Args:
        config: what is asked.
        images: the data, with labels.
        parts: their splits.
        folder: the run folder.
        executor: where the runs are worked on.
        storage: URL of a database, as Optuna takes it; a SQLite file in the folder unless given.
        say: is told what was measured.
        grid: the folder of a full sweep of the same, to say what the search lost to it.

    Raises:
        InputError: without labels, without Optuna, if the database cannot be opened, or the budget is too
            small, and as ``known_grid``.
    """
    rungs = checked_plan(config, images)
    against = None if grid is None else partial(against_grid, known_grid(grid, config), grid)
    make_folder(folder)
    claim_folder(folder, config)
    check_results(folder)
    make_folder(folder / MEMBERS)
    study = _study(config, storage or f"sqlite:///{(folder / DATABASE).resolve()}")
    metric = METRIC_NAMES[config.metric]

    def training(temperature: float, epochs: int) -> TrainingConfig:
        return config.at(temperature, config.seed).model_copy(update={"epochs": epochs})

    def short(point: Point) -> Timed:
        value, seconds = pool.rung(training(*point), metric).result()
        say(f"τ = {point[0]:g}, {point[1]} epochs: {metric} {value:.1%} in {seconds:.0f} s")
        return value, seconds

    def whole(point: Point) -> Timed:
        config = training(*point)
        run = pool.member(config, folder / MEMBERS / member_name(config)).result()
        value = run.validation.accuracy(metric)
        assert value is not None
        say(f"τ = {point[0]:g}, {point[1]} epochs: {metric} {value:.1%} in {run.seconds:.0f} s")
        return value, run.seconds

    with _settled(), executor.begin(executor.count, images, parts) as pool:
        temperatures = spread(config.lowest, config.highest, rungs[0].count)
        tried = tuple(temperatures)
        for rung in rungs:
            temperatures = temperatures[: rung.count]
            points = [(t, rung.epochs) for t in temperatures]
            values = _measured(config, study, points, short, executor.count)
            temperatures = ranked({t: values[t, rung.epochs] for t in temperatures})
        best = temperatures[0]
        _measured(config, study, [(best, config.epochs)], whole, 1)
        member = folder / MEMBERS / member_name(training(best, config.epochs))
        run = finished_member(member)
        if run is None:
            raise InputError(
                f"{member} is not here: the last training was another process's that shares the study; its "
                "results are in its own folder"
            )
        baselines = kept_baselines(folder)
        if baselines is None:
            baselines = pool.baselines(config, seeds=1).result()
            write_json(folder / BASELINES, baselines.model_dump())
    trials = _trials(study)
    results = Results(
        command="sweep",
        config=config.model_dump(mode="json"),
        environment=environment() | {"workers": executor.count, "executor": executor.name},
        data=about(images, parts),
        baselines=baselines,
        runs=[run],
        recommendation=_recommendation(config, metric, best, tried, trials),
        search=Search(
            budget=config.budget,
            spent=round(sum(trial.epochs for trial in trials) / config.epochs, 4),
            seconds=round(sum(trial.seconds for trial in trials), 1),
            trials=trials,
            grid=None if against is None else against(metric, best),
        ),
    )
    write_atomic(folder / "metrics.csv", metrics_table([run]))
    write_results(folder, results)
    return results


def ranked(accuracies: Mapping[float, float]) -> list[float]:
    r"""Temperatures by their accuracy and what is known beforehand, the best first.

    .. math:: a(\tau) - 0.02 \log^2(\tau / 0.2)

    Without the second term the noise of short trainings decides; on grids of five data sets, each judged with
    the weight that the others asked for, it took the mean regret from 1.22 points to 1.10.

    Args:
        accuracies: of each temperature, in [0, 1].

    Example:
        >>> ranked({0.08: 0.95, 0.2: 0.95, 0.4: 0.95, 0.1: 0.99})
        [0.1, 0.2, 0.4, 0.08]
    """

    def score(temperature: float) -> float:
        far = math.log(temperature / UNSEARCHED)
        return accuracies[temperature] - PULL * far**2

    return sorted(accuracies, key=score, reverse=True)


@contextmanager
def _settled() -> Iterator[None]:
    """Heartbeats are called experimental since Optuna 2.9; the remark helps nobody here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*experimental", module="temperance|optuna")
        yield


def _study(config: SearchConfig, url: str) -> "optuna.Study":
    try:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise InputError(
            "--budget searches with Optuna; install it with: pip install 'temperance[search]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # whatever stops a trial stops the search
    name = hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:16]
    local = url.startswith("sqlite")
    try:
        with _settled():
            storage = optuna.storages.RDBStorage(
                url,
                {"connect_args": {"timeout": PATIENCE}} if local else None,
                heartbeat_interval=HEARTBEAT,
                grace_period=GRACE,
            )
        if local:
            _one_at_a_time(storage.engine)
        return optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
    except (SQLAlchemyError, ImportError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--storage {url} cannot be opened ({reason}); give another") from error


def _one_at_a_time(engine: "sqlalchemy.Engine") -> None:
    """Lock SQLite from the first word of a transaction on: it knows no locks on rows.

    Otherwise two processes can both read that a trial is waiting, and both take it.
    """
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        connection.isolation_level = (
            None  # the driver's own transactions begin with the first write
        )

    @event.listens_for(engine, "begin")
    def begin(connection: "sqlalchemy.Connection") -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()


def _measured(
    config: SearchConfig,
    study: "optuna.Study",
    points: list[Point],
    run: Callable[[Point], Timed],
    jobs: int,
) -> dict[Point, float]:
    """The values of all points, each run once, here or by whoever shares the study."""
    import optuna
    from optuna.trial import TrialState

    def objective(trial: "optuna.Trial") -> float:
        point = _point(trial)
        held = study.get_trials(states=(TrialState.RUNNING, TrialState.COMPLETE))
        # Nothing was waiting any more, or two processes planned the same: the earlier one has it.
        if point is None or any(_point(t) == point and t.number < trial.number for t in held):
            raise optuna.TrialPruned
        trial.suggest_float("temperature", config.lowest, config.highest, log=True)
        trial.suggest_int("epochs", 1, config.epochs)
        value, seconds = run(point)
        trial.set_user_attr("seconds", seconds)
        trial.set_user_attr("host", socket.gethostname())
        return value

    while True:
        optuna.storages.fail_stale_trials(study)
        states: dict[TrialState, set[Point]] = {state: set() for state in TrialState}
        for trial in study.get_trials(deepcopy=False):
            if (point := _point(trial)) is not None:
                states[trial.state].add(point)
        missing = [p for p in points if p not in states[TrialState.COMPLETE]]
        if not missing:
            return {(t.temperature, t.epochs): t.value for t in _trials(study)}
        waiting = states[TrialState.WAITING]
        for point in missing:
            if point not in waiting | states[TrialState.RUNNING]:
                study.enqueue_trial(
                    dict(zip(("temperature", "epochs"), point, strict=True)), {"point": point}
                )
                waiting.add(point)
        if waiting:
            count = len(waiting)
            _aside(study.optimize, objective, n_trials=count, n_jobs=min(jobs, count))
        else:  # others are at them
            time.sleep(POLL)


def _aside(work: Callable[..., None], *arguments: Any, **options: Any) -> None:
    """Work in a thread: the interrupted main one must not wait for Optuna's, which wait for trainings.

    They end once the workers of the search are gone.
    """
    thread = ThreadPoolExecutor(1)
    try:
        thread.submit(work, *arguments, **options).result()
    finally:
        thread.shutdown(wait=False)


def _point(trial: "optuna.Trial | optuna.trial.FrozenTrial") -> Point | None:
    found = trial.user_attrs.get("point")
    return None if found is None else (float(found[0]), int(found[1]))


def _trials(study: "optuna.Study") -> list[Trial]:
    """What was measured, the shortest first."""
    from optuna.trial import TrialState

    found = [
        Trial(temperature=p[0], epochs=p[1], value=t.value, seconds=t.user_attrs["seconds"])
        for t in study.get_trials(states=(TrialState.COMPLETE,))
        if (p := _point(t)) is not None and t.value is not None
    ]
    return sorted(found, key=lambda trial: (trial.epochs, trial.temperature))


def _recommendation(
    config: SearchConfig, metric: str, best: float, tried: tuple[float, ...], trials: list[Trial]
) -> Recommendation:
    shape: Shape = "peak"
    words = [
        f"τ = {best:g} led the trainings of {', '.join(_lengths(trials, config))} epochs on validation "
        f"images, among {len(tried)} temperatures from {tried[0]:g} to {tried[-1]:g}, those far from "
        f"{UNSEARCHED:g} having to be better by more."
    ]
    if best in (tried[0], tried[-1]):
        shape = "edge-low" if best == tried[0] else "edge-high"
        words.append("It lies at the edge of the range: widen it.")
    words.append(
        "One seed and short trainings: no interval can be given, and longer training can move the best τ. On "
        f"five small data sets such a choice lost 1.1 points to the best, τ = {UNSEARCHED:g} 1.25 and a "
        "sweep over whole trainings 0.4; that says how sure it is, too."
    )
    choice: dict[str, Any] = {
        "temperature": best,
        "interval": None,
        "metric": metric,
        "shape": shape,
        "reason": " ".join(words),
        "best_per_seed": {str(config.seed): best},
        "ties": [],
        "curve": None,
    }
    command = train_command(config, best)
    return Recommendation(**choice, command=command, by_metric={metric: Choice(**choice)})


def _lengths(trials: list[Trial], config: SearchConfig) -> list[str]:
    return [str(n) for n in sorted({t.epochs for t in trials if t.epochs < config.epochs})]
