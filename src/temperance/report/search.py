"""The report of a search within a budget: what it chose, what it tried, and what that cost."""

from pathlib import Path

from temperance.report.explorer import explorer_part
from temperance.report.figures import USES, rungs, rungs_figure
from temperance.report.page import Part, asset, figure, page, table, text
from temperance.report.sections import method
from temperance.runs import write_atomic
from temperance.runs.results import Results, Search
from temperance.search import (
    METRIC_NAMES,
    SearchConfig,
    against_pixels,
    grid_in_words,
    in_epochs,
    pixels_in_words,
)
from temperance.search.config import PULL, UNSEARCHED
from temperance.search.member import RUNG_ROWS

REPORT = "report.html"


def write_search_report(folder: Path, results: Results) -> None:
    """Write ``report.html`` into the folder of a search."""
    write_atomic(folder / REPORT, search_page(results, folder.resolve().name))


def search_page(results: Results, run: str = "") -> str:
    """Build the page; ``run`` begins the names of saved figures."""
    assert results.search is not None
    config = SearchConfig.model_validate(results.config)
    body = (
        _answer(results, config)
        + _spent(results.search, config)
        + _reached(results)
        + _method(results, config)
    )
    title = f"Which temperature for {results.data.name}, within a budget?"
    return page(title, Part(body, asset("sweep.css")), explorer_part(), run)


def _answer(results: Results, config: SearchConfig) -> str:
    chosen = results.recommendation
    assert chosen is not None
    assert results.search is not None
    grid = results.search.grid
    words = [
        chosen.reason,
        "" if grid is None else grid_in_words(chosen.temperature, grid),
        pixels_in_words(against_pixels(results)),
        *(f"Note: {note}." for note in results.data.notes),
    ]
    see = (
        "Whether the order of the temperatures holds as trainings grow longer: where two lengths peak at "
        "different τ, the short ones misled."
    )
    counted = (
        f"1 seed; {results.data.validation:,} validation images, of which short trainings are measured "
        f"on at most {RUNG_ROWS:,}."
    )
    return (
        '<section class="columns"><div><p class="lead">Train with <strong class="answer">'
        f"τ = {chosen.temperature:g}</strong> for the {USES[chosen.metric]}: the best that a budget of "
        f"{config.budget:g} trainings found.</p>"
        + "".join(f"<p>{text(sentence)}</p>" for sentence in words if sentence)
        + f'<pre class="command">{text(chosen.command)}</pre></div>'
        + f"{figure('rungs', rungs_figure(results), see, counted)}</section>"
    )


def _spent(search: Search, config: SearchConfig) -> str:
    lengths = rungs(search)
    tried = sorted({trial.temperature for trial in search.trials})
    whole = {trial.temperature for trial in lengths[config.epochs]}
    values = {(trial.temperature, trial.epochs): trial.value for trial in search.trials}
    rows = [
        (f"{t:g}", *(f"{100 * values[t, n]:.1f}" if (t, n) in values else "–" for n in lengths))
        for t in tried
    ]
    costs = [
        (
            in_epochs(epochs),
            str(len(trials)),
            f"{len(trials) * epochs / config.epochs:.2f}",
            f"{sum(trial.seconds for trial in trials):.0f}",
        )
        for epochs, trials in lengths.items()
    ]
    return (
        f"<section><h2>What was spent</h2><p>{search.spent:.2f} of {config.budget:g} trainings of "
        f"{in_epochs(config.epochs)}, {search.seconds:.0f} s of one core. {len(tried)} temperatures were "
        f"tried, {len(tried) - len(whole)} of them never in full.</p>"
        f"{table(('length', 'temperatures', 'cost, in whole trainings', 'seconds'), costs)}"
        "<h3>Accuracy on validation images (%)</h3><p>Where a row ends, the temperature was let go.</p>"
        f"{table(('τ', *map(in_epochs, lengths)), rows)}</section>"
    )


def _reached(results: Results) -> str:
    (run,) = results.runs
    measured = {
        f"τ = {run.temperature:g}": run.test,
        "raw pixels": results.baselines.raw_pixels.test,
        "untrained": results.baselines.untrained.test,
    }
    names = [USES[metric] for metric in METRIC_NAMES.values()]
    rows = []
    for name, spaces in measured.items():
        values = (spaces.accuracy(metric) for metric in METRIC_NAMES.values())
        rows.append((name, *("–" if v is None else f"{100 * v:.1f}" for v in values)))
    return (
        "<section><h2>What the extractor reached</h2>"
        f"<p>Accuracy on {results.data.test:,} test images (%), which were never used to choose.</p>"
        f"{table(('', *names), rows)}</section>"
    )


def _method(results: Results, config: SearchConfig) -> str:
    data = results.data
    facts = [
        f"Data: {data.name}, {data.size} × {data.size}, {len(data.classes)} classes. {data.train:,} images "
        f"train, {data.validation:,} choose τ (validation), {data.test:,} are only reported (test).",
        f"Successive halving: temperatures spread evenly over log τ from {config.lowest:g} to "
        f"{config.highest:g}; each length begins anew, with a schedule of its own. The last is kept. "
        f"Ranked by accuracy less {PULL:g} · log²(τ/{UNSEARCHED:g}), for short trainings are noisy.",
    ]
    return method(results, facts, "the extractor is under members/")
