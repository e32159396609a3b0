"""What every chart is drawn with: scales, labels, lines, the legend and the grid."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from temperance.report.page import text

WIDTH = 560.0
LINE = 21.0  # from one line of text to the next
EDGE = 8.0  # left free beside whatever stands at the border
SHAPES = (  # around the origin; shape tells series apart where colour cannot
    "M-4.6 0a4.6 4.6 0 1 0 9.2 0a4.6 4.6 0 1 0-9.2 0z",
    "M-4.2-4.2h8.4v8.4h-8.4z",
    "M0-5.6L5.4 4.2H-5.4z",
    "M0-5.8L5.8 0L0 5.8L-5.8 0z",
)


@dataclass(frozen=True)
class Axis:
    """What an axis is called, unit included, and what it spans; by default what the data span."""

    title: str
    log: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Scale:
    """Where a value lies on the drawing, in one direction."""

    low: float
    high: float
    log: bool
    start: float = 0.0
    end: float = 1.0

    def __call__(self, value: float) -> float:
        """Place a value; one that is not finite has no place and becomes NaN."""
        if not math.isfinite(value):
            return math.nan
        place = math.log if self.log else float
        low, high = place(self.low), place(self.high)
        return self.start + (self.end - self.start) * (place(value) - low) / (high - low)

    def holds(self, value: float) -> bool:
        """Whether the value can be shown at all."""
        return math.isfinite(value) and self.low <= value <= self.high

    def ticks(self) -> list[float]:
        """Round values inside the scale: 0.03, 0.1, 0.3 when it is logarithmic."""
        if self.log:
            decades = math.log10(self.high / self.low)
            steps = (1, 2, 5) if decades < 1.3 else (1, 3) if decades < 4 else (1,)
            powers = range(math.floor(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            ticks = [float(f"{step}e{power}") for power in powers for step in steps]
            ticks = [tick for tick in ticks if self.low <= tick <= self.high]
            if len(ticks) > 1:
                return ticks
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = min(
            (power, 2 * power, 5 * power, 10 * power), key=lambda s: abs(math.log(s / rough))
        )
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [float(f"{i * step:.10g}") for i in range(first, last + 1)]


def drawing(title: str, description: str, height: float, parts: Iterable[str], numbers: str) -> str:
    """Close a chart into one SVG element that a screen reader announces as one picture.

    Args:
        title: said first.
        description: said after it.
        height: in units of the drawing.
        parts: what is drawn.
        numbers: what it was drawn from, as ``table`` writes it; the chart carries them along.
    """
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" '
        f'viewBox="0 0 {WIDTH:.0f} {height:.0f}"><title>{text(title)}</title>'
        f"<desc>{text(description)}</desc><metadata>{text(numbers)}</metadata>{''.join(parts)}</svg>"
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str | float]]) -> str:
    """Write numbers as CSV, in all their digits; those that are not finite stay empty.

    Example:
        >>> print(table(("series", "value"), [("a, b", 0.1), ("c", math.nan)]), end="")
        series,value
        "a, b",0.1
        c,
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([v if isinstance(v, str) or math.isfinite(v) else "" for v in row])
    return out.getvalue()


def fit(axis: Axis, values: Iterable[float]) -> Scale:
    """Span the finite values with a little room, or what the axis says."""
    finite = [float(v) for v in values if math.isfinite(v)]
    low, high = min(finite, default=1.0), max(finite, default=1.0)
    if axis.log:
        if low <= 0:
            raise ValueError(f"{axis.title}: a logarithmic axis shows positive values only")
        factor = max((high / low) ** 0.04, 1.05)
        low, high = low / factor, high * factor
    else:
        room = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
        low, high = low - room, high + room
    low = low if axis.low is None else axis.low
    high = high if axis.high is None else axis.high
    return Scale(low, high, axis.log)


def number(value: float) -> str:
    """Write a tick or a point's value."""
    return f"{value:.5g}".replace("-", "−")


def extent(content: str) -> float:
    """Estimate how wide a line of text is, for the widest of the usual fonts and a bold face."""
    narrow, wide = "fijlrtI .,:;|()'", "mw%@"
    return sum(5.5 if c in narrow else 12.0 if c in wide or c.isupper() else 9.5 for c in content)


def colour(name: str) -> str:
    """Make a custom property the colour of an element and of all inside it."""
    return f'style="--c:var(--{text(name)})"'


def label(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    """Write text."""
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind} text-anchor="{anchor}">{text(content)}</text>'


def rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Draw a straight line."""
    return f'<path class="{kind}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'


def track(points: Iterable[tuple[float, float]]) -> str:
    """Join the finite points to path data; a gap in the numbers is a gap in the line."""
    commands, move = [], True
    for x, y in points:
        finite = math.isfinite(x + y)
        if finite:
            commands.append(f"{'M' if move else 'L'}{x:.1f} {y:.1f}")
        move = not finite
    return "".join(commands)


def point(x: float, y: float, shape: int, ink: str, name: str) -> str:
    """Draw one point; its name shows when a pointer rests on it."""
    return (
        f'<path class="dot" {colour(ink)} transform="translate({x:.1f} {y:.1f})" '
        f'd="{SHAPES[shape]}"><title>{text(name)}</title></path>'
    )


def legend(entries: Iterable[tuple[str, str, int | None]]) -> tuple[str, float]:
    """Name the colours in as many lines as they need; returns the drawing and where it ends."""
    parts, x, y = [], EDGE, 16.0
    for name, ink, shape in entries:
        width = 29 + extent(name)
        if x > EDGE and x + width > WIDTH:
            x, y = EDGE, y + LINE
        parts.append(f"<g {colour(ink)}>{rule(x, y - 5, x + 22, y - 5, 'line')}</g>")
        if shape is not None:
            parts.append(point(x + 11, y - 5, shape, ink, name))
        parts.append(label(x + 29, y, name))
        x += width + 14
    return "".join(parts), y + EDGE if parts else 2.0


def cell(x: float, y: float, width: float, height: float, share: float, name: str) -> str:
    """Draw a field of a heat map, from none of the heat to all of it; its name shows under a pointer."""
    box = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    heat = f'<rect class="cell" style="--v:{share:.2f}" {box}><title>{text(name)}</title></rect>'
    return f'<rect class="ground" {box}/>{heat}'


def heat_legend(low: str, high: str, title: str) -> tuple[str, float]:
    """Show the colours of a heat map between its lowest and its highest value; and where that ends."""
    steps, width = 12, 12.0
    start = 2 * EDGE + extent(low)
    end = start + steps * width
    shares = [i / (steps - 1) for i in range(steps)]
    bar = [cell(start + i * width, 6, width, 12, v, title) for i, v in enumerate(shares)]
    bar.append(label(start - EDGE, 17, low, "muted", "end"))
    bar.append(label(end + EDGE, 17, f"{high}  {title}", "muted"))
    return "".join(bar), LINE + EDGE


def vertical_grid(x: Scale, bottom: float, top: float) -> str:
    """Draw a faint line up from every tick of the horizontal axis."""
    return "".join(rule(x(t), bottom, x(t), top, "grid") for t in x.ticks())


def horizontal_grid(x: Scale, y: Scale) -> str:
    """Draw a faint line across from every tick of the vertical axis, and the tick's number."""
    lines = [
        rule(x.start, y(t), x.end, y(t), "grid")
        + label(x.start - EDGE, y(t) + 5, number(t), "muted", "end")
        for t in y.ticks()
    ]
    return "".join(lines)


def horizontal_axis(x: Scale, bottom: float, title: str) -> str:
    """Draw the horizontal axis with its numbers and its name."""
    ticks = [label(x(t), bottom + 19, number(t), "muted", "middle") for t in x.ticks()]
    name = label((x.start + x.end) / 2, bottom + 19 + LINE, title, "muted", "middle")
    return rule(x.start, bottom, x.end, bottom, "axis") + "".join(ticks) + name


def named_axis(x: Scale, places: Sequence[float], bottom: float, title: str) -> str:
    """Draw the horizontal axis with the numbers of given places, as many as have room."""
    taken, parts = -math.inf, []
    for place in places:
        half = extent(number(place)) / 2
        if x(place) - half > taken:
            parts.append(label(x(place), bottom + 19, number(place), "muted", "middle"))
            taken = x(place) + half + EDGE
    name = label((x.start + x.end) / 2, bottom + 19 + LINE, title, "muted", "middle")
    return rule(x.start, bottom, x.end, bottom, "axis") + "".join(parts) + name


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move rising places apart until a gap lies between them, inside the range while they fit.

    Example:
        >>> spread([10.0, 11.0, 50.0], gap=18.0, low=0.0, high=60.0)
        [10.0, 28.0, 50.0]
    """
    result: list[float] = []
    for place in places:
        result.append(max(place, result[-1] + gap if result else low))
    limit = max(high, low + gap * (len(result) - 1))
    for i in reversed(range(len(result))):
        result[i] = min(result[i], limit)
        limit = result[i] - gap
    return result
