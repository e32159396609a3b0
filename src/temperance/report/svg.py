"""Charts as SVG text: pure functions, no script, coloured by the properties of ``chart.css``.

A chart is 560 units wide with type of 15, so that it can shrink to a telephone's 350 pixels and
still be read. A colour is the name of a custom property without its dashes: ``"series-1"``,
``"heat-3"``, ``"muted"``. Numbers that are not finite leave a gap. What a chart was drawn from stands
in its ``<metadata>`` as CSV.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from temperance.report import _drawing as draw
from temperance.report._drawing import EDGE, LINE, SHAPES, WIDTH, Scale
from temperance.report._drawing import Axis as Axis
from temperance.report.page import asset, text

_BINS = 96
COLOURS = 8
STRIP = 54.0  # the height of a row of a heat map
LEGEND = 16  # a longer legend would bury the map; the points still say their names under a pointer
LONGEST_NAME = 24


@dataclass(frozen=True)
class Band:
    """A shaded region around a series, such as an interval: one pair per point of the series."""

    lower: Sequence[float]
    upper: Sequence[float]


@dataclass(frozen=True)
class Series:
    """A line through points, with the band around it and the single runs that it summarises."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str = "series-1"
    band: Band | None = None
    seeds: Sequence[tuple[float, float]] = ()
    points: bool = True


@dataclass(frozen=True)
class Reference:
    """A horizontal line to compare with, such as a baseline, named at its right end."""

    name: str
    y: float
    colour: str = "muted"


@dataclass(frozen=True)
class Mark:
    """A vertical line at one x, such as the recommended temperature, and the interval around it."""

    label: str
    x: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Panel:
    """One plot: its vertical axis and what is drawn in it."""

    y: Axis
    series: Sequence[Series]
    references: Sequence[Reference] = ()
    mark: Mark | None = None


@dataclass(frozen=True)
class Outline:
    """A sample of numbers whose distribution is drawn as an outline."""

    name: str
    values: Sequence[float]
    colour: str = "series-1"


@dataclass(frozen=True)
class Group:
    """The points of one class on a map."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str = "series-1"


@dataclass(frozen=True)
class Strip:
    """A row of a heat map: a value at each x, and where on the axis the row is best."""

    name: str
    values: Sequence[float]
    best: float | None = None
    interval: tuple[float, float] | None = None


def series_colour(index: int) -> str:
    """Name a colour for the index-th of several series that have no order."""
    return f"series-{index % COLOURS + 1}"


def heat_colour(index: int, count: int) -> str:
    """Name a colour for the index-th of ``count`` temperatures in rising order: cold to hot."""
    return f"heat-{1 + round(7 * index / max(count - 1, 1))}"


def line_chart(title: str, description: str, x: Axis, *panels: Panel) -> str:
    """Draw series over one horizontal axis, in one plot or in several stacked ones.

    Args:
        title: Name of the chart for those who hear it; the page's caption is for those who see it.
        description: What the chart shows, in a sentence, for those who hear it.
        x: The horizontal axis, common to all panels.
        panels: The plots, from top to bottom.
    """
    series = [s for panel in panels for s in panel.series]
    names = list(dict.fromkeys(s.name for s in series))
    shapes = {name: i % len(SHAPES) for i, name in enumerate(names)}
    entries = [(s.name, s.colour, shapes[s.name] if s.points else None) for s in series if s.name]
    legend, top = draw.legend(dict.fromkeys(entries))
    height = 270.0 if len(panels) == 1 else 175.0
    ys = []
    for panel in panels:
        top += (
            LINE + EDGE + (LINE if panel.mark else 0)
        )  # for the panel's name and its mark's label
        ys.append(replace(draw.fit(panel.y, _heights(panel)), start=top + height, end=top))
        top += height + 12
    bottom = ys[-1].start
    left = 12 + max(draw.extent(draw.number(t)) for y in ys for t in y.ticks())
    right = max([EDGE, *(draw.extent(r.name) for panel in panels for r in panel.references)])
    across = [v for s in series for v in [*s.x, *(seed[0] for seed in s.seeds)]]
    xs = replace(draw.fit(x, across), start=left, end=WIDTH - right - 18)
    parts = [legend]
    for panel, y in zip(panels, ys, strict=True):
        above = LINE if panel.mark else 0.0
        parts.append(draw.label(EDGE, y.end - 14 - above, panel.y.title, "muted"))
        parts.append(_panel(panel, xs, y, shapes))
    parts.append(draw.horizontal_axis(xs, bottom, x.title))
    columns = ("panel", "series", "kind", x.title, "value", "low", "high")
    numbers = draw.table(columns, (row for panel in panels for row in _rows(panel)))
    return draw.drawing(title, description, bottom + 2 * LINE + EDGE, parts, numbers)


def density_chart(
    title: str, description: str, x: Axis, rows: Sequence[tuple[str, Sequence[Outline]]]
) -> str:
    """Draw distributions as smoothed outlines, in named rows over one horizontal axis.

    Each outline has the same area, however many values it has. Outlines of one row share its height
    scale; rows do not, so that a narrow distribution does not flatten the others. Outlines with a name are
    listed in a legend. Values beyond the axis are left out.
    """
    outlines = [outline for _, row in rows for outline in row]
    legend, top = draw.legend(dict.fromkeys((o.name, o.colour, None) for o in outlines if o.name))
    pitch = max(36.0, 240.0 / len(rows))
    peak = pitch * (1.2 if len(rows) > 1 else 0.95)  # rows may reach into the row above
    left = 2 * EDGE + max(draw.extent(name) for name, _ in rows)
    across = draw.fit(x, [v for o in outlines for v in o.values])
    across = replace(across, start=left, end=WIDTH - 18)
    bottom = top + EDGE + peak + pitch * (len(rows) - 1)
    parts = [legend, draw.vertical_grid(across, bottom, top + EDGE)]
    width = (across.high - across.low) / _BINS
    numbers: list[tuple[str, str, float, float]] = []
    for i, (name, row) in enumerate(reversed(rows)):
        base = bottom - pitch * i
        curves = [_density(outline.values, across) for outline in row]
        parts.append(draw.label(left - EDGE, base - 3, name, anchor="end"))
        # Lower rows stand in front of upper ones.
        parts.insert(2, _outlines(row, curves, across, base, peak))
        numbers += [
            (name, outline.name, across.low + width * (k + 0.5), 100 * float(share))
            for outline, curve in zip(row, curves, strict=True)
            for k, share in enumerate(curve)
        ]
    parts.append(draw.horizontal_axis(across, bottom, x.title))
    columns = ("row", "outline", x.title, f"share (% in each {width:.3g}), smoothed")
    table = draw.table(columns, numbers)
    return draw.drawing(title, description, bottom + 2 * LINE + EDGE, parts, table)


def scatter_chart(
    title: str, description: str, groups: Sequence[Group], *, letters: bool = False
) -> str:
    """Draw a map of points, coloured by group, one unit as long across as up.

    Args:
        title: Name of the chart for those who hear it.
        description: What the chart shows, in a sentence, for those who hear it.
        groups: The classes.
        letters: Write each point as its group's name, such as a letter, in place of the legend.
    """
    # Shapes change only when the colours begin again, so that no two of 32 groups look alike.
    shapes = {group.name: i // COLOURS % len(SHAPES) for i, group in enumerate(groups)}
    named = not letters and len(groups) <= LEGEND
    entries = [(_shortened(g.name), g.colour, shapes[g.name]) for g in groups if named]
    legend, top = draw.legend(entries)
    x = draw.fit(Axis("across"), [v for g in groups for v in g.x])
    y = draw.fit(Axis("up"), [v for g in groups for v in g.y])
    side = WIDTH - 2 * EDGE
    unit = side / max(x.high - x.low, y.high - y.low)
    frame = f'<rect class="grid" x="{EDGE:g}" y="{top:.1f}" width="{side:g}" height="{side:g}"/>'
    parts = [legend, frame]
    for group in groups:
        for right, up in zip(group.x, group.y, strict=True):
            if math.isfinite(right + up):
                a = WIDTH / 2 + (right - (x.low + x.high) / 2) * unit
                b = top + side / 2 - (up - (y.low + y.high) / 2) * unit
                shape = None if letters else shapes[group.name]
                parts.append(_place(group, a, b, shape))
    rows = [(g.name, a, b) for g in groups for a, b in zip(g.x, g.y, strict=True)]
    numbers = draw.table(("group", "across", "up"), rows)
    return draw.drawing(title, description, top + side + EDGE, parts, numbers)


def heat_chart(
    title: str,
    description: str,
    x: Axis,
    y: str,
    heat: str,
    places: Sequence[float],
    strips: Sequence[Strip],
) -> str:
    """Draw a map of values, a row over another, with the ridge: where each row is best, and its interval.

    Columns meet halfway between their places. Every cell says its value, unless one is too narrow for that.

    Args:
        title: Name of the chart for those who hear it.
        description: What the chart shows, in a sentence, for those who hear it.
        x: The horizontal axis.
        y: What the rows differ in.
        heat: What the colours stand for, unit included.
        places: Of the columns on the horizontal axis, rising.
        strips: The rows, from bottom to top.
    """
    values = [v for strip in strips for v in strip.values if math.isfinite(v)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    figures = {v: f"{v:.{1 if high >= 10 else 3}f}".replace("-", "−") for v in [*values, low, high]}
    legend, top = draw.heat_legend(figures[low], figures[high], heat)
    left = EDGE + max([draw.extent(y), *(2 * EDGE + draw.extent(strip.name) for strip in strips)])
    edges = _between(places, x.log)
    xs = Scale(edges[0], edges[-1], x.log, left, WIDTH - EDGE)
    sides = [xs(edge) for edge in edges]
    roomy = min(b - a for a, b in pairwise(sides)) > max(map(draw.extent, figures.values()))
    top += LINE
    bottom = top + STRIP * len(strips)
    parts = [legend, draw.label(left - EDGE, top - EDGE, y, "muted", "end")]
    for i, strip in enumerate(strips):
        base = bottom - STRIP * i
        parts.append(draw.label(left - EDGE, base - STRIP / 2 + 5, strip.name, "muted", "end"))
        for value, place, (a, b) in zip(strip.values, places, pairwise(sides), strict=True):
            if math.isfinite(value):
                share = (value - low) / (high - low) if high > low else 1.0
                name = f"{figures[value]} at {draw.number(place)}, {strip.name}"
                parts.append(draw.cell(a, base - STRIP, b - a, STRIP, share, name))
    parts.append(_ridge(strips, xs, bottom))
    for i, strip in enumerate(strips):
        for value, (a, b) in zip(strip.values, pairwise(sides), strict=True):
            if roomy and math.isfinite(value):
                height = bottom - STRIP * i - STRIP / 2 - 4
                parts.append(draw.label((a + b) / 2, height, figures[value], anchor="middle"))
    parts.append(draw.named_axis(xs, places, bottom, x.title))
    rows = (row for strip in strips for row in _cells(strip, places))
    numbers = draw.table((y, "kind", x.title, heat), rows)
    return draw.drawing(title, description, bottom + 2 * LINE + EDGE, parts, numbers)


def standalone(chart: str) -> str:
    """Make a chart a file of its own: with its style sheet, both themes, and a natural size."""
    size = re.search(r'viewBox="0 0 (\d+) (\d+)"', chart)
    if size is None:
        raise ValueError("this is not a chart of this module: it has no viewBox")
    sized = chart.replace("<svg ", f'<svg width="{size[1]}" height="{size[2]}" ', 1)
    return sized.replace(">", f"><style>{asset('chart.css')}</style>", 1) + "\n"


def _cells(strip: Strip, places: Sequence[float]) -> Iterator[tuple[str, str, float, float]]:
    """What a row of a heat map shows, for its table."""
    for place, value in zip(places, strip.values, strict=True):
        yield strip.name, "cell", place, value
    if strip.best is not None:
        yield strip.name, "best", strip.best, math.nan
    for kind, end in zip(("from", "to"), strip.interval or (), strict=False):
        yield strip.name, kind, end, math.nan


def _between(places: Sequence[float], log: bool) -> list[float]:
    """The edges of columns: halfway to the next, and as far out beyond the first and the last."""
    at = np.log(places) if log else np.asarray(places, dtype=np.float64)
    half = np.diff(at) / 2 if len(at) > 1 else np.array([0.5])
    edges = [at[0] - half[0], *(at[:-1] + half if len(at) > 1 else ()), at[-1] + half[-1]]
    return [float(edge) for edge in (np.exp(edges) if log else edges)]


def _ridge(strips: Sequence[Strip], x: Scale, bottom: float) -> str:
    """Draw the best of each row with its interval, and join them up from row to row."""
    points, marks = [], []
    for i, strip in enumerate(strips):
        height = bottom - STRIP * i - STRIP / 4
        if strip.interval:
            ends = [x(min(max(v, x.low), x.high)) for v in strip.interval]
            marks.append(draw.rule(ends[0], height, ends[1], height, "whisker"))
        points.append((math.nan if strip.best is None else x(strip.best), height))
        if strip.best is not None:
            name = f"best {draw.number(strip.best)}, {strip.name}"
            marks.append(draw.point(*points[-1], 0, "accent", name))
    return f'<path class="ridge" d="{draw.track(points)}"/>{"".join(marks)}'


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _heights(panel: Panel) -> list[float]:
    """Collect every value that a panel's vertical axis has to hold."""
    values = [reference.y for reference in panel.references]
    for s in panel.series:
        values += [*s.y, *(seed[1] for seed in s.seeds)]
        values += [*s.band.lower, *s.band.upper] if s.band else []
    return values


def _rows(panel: Panel) -> Iterable[tuple[str | float, ...]]:
    """What a panel is drawn from, row by row: lines, single runs, references, and the mark."""
    title, none = panel.y.title, math.nan
    for s in panel.series:
        lower, upper = (
            (s.band.lower, s.band.upper) if s.band else ([none] * len(s.x), [none] * len(s.x))
        )
        for point in zip(s.x, s.y, lower, upper, strict=True):
            yield title, s.name, "line", *point
        for x, y in s.seeds:
            yield title, s.name, "single", x, y, none, none
    for reference in panel.references:
        yield title, reference.name, "reference", none, reference.y, none, none
    if panel.mark:
        ends = panel.mark.interval or ()
        for kind, x in zip(("mark", "from", "to"), (panel.mark.x, *ends), strict=False):
            yield title, panel.mark.label, kind, x, none, none, none


def _panel(panel: Panel, x: Scale, y: Scale, shapes: dict[str, int]) -> str:
    parts = [
        draw.vertical_grid(x, y.start, y.end),
        draw.horizontal_grid(x, y),
        *(_series(s, x, y, shapes[s.name]) for s in panel.series),
        _references(panel.references, x, y),
        _mark(panel.mark, x, y) if panel.mark else "",
    ]
    return "".join(parts)


def _series(series: Series, x: Scale, y: Scale, shape: int) -> str:
    """Draw band, line, seeds and points; lines end at the plot's edge, points beyond it go."""
    lines = ""
    if series.band:
        band = series.band
        upper = [(x(a), y(b)) for a, b in zip(series.x, band.upper, strict=True)]
        lower = [(x(a), y(b)) for a, b in zip(series.x, band.lower, strict=True)]
        edge = [p for p in [*upper, *reversed(lower)] if math.isfinite(sum(p))]
        lines += f'<path class="band" d="{draw.track(edge)}"/>'
    line = draw.track((x(a), y(b)) for a, b in zip(series.x, series.y, strict=True))
    lines += f'<path class="line" d="{line}"/>'
    dots = [
        f'<circle class="seed" cx="{x(a):.1f}" cy="{y(b):.1f}" r="3"/>'
        for a, b in series.seeds
        if x.holds(a) and y.holds(b)
    ]
    for a, b in zip(series.x, series.y, strict=True):
        if series.points and x.holds(a) and y.holds(b):
            name = f"{series.name} {draw.number(b)} at {draw.number(a)}"
            dots.append(draw.point(x(a), y(b), shape, series.colour, name))
    return f"<g {draw.colour(series.colour)}>{_clipped(lines, x, y)}{''.join(dots)}</g>"


def _clipped(content: str, x: Scale, y: Scale) -> str:
    """Cut a drawing at the plot's edge; a nested element does so without an id to keep unique."""
    width, height = x.end - x.start, y.start - y.end
    return (
        f'<svg x="{x.start:.1f}" y="{y.end:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'viewBox="{x.start:.1f} {y.end:.1f} {width:.1f} {height:.1f}">{content}</svg>'
    )


def _references(references: Iterable[Reference], x: Scale, y: Scale) -> str:
    shown = sorted((r for r in references if y.holds(r.y)), key=lambda r: -r.y)
    places = draw.spread([y(r.y) for r in shown], 18.0, y.end, y.start)
    parts = []
    for reference, place in zip(shown, places, strict=True):
        height = y(reference.y)
        line = draw.rule(x.start, height, x.end, height, "reference")
        leader = draw.rule(x.end, height, x.end + 11, place, "leader")
        name = draw.label(x.end + 14, place + 5, reference.name, "label")
        parts.append(f"<g {draw.colour(reference.colour)}>{line}{leader}{name}</g>")
    return "".join(parts)


def _mark(mark: Mark, x: Scale, y: Scale) -> str:
    shade = ""
    if mark.interval:
        low, high = (x(min(max(v, x.low), x.high)) for v in mark.interval)
        box = (
            f'x="{low:.1f}" y="{y.end:.1f}" width="{high - low:.1f}" height="{y.start - y.end:.1f}"'
        )
        shade = f'<rect class="interval" {box}/>'
    line = draw.rule(x(mark.x), y.end, x(mark.x), y.start, "mark")
    return shade + line + _mark_label(mark, x, y.end - EDGE)


def _mark_label(mark: Mark, x: Scale, y: float) -> str:
    half = draw.extent(mark.label) / 2
    place, anchor = x(mark.x), "middle"
    if place < half + EDGE:
        place, anchor = EDGE, "start"
    elif place > WIDTH - half - EDGE:
        place, anchor = WIDTH - EDGE, "end"
    return draw.label(place, y, mark.label, "mark-label", anchor)


def _outlines(
    row: Sequence[Outline],
    curves: Sequence[npt.NDArray[np.float64]],
    x: Scale,
    base: float,
    peak: float,
) -> str:
    tallest = max((float(curve.max()) for curve in curves), default=0.0) or 1.0
    across = np.linspace(x.start, x.end, _BINS)
    parts = []
    for outline, curve in zip(row, curves, strict=True):
        ends = (x.start, base), (x.end, base)
        edge = [ends[0], *zip(across, base - curve / tallest * peak, strict=True), ends[1]]
        shape = f'<path class="outline" {draw.colour(outline.colour)} d="{draw.track(edge)}"/>'
        parts.append(shape)
    return "".join(parts)


def _density(values: Sequence[float], x: Scale) -> npt.NDArray[np.float64]:
    """The share of the values in each bin, smoothed with a Gaussian of one and a half bins."""
    numbers = np.asarray(values, dtype=np.float64)
    finite = numbers[np.isfinite(numbers)]
    counts = np.histogram(finite, bins=_BINS, range=(x.low, x.high))[0] / max(len(finite), 1)
    kernel = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    return np.convolve(counts, kernel / kernel.sum(), mode="same")


def _place(group: Group, x: float, y: float, shape: int | None) -> str:
    """Draw one point of a map: a shape, or without one the group's name."""
    if shape is not None:
        return draw.point(x, y, shape, group.colour, group.name)
    ink = draw.colour(group.colour)
    return f'<text class="letter" {ink} x="{x:.1f}" y="{y + 5:.1f}">{text(group.name)}</text>'
