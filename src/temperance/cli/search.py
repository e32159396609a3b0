"""``temperance sweep --budget``."""

from pathlib import Path
from typing import Any

from rich.table import Table

from temperance.cli.given import (
    console,
    default_folder,
    executor,
    number,
    settle,
    temperatures,
)
from temperance.data import ImageSet
from temperance.errors import InputError
from temperance.report.search import REPORT, write_search_report
from temperance.runs.results import Results
from temperance.search import (
    SearchConfig,
    checked_plan,
    grid_in_words,
    in_epochs,
    known_grid,
    search,
)

FULL_ONLY = {
    "rules": "--temperature",
    "seeds": "--seeds",
    "budgets": "--budgets",
    "losses": "--losses",
}


def run_search(
    given: dict[str, Any],
    budget: str,
    storage: str | None,
    grid: Path | None,
    config: Path | None,
    where: str,
    workers: int | None,
    out: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Parse, search, print."""
    for name, option in FULL_ONLY.items():
        if given.pop(name) is not None:
            raise InputError(
                f"{option} goes with a full sweep; leave it out beside --budget, or leave out --budget"
            )
    given["budget"] = number("budget", budget.removesuffix("x"))
    if (ends := given.pop("temperatures")) is not None:
        tried = temperatures(ends)
        if len(tried) != 2 or tried[0] >= tried[1]:
            raise InputError(
                f"--temperatures {ends}: with --budget give the ends of the range, such as 0.05,1"
            )
        given["lowest"], given["highest"] = tried
    settings, images, parts = settle(SearchConfig, given, config)
    if grid is not None:
        known_grid(grid, settings)  # before a line is printed
    folder = out or default_folder("search", settings.data)
    output = console(stderr=True)
    planned = plan_in_words(settings, images)
    if dry_run:
        print(planned)
        return
    output.print(planned)
    with executor(where, workers) as crew:
        results = search(settings, images, parts, folder, crew, storage, output.print, grid=grid)
    write_search_report(folder, results)
    if as_json:
        print(results.model_dump_json(by_alias=True, indent=1))
    else:
        _print(results, folder)


def plan_in_words(settings: SearchConfig, images: ImageSet) -> str:
    """What will be trained, and what it costs.

    Raises:
        InputError: as ``checked_plan``.
    """
    rungs = checked_plan(settings, images)
    steps = [f"{rung.count} temperatures for {in_epochs(rung.epochs)}" for rung in rungs]
    cost = 1 + sum(rung.count * rung.epochs for rung in rungs) / settings.epochs
    return f"{', '.join(steps)}, then one for {settings.epochs}: {cost:.2f} trainings"


def _print(results: Results, folder: Path) -> None:
    output = console()
    chosen, spent = results.recommendation, results.search
    assert chosen is not None
    assert spent is not None
    (run,) = results.runs
    lengths = sorted({trial.epochs for trial in spent.trials})
    table = Table(title=f"validation: {chosen.metric}", title_justify="left")
    for name in ("τ", *map(in_epochs, lengths)):
        table.add_column(name, justify="right")
    values = {(trial.temperature, trial.epochs): trial.value for trial in spent.trials}
    for t in sorted({trial.temperature for trial in spent.trials}):
        cells = [f"{values[t, n]:.1%}" if (t, n) in values else "–" for n in lengths]
        table.add_row(f"{t:g}", *cells)
    output.print(table)
    output.print(f"\nChosen τ = {chosen.temperature:g} for {chosen.metric}", style="bold")
    output.print(chosen.reason)
    short = sum(n < lengths[-1] for _, n in values)
    output.print(
        f"Spent: {spent.spent:.2f} trainings of {in_epochs(lengths[-1])}, {spent.seconds:.0f} s of one core; "
        f"{short} short trainings, {len(table.rows) - 1} temperatures never trained in full."
    )
    if spent.grid is not None:
        output.print(grid_in_words(chosen.temperature, spent.grid))
    output.print(f"On {results.data.test} test images: {run.test.accuracy(chosen.metric):.1%}.")
    output.print(f"The extractor: {folder / 'members' / run.folder}", soft_wrap=True)
    output.print(f"Look at it:    {folder / REPORT}", soft_wrap=True)
