"""The report of a sweep: which temperature, why, how sure, and what it did to the space."""

from pathlib import Path

import numpy as np

from temperance.data import ImageSet, Splits
from temperance.methods.config import SIMPLE
from temperance.report import figures
from temperance.report.explorer import explorer_part
from temperance.report.figures import Space, in_brief, means, uses
from temperance.report.page import Part, asset, figure, page, text
from temperance.report.sections import (
    MEASURES,
    OPTIMIZERS,
    accuracy_table,
    average,
    geometry_table,
    hardest_negatives,
    loss_in_words,
    maps,
    method,
    plain,
    pushed,
    read_space,
    rows_table,
)
from temperance.report.svg import standalone
from temperance.runs import write_atomic
from temperance.runs.results import Choice, Results
from temperance.search import (
    METRIC_NAMES,
    SweepConfig,
    against_pixels,
    beside_fixed,
    by_budget,
    in_epochs,
    pixels_in_words,
    train_command,
    with_hardest,
)

REPORT = "report.html"
OVERVIEW = "overview.svg"

SHAPES = {
    "peak": "a peak inside the range",
    "edge-low": "still rising at the lower edge: widen the range",
    "edge-high": "still rising at the upper edge: widen the range",
    "flat": "flat: no τ tried is better than noise",
}
DILEMMA = (
    "uniformity",
    "tolerance",
    "effective_negatives",
    "false_negative_mass",
    "neighbour_consistency",
)


def write_sweep_report(folder: Path, results: Results, images: ImageSet, parts: Splits) -> None:
    """Write ``report.html`` and ``overview.svg`` into the folder of a sweep.

    Args:
        folder: of the sweep; its members' arrays are read.
        results: of the sweep.
        images: the data, for the pictures.
        parts: their splits.
    """
    write_atomic(folder / OVERVIEW, standalone(figures.dilemma_figure(results)))
    write_atomic(folder / REPORT, sweep_page(folder, results, images, parts))


def sweep_page(folder: Path, results: Results, images: ImageSet, parts: Splits) -> str:
    """Build the page from the results and from what the members of seed 0 kept."""
    sweeps = by_budget(folder, results)
    first = [group[0] for group in results.by_temperature().values()]
    spaces = [read_space(folder / "members" / run.folder, run.temperature) for run in first]
    shown = _low_best_high(spaces, results)
    temperatures = [space.temperature for space in shown]
    rows = parts.validation
    labels = None if images.labels is None else images.labels[rows]
    sections = [
        _answer(results),
        _uses(results),
        _budgets(sweeps),
        _dilemma(results, temperatures),
        pushed(spaces, 0),
        hardest_negatives(shown, images, rows, labels, 0),
        maps(shown, labels, results.data.classes, 0),
        _losses(results, with_hardest(folder, results)),
        _rules(results),
        _tables(results, sweeps),
        _method(results),
    ]
    part = Part("".join(sections), asset("sweep.css"))
    title = f"Which temperature for {results.data.name}?"
    return page(title, part, explorer_part(), folder.resolve().name)


def _low_best_high(spaces: list[Space], results: Results) -> list[Space]:
    """The lowest, the recommended (or the nearest tried) and the highest temperature.

    Where the recommended one is itself the lowest or the highest, the middle one stands in its place.
    """
    assert results.recommendation is not None
    best = results.recommendation.temperature
    nearest = min(spaces, key=lambda space: abs(np.log(space.temperature / best)))
    between = nearest if nearest not in (spaces[0], spaces[-1]) else spaces[len(spaces) // 2]
    return list({s.temperature: s for s in (spaces[0], between, spaces[-1])}.values())


def _answer(results: Results) -> str:
    chosen = results.recommendation
    assert chosen is not None
    use = figures.USES[chosen.metric]
    answer = f'Train with <strong class="answer">τ = {chosen.temperature:g}</strong>'
    if chosen.interval is None:
        lead = f"{answer}, the only temperature tried."
    elif chosen.shape == "flat":
        lead = f"{answer}; for the {use}, any temperature tried serves as well."
    elif chosen.shape != "peak":
        lead = (
            f"{answer} for the {use}; the best lies at the edge of the range, or beyond: widen it."
        )
    else:
        low, high = chosen.interval
        lead = f"{answer} for the {use}; the best lies, at 90 %, between {low:g} and {high:g}."
    words = [
        chosen.reason,
        pixels_in_words(against_pixels(results)),
        *(f"Note: {note}." for note in results.data.notes),
    ]
    see = (
        "Where each curve is highest, and how wide the shaded stretch is in which the best τ lies at 90 %. "
        "Dots are single runs, lines the fitted curves with their 90 % bands."
    )
    return (
        f'<section class="columns"><div><p class="lead">{lead}</p>'
        + "".join(f"<p>{text(sentence)}</p>" for sentence in words if sentence)
        + f'<pre class="command">{text(chosen.command)}</pre></div>'
        + f"{figure('choice', figures.choice_figure(results), see, _counted(results))}</section>"
    )


def _uses(results: Results) -> str:
    assert results.recommendation is not None
    config = SweepConfig.model_validate(results.config)
    choices = uses(results)
    rows = "".join(_use_row(metric, choice) for metric, choice in choices.items())
    columns = ("use", "best τ", "90 % interval", "best τ tried, seed by seed", "the curve")
    details = "".join(
        f"<div><h3>For {text(figures.USES[metric])}</h3><p>{text(choice.reason)}</p>"
        f'<pre class="command">{text(train_command(config, choice.temperature))}</pre></div>'
        for metric, choice in choices.items()
        if metric != results.recommendation.metric
    )
    heading = "Each use has its own temperature" if results.data.classes else "How sure that is"
    return (
        f"<section><h2>{heading}</h2>{rows_table(columns, rows)}"
        f'<div class="columns wide">{details}</div></section>'
    )


def _use_row(metric: str, choice: Choice) -> str:
    interval = f"{choice.interval[0]:g} to {choice.interval[1]:g}" if choice.interval else "–"
    seeds = ", ".join(f"{t:g}" for t in choice.best_per_seed.values())
    shape = SHAPES[choice.shape] if choice.interval else "one point"
    return (
        f'<tr><th scope="row">{text(figures.USES[metric])}</th><td>{choice.temperature:g}</td>'
        f'<td>{interval}</td><td class="loose">{seeds}</td><td class="loose">{shape}</td></tr>'
    )


def _budgets(sweeps: dict[int, Results]) -> str:
    """How the answer moves with the length of training; nothing where there is one length."""
    if len(sweeps) == 1:
        return ""
    metrics = list(uses(next(iter(sweeps.values()))))
    words = "".join(f"<li>{text(_moves(sweeps, metric))}</li>" for metric in metrics)
    names = {metric: use for use, metric in METRIC_NAMES.items()}
    longest = sweeps[max(sweeps)]
    drawn = "".join(
        figure(
            f"lengths-{names.get(metric, 'consistency')}",
            figures.budget_figure(sweeps, metric),
            f"Whether the ridge leans, and how long its bars are: {figures.USES[metric]}.",
            _counted(longest),
        )
        for metric in metrics
    )
    rows = "".join(
        f'<tr><th scope="row">{epochs}</th>'
        + "".join(f"<td>{in_brief(choice)}</td>" for choice in uses(results).values())
        + "</tr>"
        for epochs, results in sweeps.items()
    )
    return (
        "<section><h2>The answer at each length of training</h2>"
        "<p>Each row of a map is a sweep of its own, with a schedule of its own length. Colour and number "
        "are means over seeds on validation images. The dot is the best τ of that length, the bar its 90 % "
        "interval; the dotted line from row to row is the ridge. A bar without a dot is a flat curve: no τ "
        "is better than noise. Take the τ of the length that you mean to train for: where the ridge leans, "
        f"that of a short sweep is wrong for a long training.</p><ul>{words}</ul>"
        f'<div class="maps wide">{drawn}</div>'
        "<h3>Best τ (90 % interval) by epochs</h3>"
        f"{rows_table(('epochs', *(figures.USES[metric] for metric in metrics)), rows)}</section>"
    )


def _moves(sweeps: dict[int, Results], metric: str) -> str:
    """Whether the best temperature of the longest training is another than that of the shortest."""
    (short, first), *_, (long, last) = (
        (epochs, uses(results)[metric]) for epochs, results in sweeps.items()
    )
    use = f"For the {figures.USES[metric]}"
    for epochs, choice in ((short, first), (long, last)):
        if choice.shape == "flat":
            flat = f"the curve of {in_epochs(epochs)} is flat"
            return f"{use}, {flat}: it does not say whether the best τ moves."
    if first.interval is None or last.interval is None:
        return f"{use}, one τ was tried: nothing can move."
    (low, high), way = (first.interval, last.interval), "rises"
    if first.temperature > last.temperature:
        (low, high), way = (high, low), "falls"
    ends = f"{first.temperature:g} at {in_epochs(short)}, {last.temperature:g} at {long}"
    if low[1] < high[0]:
        return f"{use}, the best τ {way} with training ({ends}); the two intervals do not meet."
    return (
        f"{use}, the two intervals overlap ({ends}): this sweep cannot say that the best τ moves."
    )


def _dilemma(results: Results, shown: list[float]) -> str:
    groups = results.by_temperature()
    even = min(groups, key=lambda t: average(groups[t], "uniformity"))
    words = [
        "A low temperature pushes hardest on the most similar pictures: it spreads the space evenly, and "
        "tears pictures of one kind apart. A high one pushes on all alike: pictures of one kind stay "
        "together, and so do those of different kinds.",
        f"Here the space is most even at τ = {even:g}."
        + (
            " Below that it is less even again: in trainings as long as the published ones uniformity grows "
            "all the way down, in a short one it turns."
            if even > min(groups)
            else ""
        ),
    ]
    names = [n for n in DILEMMA if getattr(results.runs[0].geometry, n) is not None]
    rows = "".join(
        f'<tr><th scope="row">τ = {t:g}</th>'
        + "".join(f"<td>{plain(average(groups[t], name))}</td>" for name in names)
        + "</tr>"
        for t in shown
    )
    table = rows_table(("", *(MEASURES[name][0] for name in names)), rows)
    see = (
        (
            "Follow the accuracies, and under them what they are traded for: how evenly the space is spread, "
            "and how closely a class keeps together."
        )
        if results.data.classes
        else (
            "How evenly the space is spread at each τ, and how well a picture is told from its neighbours."
        )
    ) + " Measures of the space are means over seeds, joined, and the single seeds as dots."
    return (
        f'<section><h2>The dilemma</h2><div class="columns wide"><div>'
        f"{''.join(f'<p>{sentence}</p>' for sentence in words)}{table}</div>"
        f"{figure('dilemma', figures.dilemma_figure(results), see, _counted(results))}</div></section>"
    )


def _losses(results: Results, hard: Results | None) -> str:
    """The loss without a temperature, and both with the hardest negatives alone; nothing where not asked."""
    if hard is None:
        return ""
    alone = f"hardest {100 * hard.config['hardest']:g} %"
    taus = list(results.by_temperature())
    words, rows = [], []
    for metric in uses(results):
        found = {
            name: {tau: float(np.mean(values)) for tau, values in by_tau.items()}
            for name, by_tau in figures.four_losses(results, hard, metric).items()
        }
        for kind, negatives in (("", "all"), ("hard ", alone)):
            means = found[f"{kind}contrastive"] | found[f"{kind}simple"]
            cells = "".join(f"<td>{plain(means[tau])}</td>" for tau in (*taus, None))
            rows.append(
                f'<tr><th scope="row">{text(figures.USES[metric])}</th><td>{negatives}</td>{cells}</tr>'
            )
        of_all, of_hardest = (
            max(found[name].values()) - min(found[name].values())
            for name in ("contrastive", "hard contrastive")
        )
        if len(taus) > 1:
            words.append(
                f"<li>For the {text(figures.USES[metric])}, accuracy differs by {of_all:.1f} points from τ "
                f"to τ, with the hardest negatives alone by {of_hardest:.1f}.</li>"
            )
    see = (
        "Whether the curve of the hardest negatives is the flatter one: where they are chosen by their "
        "hardness already, τ has less to do. Dots are single runs, lines their means; the simple losses "
        "have no τ and run across."
    )
    heads = ("use", "negatives", *(f"τ = {t:g}" for t in taus), "simple, no τ")
    return (
        '<section><h2>Four losses</h2><div class="columns wide"><div>'
        "<p>The contrastive loss weighs an anchor’s negatives by τ. The simple loss, its limit as τ rises, "
        f"pushes all alike. Both again with the {alone} of the negatives alone (Wang &amp; Liu 2021).</p>"
        f"<ul>{''.join(words)}</ul></div>"
        f"{figure('losses', figures.losses_figure(results, hard), see, _counted(results))}</div>"
        "<h3>On validation images (%), means over seeds</h3>"
        f"{rows_table(heads, ''.join(rows))}</section>"
    )


def _rules(results: Results) -> str:
    rows = beside_fixed(results)
    if not rows:
        return ""
    uses = {metric: use for use, metric in METRIC_NAMES.items()}
    fixed = {row.metric: row.fixed for row in rows}
    head = ("rule", "τ at the end", *(f"{uses[m]} (τ = {t:g})" for m, t in fixed.items()))
    body = []
    for rule, runs in results.by_rule().items():
        ended = plain(float(np.mean([run.temperature for run in runs])))
        cells = [f"<td>{'none' if rule == SIMPLE else ended}</td>"]
        cells += [
            f'<td class="{row.verdict}">{row.in_points}</td>' for row in rows if row.rule == rule
        ]
        body.append(f'<tr><th scope="row">{text(rule)}</th>{"".join(cells)}</tr>')
    return (
        "<section><h2>Rules beside the best fixed temperature</h2>"
        "<p>Test accuracy under each rule less that at the fixed temperature which validation images chose "
        "for the same use, in percentage points: mean over seeds, which are paired, ± standard error. The "
        "budget is the same. <strong>Bold</strong> is more than two standard errors.</p>"
        f"{rows_table(head, ''.join(body))}</section>"
    )


def _tables(results: Results, sweeps: dict[int, Results]) -> str:
    parts = []
    if results.data.classes:
        parts.append(
            "<h3>Accuracy on test images (%)</h3>"
            "<p>Mean over seeds ± standard deviation. Test images were never used to choose.</p>"
            + accuracy_table(results)
        )
    parts.append(
        "<h3>The space, on validation images</h3><p>Means over seeds, of the projection.</p>"
        + geometry_table(results)
    )
    if len(sweeps) > 1:
        parts.append(
            "<h3>By epochs of training, on validation images</h3><p>Means over seeds, as in the maps.</p>"
            + _budgets_table(sweeps)
        )
    return f"<section><h2>All figures</h2>{''.join(parts)}</section>"


def _budgets_table(sweeps: dict[int, Results]) -> str:
    longest = sweeps[max(sweeps)]
    rows = "".join(
        f'<tr><th scope="row">{text(figures.USES[metric])}</th><td>{epochs}</td>'
        + "".join(f"<td>{plain(value)}</td>" for value in means(results, metric))
        + "</tr>"
        for metric in uses(longest)
        for epochs, results in sweeps.items()
    )
    return rows_table(("use", "epochs", *(f"τ = {t:g}" for t in longest.by_temperature())), rows)


def _method(results: Results) -> str:
    config = SweepConfig.model_validate(results.config)
    data = results.data
    seconds = sum(run.seconds for run in (*results.runs, *results.rules))
    classes = f", {len(data.classes)} classes" if data.classes else ", no labels"
    facts = [
        f"Data: {data.name}, {data.size} × {data.size}, {data.channels} "
        f"channel{'s' if data.channels > 1 else ''}{classes}. {data.train} images train "
        f"({'with their' if config.method == 'supcon' else 'without'} labels), {data.validation} choose τ "
        f"(validation), {data.test} are only reported (test).",
        f"Training: {loss_in_words(config)}; augmented views in batches of {config.batch_size}, epochs: "
        f"{config.epochs}, {OPTIMIZERS[config.optimizer]}",
        f"Runs: {len(config.temperatures)} temperatures × {config.seeds} seeds, {seconds / 60:.1f} minutes "
        "of one core in all.",
        ("Curves: smoothing splines" if len(config.temperatures) > 4 else "Curves: straight lines")
        + " over log τ. Intervals: 1,000 bootstrap samples over seeds and validation images.",
    ]
    if data.classes:
        facts.insert(
            2,
            "Heads, all on frozen embeddings: kNN by cosine with 20 neighbours; multinomial logistic "
            "regression on standardised values; nearest class mean of five images a class, 20 draws. Raw "
            "pixels and the encoder before training get the same heads and the same splits.",
        )
    return method(results, facts, "each extractor is under members/")


def _counted(results: Results) -> str:
    seeds = results.config["seeds"]
    return (
        f"{seeds} seed{'s' * (seeds != 1)} at each of {len(results.by_temperature())} τ, "
        f"{results.data.validation:,} validation images."
    )
