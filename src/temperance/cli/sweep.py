"""``temperance sweep``."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import TaskID
from rich.table import Table

from temperance.cli.given import (
    console,
    default_folder,
    executor,
    progress,
    settle,
    temperatures,
)
from temperance.errors import InputError
from temperance.report.figures import in_brief, uses
from temperance.report.sweep import write_sweep_report
from temperance.runs.results import Results, Run
from temperance.search import (
    LABEL_FREE,
    METRIC_NAMES,
    SweepConfig,
    against_pixels,
    beside_fixed,
    by_budget,
    estimate,
    in_epochs,
    pixels_in_words,
    sweep,
)
from temperance.search.sweep import HARD


def run_sweep(
    given: dict[str, Any],
    config: Path | None,
    where: str,
    workers: int | None,
    out: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Parse, sweep, print."""
    if given["temperatures"] is not None:
        given["temperatures"] = temperatures(given["temperatures"])
    budgets = given.pop("budgets")
    lengths = _lengths(budgets) if budgets is not None else []
    if lengths and config is None and given["epochs"] is None:
        given["epochs"] = lengths[-1]
    settings, images, parts = settle(SweepConfig, given, config)
    shorter = [epochs for epochs in lengths if epochs != settings.epochs]
    if lengths and (not shorter or shorter[-1] > settings.epochs):
        raise InputError(
            f"--budgets {budgets}: the sweep itself is of {in_epochs(settings.epochs)} and must be the "
            "longest; give shorter ones, or more --epochs"
        )
    folder = out or default_folder("sweep", settings.data)
    if dry_run:
        epochs = [*shorter, settings.epochs]
        sweeps = [settings.model_copy(update={"epochs": n}) for n in epochs]
        if settings.losses:
            sweeps.append(settings.hardest_alone())
        again = ", and again with the hardest negatives alone" if settings.losses else ""
        with executor(where, workers) as crew:
            costs = [estimate(each, images, parts, crew.count) for each in sweeps]
        print(
            f"{sum(cost.runs for cost in costs)} runs ({_counted(settings)} × {_seeds(settings)}, "
            f"{' and '.join(map(in_epochs, epochs))} each{again}), about "
            f"{_duration(sum(cost.seconds for cost in costs))} on {crew.count} workers, "
            f"about {sum(cost.bytes for cost in costs) / 1e6:.0f} MB in {folder}"
        )
        return
    with executor(where, workers) as crew, _Display(console(stderr=True), settings) as display:
        results = sweep(settings, images, parts, folder, crew, display, shorter)
        display.say("drawing the report")
        write_sweep_report(folder, results, images, parts)
    if as_json:
        print(results.model_dump_json(by_alias=True, indent=1))
    else:
        _print(console(), results, folder)


def _lengths(text: str) -> list[int]:
    """Training lengths as typed, rising."""
    try:
        lengths = sorted({int(part) for part in text.split(",") if part.strip()})
    except ValueError:
        lengths = []
    if not lengths or lengths[0] < 1:
        raise InputError(f"--budgets {text}: give training lengths in epochs, such as 3,10,22")
    return lengths


class _Display:
    """A bar with time left on a terminal; a line a run elsewhere."""

    def __init__(self, output: Console, settings: SweepConfig) -> None:
        self._console = output
        self._metric = METRIC_NAMES[settings.metric]
        self._best: dict[str, list[float]] = {}
        self._done = self._total = self._offset = 0
        self._bar = progress(
            output,
            "{task.fields[runs]} runs",
            "{task.fields[best]}",
            # The rate over the whole sweep: single epochs of different workers come in bursts.
            speed_estimate_period=3600,
        )
        self._task: TaskID

    def __enter__(self) -> "_Display":
        self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.__exit__(*error)

    def begin(self, config: SweepConfig, finished: list[Run]) -> None:
        runs, epochs_each = len(config.trainings()), config.epochs
        self._console.print(
            f"{runs} runs: {_counted(config)} × {_seeds(config)}, {in_epochs(epochs_each)} each"
            + (
                f", the hardest {100 * config.hardest:g} % of the negatives alone"
                if config.hardest
                else ""
            )
            + (f"; {len(finished)} finished earlier" if finished else ""),
            highlight=False,
        )
        self._best.clear()
        self._done = 0
        self._total, self._offset = runs, len(finished) * epochs_each
        self._task = self._bar.add_task(
            f"training, {in_epochs(epochs_each)}",
            total=runs * epochs_each,
            completed=self._offset,
            runs="",
            best="",
        )
        for run in finished:
            self._count(run)

    def epochs(self, finished: int) -> None:
        self._bar.update(self._task, completed=self._offset + finished)

    def run(self, run: Run) -> None:
        self._count(run)
        if not self._console.is_terminal:
            figure = _figure(run, self._metric)
            self._console.print(
                f"{self._done}/{self._total} {_name(run)}, seed {run.seed}: "
                f"{figure} in {run.seconds:.0f} s",
                highlight=False,
            )

    def say(self, what: str) -> None:
        """What is done after the last run."""
        self._bar.update(self._task, description=what)

    def _count(self, run: Run) -> None:
        self._done += 1
        figure = run.value(self._metric)
        best = ""
        if figure is not None:
            self._best.setdefault(_name(run), []).append(figure)
            means = {t: sum(x) / len(x) for t, x in self._best.items()}
            top = max(means, key=lambda t: means[t])
            best = f"best so far {means[top]:.1%} at {top}"
        self._bar.update(self._task, runs=f"{self._done}/{self._total}", best=best)


def _counted(settings: SweepConfig) -> str:
    n = len(settings.rules)
    rules = f" and {n} rule{'s' * (n != 1)}" if n else ""
    return f"{len(settings.temperatures)} temperatures{rules}"


def _seeds(settings: SweepConfig) -> str:
    return f"{settings.seeds} seed{'s' * (settings.seeds != 1)}"


def _name(run: Run) -> str:
    return run.rule or f"τ = {run.temperature:g}"


def _figure(run: Run, metric: str) -> str:
    value = run.value(metric)
    if value is None:
        return f"consistency of neighbours {run.geometry.neighbour_consistency:.1%}"
    return f"{metric} {value:.1%} (validation)"


def _print(output: Console, results: Results, folder: Path) -> None:
    output.print(_table(results))
    chosen = results.recommendation
    assert chosen is not None
    interval = (
        f" (90 % interval {chosen.interval[0]:g} to {chosen.interval[1]:g})"
        if chosen.interval
        else ""
    )
    output.print(
        f"\nRecommended τ = {chosen.temperature:g}{interval} for {chosen.metric}",
        style="bold",
        highlight=False,
    )
    output.print(chosen.reason)
    if comparison := pixels_in_words(against_pixels(results)):
        output.print(comparison)
    for name, metric in METRIC_NAMES.items():
        other = chosen.by_metric.get(metric)
        if other is not None and metric != chosen.metric:
            output.print(f"For {name} ({metric}): τ = {other.temperature:g}, {other.shape}.")
    if results.budgets:
        output.print(_budgets_table(by_budget(folder, results)))
    if results.rules and results.data.classes:
        output.print(_rules_table(results))
    if results.config["losses"]:
        hard = folder / HARD / "results.json"
        output.print(f"\nThe hardest negatives alone: {hard}", soft_wrap=True)
    output.print(f"\nTrain with it:  {chosen.command}", soft_wrap=True)
    output.print(f"Look at it:     {folder / 'report.html'}", soft_wrap=True)


ACCURACIES = {
    "linear": METRIC_NAMES["linear"],
    "kNN": METRIC_NAMES["knn"],
    "5-shot": METRIC_NAMES["few-shot"],
}
MEASURES = {
    "uniformity": "geometry.uniformity",
    "tolerance": "geometry.tolerance",
    "consistency": LABEL_FREE,
}


def _table(results: Results) -> Table:
    """Means over seeds at each temperature, on validation images."""
    labelled = bool(results.data.classes)
    columns = (ACCURACIES if labelled else {}) | MEASURES
    table = Table(
        title="validation: linear on features, kNN and 5-shot on the projection; means over seeds",
        title_justify="left",
    )
    for name in ("τ", *columns):
        table.add_column(name, justify="right")
    named = {f"{t:g}": runs for t, runs in results.by_temperature().items()} | results.by_rule()
    for name, runs in named.items():
        means = [_mean([run.value(metric) for run in runs]) for metric in columns.values()]
        cells = [_cell(mean, metric) for mean, metric in zip(means, columns.values(), strict=True)]
        table.add_row(name, *cells)
    if labelled:
        raw = results.baselines.raw_pixels.validation
        table.add_section()
        table.add_row("raw pixels", *[_cell(raw.accuracy(m), m) for m in ACCURACIES.values()])
    return table


def _rules_table(results: Results) -> Table:
    """Each rule against the best fixed temperature, use by use."""
    rows = beside_fixed(results)
    uses = {metric: use for use, metric in METRIC_NAMES.items()}
    fixed = {row.metric: row.fixed for row in rows}
    table = Table(
        title="test: points above the fixed τ that validation chose, ± standard error; seeds paired",
        title_justify="left",
    )
    for name in ("rule", *(f"{uses[m]} (τ = {t:g})" for m, t in fixed.items())):
        table.add_column(name, justify="right")
    for rule in results.by_rule():
        mine = [row for row in rows if row.rule == rule]
        table.add_row(rule, *(f"{row.in_points} {row.verdict}" for row in mine))
    return table


def _budgets_table(sweeps: dict[int, Results]) -> Table:
    """How the best temperature moves with the length of training."""
    table = Table(title="best τ (90 % interval) by epochs of training", title_justify="left")
    chosen = {epochs: uses(results) for epochs, results in sweeps.items()}
    names = {metric: use for use, metric in METRIC_NAMES.items()}
    for name in ("epochs", *(names.get(m, "consistency") for m in next(iter(chosen.values())))):
        table.add_column(name, justify="right")
    for epochs, found in chosen.items():
        table.add_row(str(epochs), *(in_brief(choice) for choice in found.values()))
    return table


def _cell(value: float | None, metric: str) -> str:
    if value is None:
        return ""
    return f"{value:.1%}" if metric in (*ACCURACIES.values(), LABEL_FREE) else f"{value:.3f}"


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
