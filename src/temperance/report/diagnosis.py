"""The report of a diagnosis: verdicts, the profile over τ, the state of the space, the hardest negatives."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from temperance.data import read_image
from temperance.diagnosis.results import Curve, Diagnosis, Measure, Verdict
from temperance.report.explorer import explorer_part
from temperance.report.gallery import THUMBNAIL, data_uri
from temperance.report.page import Part, asset, figure, json_block, page, text
from temperance.report.svg import Axis, Band, Mark, Panel, Series, line_chart
from temperance.runs import write_atomic

REPORT = "report.html"
TAU = Axis("temperature τ", log=True)
LEVELS = {
    "warning": ("warning", "look at this"),
    "note": ("note-level", "to know"),
    "good": ("good-level", "as it should be"),
}
FALSE_MASS = ("false_negative_mass", "estimated_false_negative_mass")
# Colours of the outlines of the histogram, and words for those that are references.
INKS = ("series-1", "series-2", "series-4", "series-3", "muted")
LONGEST = 300
COLOURED = '<span class="suspect-word">coloured</span>'


@dataclass(frozen=True, eq=False)
class Shown:
    """What a row of the embeddings looks like, where that is known.

    Attributes:
        pictures: ``(n, channels, size, size)`` bytes, or None.
        files: of pictures, one a row, or None.
        texts: one a row, or None.
    """

    pictures: UInt8[np.ndarray, "n c h w"] | None = None
    files: Sequence[Path] | None = None
    texts: Sequence[str] | None = None

    def picture(self, row: int) -> UInt8[np.ndarray, "c h w"] | None:
        """The picture of a row; None if there is none, or its file cannot be read."""
        if self.pictures is not None:
            return np.asarray(self.pictures[row])
        if self.files is None:
            return None
        found = read_image(self.files[row], THUMBNAIL)
        return None if isinstance(found, str) else found.transpose(2, 0, 1)


def write_diagnosis_report(
    folder: Path, found: Diagnosis, shown: Shown, labels: Sequence[Any] | None
) -> None:
    """Write ``report.html`` into a folder.

    Args:
        folder: exists.
        found: the diagnosis.
        shown: what rows look like.
        labels: of the rows, or None.
    """
    write_atomic(folder / REPORT, diagnosis_page(found, shown, labels, folder.resolve().name))


def diagnosis_page(
    found: Diagnosis, shown: Shown, labels: Sequence[Any] | None, run: str = ""
) -> str:
    """Build the page; ``run`` begins the names of saved figures."""
    sections = [
        _answer(found),
        _profile(found),
        _space(found),
        _hard(found, shown, labels),
        _method(found),
    ]
    title = (
        "What does this temperature do?"
        if found.temperature
        else "Which temperatures suit this space?"
    )
    part = Part("".join(sections), asset("diagnosis.css"), (asset("diagnosis.js"),))
    return page(title, part, explorer_part(), run)


def _answer(found: Diagnosis) -> str:
    s = found.suggestion
    if s is None:
        lead = (
            "No range of temperatures can be read off this space: its vectors lie too close together, its "
            "pairs look shuffled, or the negatives are too few."
        )
    else:
        answer = f'<strong class="answer">τ = {s.low:.2g} to {s.high:.2g}</strong>'
        verb = {"raise": "Raise τ", "lower": "Lower τ", "keep": "τ is about right"}
        doing = "" if s.direction is None else f"{verb[s.direction]}. "
        lead = f"{doing}This space suggests {answer}: a reading of it, and no retraining."
    words = [
        found.headline() + ".",
        *(f"Note: {note}." for note in found.data.notes),
        *found.advice()[1:],
    ]
    items = "".join(_verdict(verdict) for verdict in found.verdicts)
    return (
        f'<section><p class="lead">{lead}</p>{"".join(f"<p>{text(w)}</p>" for w in words)}</section>'
        f'<section><h2>Verdicts</h2><ul class="verdicts">{items}</ul></section>'
    )


def _verdict(verdict: Verdict) -> str:
    kind, word = LEVELS[verdict.level]
    figures = (
        f"value {_figure(verdict.value)}, threshold {_figure(verdict.threshold)}: {verdict.reason}."
    )
    return (
        f'<li class="{kind}"><p class="kind">{word}</p><p>{text(verdict.sentence)}</p>'
        f'<p class="reason">{text(figures)}</p></li>'
    )


def _profile(found: Diagnosis) -> str:
    p = found.profile
    curves, mark = p.curves, _mark(found)
    n = found.data.negatives
    middle = [100 * x / n for x in p.effective_negatives["0.5"]]
    low, high = ([100 * x / n for x in p.effective_negatives[q]] for q in ("0.25", "0.75"))
    effective = Series("", p.temperature, middle, "accent", Band(low, high), points=False)
    tops = [
        _series(f"{k} hardest", p.temperature, curves[f"top{k}"], f"heat-{1 + 3 * i}", 100)
        for i, k in enumerate((1, 10, 100))
    ]
    tops += [
        _series(
            "own class" if name == FALSE_MASS[0] else "suspected false (estimate)",
            p.temperature,
            curves[name],
            "series-3",
            100,
        )
        for name in FALSE_MASS
        if name in curves
    ]
    push = line_chart(
        "How the push is shared out, at each temperature",
        "The lower the temperature, the fewer negatives have the whole push.",
        TAU,
        Panel(
            Axis("effective negatives (% of all): median, and half of the anchors", log=True),
            [effective],
            mark=mark,
        ),
        Panel(Axis("share of the push (%)", low=0, high=100), tops),
    )
    figures = figure(
        "push",
        push,
        "Above: among how many of the negatives the push is shared. Below: what the hardest get of it. "
        "Lines far down on the left mean that a few negatives rule there. Bands below are 95 % intervals of "
        "the mean over anchors; the shaded stretch is the suggested range.",
        _counted(found),
    )
    if "loss" in curves:
        panels = [
            Panel(
                Axis(title),
                [_series("", p.temperature, curves[name], "accent", 1)],
                mark=mark if i == 0 else None,
            )
            for i, (name, title) in enumerate(
                (
                    ("loss", "loss (nats)"),
                    ("pull", "pull on the positive, (1 − P)/τ"),
                    ("slope", "slope of the loss in τ"),
                )
            )
        ]
        chart = line_chart(
            "Loss, pull and slope, at each temperature",
            "Losses at different temperatures cannot be compared: the temperature is a part of the loss.",
            TAU,
            *panels,
        )
        figures += figure(
            "loss",
            chart,
            "What the loss and its forces would be on this space: see where the pull has faded. Losses at "
            "different τ are not comparable: a lower one is no reason to prefer its τ. Bands are 95 % "
            "intervals.",
            _counted(found),
        )
    return (
        f'<section><h2>At every temperature</h2><div class="columns wide">{figures}</div></section>'
    )


def _mark(found: Diagnosis) -> Mark | None:
    s = found.suggestion
    interval = (s.low, s.high) if s else None
    if found.temperature is not None:
        return Mark(f"τ = {found.temperature:.3g}", found.temperature, interval)
    return Mark("middle of the suggested range", math.sqrt(s.low * s.high), interval) if s else None


def _series(name: str, x: list[float], curve: Curve, colour: str, scale: int) -> Series:
    mean, low, high = ([scale * v for v in part] for part in (curve.mean, curve.low, curve.high))
    return Series(name, x, mean, colour, Band(low, high), points=False)


def _space(found: Diagnosis) -> str:
    h = found.histogram
    middles = [(a + b) / 2 for a, b in pairwise(h.edges)]
    lines = []
    for i, (name, shares) in enumerate(h.shares.items()):
        ink = "muted" if "random" in name else INKS[i]
        lines.append(Series(name, middles, [100 * s for s in shares], ink, points=False))
    width = h.edges[1] - h.edges[0]
    chart = line_chart(
        "How similar negatives and positives are, beside random vectors",
        "Where negatives crowd near 1 the space has collapsed.",
        Axis("cosine", low=h.edges[0], high=1),
        Panel(Axis(f"share (% in each {width:.2g} of cosine)", low=0), lines),
    )
    see = (
        f"The grey line is what random vectors of {found.data.width} numbers have; in a collapsed space all "
        "lines crowd at 1. The further positives lie from the hardest negatives, the better instances are "
        "told apart."
    )
    drawn = figure("similarity", chart, see, _counted(found))
    rows = "".join(_measure(measure) for measure in found.measures)
    head = "".join(f'<th scope="col"{c}>{n}</th>' for n, c in _COLUMNS)
    return (
        f'<section><h2>The space</h2>{drawn}<div class="scroll wide" tabindex="0" '
        f'role="region" aria-label="measures of the space"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


_COLUMNS = (
    ("measure", ""),
    ("here", ""),
    ("95 % interval", ""),
    ("random vectors", ""),
    ("collapsed", ""),
    ("published", ""),
    ("what it says", ' class="words"'),
)


def _measure(measure: Measure) -> str:
    figure = measure.figure
    interval = "–"
    if figure.low is not None and figure.high is not None and figure.low < figure.high:
        interval = f"{_figure(figure.low)} to {_figure(figure.high)}"
    published = "–" if measure.published is None else " to ".join(map(_figure, measure.published))
    cells = [
        _figure(figure.value),
        interval,
        *("–" if x is None else _figure(x) for x in (measure.random, measure.collapsed)),
        published,
    ]
    return (
        f'<tr><th scope="row">{text(measure.title)}</th>{"".join(f"<td>{c}</td>" for c in cells)}'
        f'<td class="words">{text(measure.meaning)}</td></tr>'
    )


def _hard(found: Diagnosis, shown: Shown, labels: Sequence[Any] | None) -> str:
    if found.cases[0].negatives[0].false is None:
        known = "Nobody can say which of them belong with the anchor; look for yourself."
    elif found.data.classes:
        known = f"The {COLOURED} ones are of the anchor’s own class: false negatives."
    else:
        known = (
            f"The {COLOURED} ones and their anchor are among each other’s ten nearest, and may be false "
            "negatives: an estimate."
        )
    cases = "".join(_case(i, found, shown, labels) for i in range(len(found.cases)))
    taus = found.profile.temperature
    at = (
        found.temperature
        or (found.suggestion and math.sqrt(found.suggestion.low * found.suggestion.high))
        or 0.1
    )
    data = {
        "temperatures": taus,
        "start": min(range(len(taus)), key=lambda i: abs(math.log(taus[i] / at))),
        "cases": [
            {"log_sum": c.log_sum, "similarities": [n.similarity for n in c.negatives]}
            for c in found.cases
        ],
    }
    return (
        "<section><h2>The hardest negatives</h2><p>Anchors whose push falls most on a few negatives, "
        "suspected false "
        f"ones first, and what each negative gets of it. {known} All of them are in hard_negatives.csv, "
        "to relabel.</p>"
        f'<div class="dial" id="dial" hidden><label for="temperature">Temperature <var>τ</var></label>'
        f'<input type="range" id="temperature" min="0" max="{len(taus) - 1}" step="1">'
        f'<span class="reading" id="temperature-value"></span></div><ul class="cases wide">{cases}</ul>'
        f"{json_block('hard-data', data)}</section>"
    )


def _case(number: int, found: Diagnosis, shown: Shown, labels: Sequence[Any] | None) -> str:
    case = found.cases[number]
    positive = (
        "" if case.positive_similarity is None else f"positive {_figure(case.positive_similarity)}"
    )
    entries = "".join(
        f'<li class="entry{" suspect" * bool(n.false)}">{_row(n.row, shown, labels, n.similarity)}'
        '<span><span class="share"></span><span class="bar"><i></i></span></span></li>'
        for n in case.negatives
    )
    anchor = _row(case.row, shown, labels, None)
    return (
        f'<li><div class="entry anchor-entry">{anchor}<span class="muted">{positive}</span></div>'
        f'<ol data-case="{number}">{entries}</ol></li>'
    )


def _row(row: int, shown: Shown, labels: Sequence[Any] | None, similarity: float | None) -> str:
    label = "" if labels is None or row >= len(labels) else str(labels[row])
    picture = shown.picture(row)
    name = " · ".join(x for x in (label, f"row {row:,}") if x)
    drawn = (
        "<span></span>"
        if picture is None
        else f'<img src="{data_uri(picture)}" alt="{text(name)}">'
    )
    words = [name] if similarity is None else [name, f"cosine {_figure(similarity)}"]
    if shown.texts is not None:
        words.insert(0, shown.texts[row][:LONGEST])
    return f'{drawn}<span class="what">{text(" · ".join(words))}</span>'


def _method(found: Diagnosis) -> str:
    p, d, e = found.profile, found.data, found.environment
    facts = [
        f"{d.anchors:,} of {d.rows:,} rows were sampled as anchors; each met all {d.negatives:,} "
        "negatives. Intervals are "
        "of 95 %, by bootstrap over anchors.",
        f"Sums were taken exactly at {len(p.exact)} temperatures. Between them stands the polynomial that "
        "meets them and "
        f"their first four derivatives; log Σ exp(s/τ) was at most {p.interpolation_error:.1g} off, "
        "measured half-way "
        "at the first 32 anchors.",
        "Random vectors are drawn with as many numbers and rows as the sample. Published ranges are "
        "those of encoders "
        "trained at τ from 0.07 to 1 in Wang and Liu, CVPR 2021, Table 1.",
        f"temperance {e['temperance']}, torch {e['torch']}, {e['threads']} threads, {e['seconds']} s, "
        f"seed {e['seed']}.",
    ]
    if found.suggestion:
        facts.insert(2, f"The suggested range: {found.suggestion.reason}.")
    items = "".join(f"<li>{text(fact)}</li>" for fact in facts)
    return f'<section><h2>How it was read</h2><ul class="small">{items}</ul></section>'


def _counted(found: Diagnosis) -> str:
    d = found.data
    return (
        f"{d.anchors:,} anchors of {d.rows:,} rows, {d.negatives:,} negatives for each; one space."
    )


def _figure(value: float) -> str:
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}").replace("-", "−")
