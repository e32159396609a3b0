"""The page of ``temperance explain``: the temperature made visible, from three scores to a loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from temperance.report.page import asset, json_block, page, text
from temperance.report.svg import Axis, Panel, Series, line_chart
from temperance.runs import write_atomic

_LOGITS = (1.0, 2.0, 3.0)
_NEAR_MISS = (0.0, 2.9, 3.0)
_POSITIVE = 0.8
_PRESETS = (1.0, 0.5, 0.1, 0.07)
_MEASURE = '<span class="value"></span><span class="bar"><i></i></span>'  # the script fills it


@dataclass(frozen=True)
class Row:
    """One softmax cross-entropy, in float64: scores, the right class, the temperature, the loss."""

    logits: tuple[float, ...]
    target: int
    temperature: float
    probabilities: tuple[float, ...]
    loss: float
    undivided_loss: float
    """The loss of the common mistake: the criterion is given the scores, not scores/temperature."""


@dataclass(frozen=True)
class _Negative:
    """A negative of the letter O, and how similar it is to the anchor."""

    name: str
    similarity: float
    kind: str


_NEGATIVES = (
    _Negative("a Q, nearly an O", 0.75, "hard"),
    _Negative("another O, in another font", 0.70, "false"),
    _Negative("a C", 0.45, "medium"),
    _Negative("a G", 0.40, "medium"),
    _Negative("a D", 0.35, "medium"),
    _Negative("a U", 0.20, "medium"),
    _Negative("a T", 0.0, "easy"),
    _Negative("an X", -0.2, "easy"),
    _Negative("an I", -0.3, "easy"),
)


def softmax(logits: Sequence[float], temperature: float) -> tuple[float, ...]:
    """Turn scores into probabilities, ``exp(x/τ) / Σ exp(x/τ)``.

    Example:
        >>> [f"{p:.4f}" for p in softmax([1, 2, 3], temperature=0.5)]
        ['0.0159', '0.1173', '0.8668']
    """
    top = max(logits)
    weights = [math.exp((x - top) / temperature) for x in logits]
    return tuple(w / math.fsum(weights) for w in weights)


def cross_entropy(logits: Sequence[float], target: int, temperature: float) -> float:
    """Minus the logarithm of the target's probability.

    Written with ``log1p`` on the differences to the target's score, so that a tiny loss keeps its
    digits where ``-log(softmax)`` would lose them to cancellation.

    Example:
        >>> f"{cross_entropy([1, 2, 3], target=2, temperature=0.1):.4e}"
        '4.5401e-05'
    """
    gaps = sorted((x - logits[target]) / temperature for x in logits)
    return gaps[-1] + math.log1p(math.fsum(math.exp(gap - gaps[-1]) for gap in gaps[:-1]))


def softmax_table() -> list[Row]:
    """Compute the worked example: three scores, at falling temperatures.

    The right class scores highest (the loss falls with the temperature), then lowest (it rises),
    then second by a hair (it falls, then rises: a near miss, as a hard negative makes it).
    """
    cases = (
        (_LOGITS, 2, (1.0, 0.5, 0.1)),
        (_LOGITS, 0, (1.0, 0.5, 0.1)),
        (_NEAR_MISS, 1, (3.0, 1.0, 0.5, 0.1)),
    )
    return [
        Row(
            logits=logits,
            target=target,
            temperature=temperature,
            probabilities=softmax(logits, temperature),
            loss=cross_entropy(logits, target, temperature),
            undivided_loss=cross_entropy(logits, target, 1.0),
        )
        for logits, target, temperatures in cases
        for temperature in temperatures
    ]


def explain_page() -> str:
    """Build the page: words, worked figures, and controls to turn the temperature oneself."""
    parts = {
        "softmax": _softmax_rows(),
        "losses": _losses_chart(),
        "shares": _shares_chart(),
        "presets": "".join(_preset_button(temperature) for temperature in _PRESETS),
        "classes": "".join(_class_row(i) for i in range(len(_LOGITS))),
        "negatives": "".join(_negative_row(negative) for negative in _NEGATIVES),
    }
    body = asset("explain.html")
    for name, part in parts.items():
        body = body.replace(f"<!-- {name} -->", part)
    data = {
        "positive": _POSITIVE,
        "negatives": [{"similarity": n.similarity, "kind": n.kind} for n in _NEGATIVES],
    }
    return page(
        "What the temperature does",
        body + json_block("explain-data", data),
        script=asset("explain.js"),
        style=asset("explain.css"),
    )


def write_explain(path: Path) -> None:
    """Write the page to a file."""
    write_atomic(path, explain_page())


def _figure(value: float) -> str:
    """Write a probability or a loss: four decimals, or more where those say 0 or 1."""
    if 0 < value < 5e-4:
        mantissa, exponent = f"{value:.4e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.5f}" if 0.9999 < value < 1 else f"{value:.4f}"


def _softmax_rows() -> str:
    """Set the worked example as a table."""
    verdicts: dict[tuple[tuple[float, ...], int], str] = {
        (_LOGITS, 2): "scores highest",
        (_LOGITS, 0): "scores lowest",
    }
    rows = []
    for row in softmax_table():
        scores = ", ".join(f"{x:g}" for x in row.logits)
        verdict = verdicts.get((row.logits, row.target), "a near miss")
        cells = [
            f'<td class="words">[{scores}]</td>',
            f'<td class="words">{row.target} ({verdict})</td>',
            f"<td>{row.temperature:g}</td>",
            f"<td>{'&ensp;'.join(_figure(p) for p in row.probabilities)}</td>",
            f"<td>{_figure(row.loss)}</td>",
            f"<td>{_figure(row.undivided_loss)}</td>",
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join(rows)


def _grid() -> list[float]:
    """Temperatures from 0.02 to 5, evenly spaced on the logarithmic axis."""
    return [0.02 * 250 ** (i / 120) for i in range(121)]


def _losses_chart() -> str:
    taus = _grid()
    cases = (
        ("right class scores lowest", _LOGITS, 0),
        ("near miss", _NEAR_MISS, 1),
        ("right class scores highest", _LOGITS, 2),
    )
    colours = ("bad", "series-6", "good")
    series = [
        Series(name, taus, [cross_entropy(x, y, t) for t in taus], colour, points=False)
        for (name, x, y), colour in zip(cases, colours, strict=True)
    ]
    return line_chart(
        "Loss against temperature for three cases",
        "As the temperature falls the loss falls to zero where the right class scores highest, "
        "rises without bound where it scores lowest, and for a near miss falls and then rises.",
        Axis("temperature τ", log=True, low=0.02, high=5),
        Panel(Axis("loss", low=0, high=5), series),
    )


def _shares_chart() -> str:
    taus = _grid()
    shares = [softmax([n.similarity for n in _NEGATIVES], t) for t in taus]
    shown = ((0, "series-2"), (1, "series-4"), (2, "series-1"), (7, "series-3"))
    series = [
        Series(_NEGATIVES[i].name, taus, [100 * r[i] for r in shares], colour, points=False)
        for i, colour in shown
    ]
    return line_chart(
        "Share of the push against temperature for four of nine negatives",
        "At a low temperature the hardest negative has nearly all of the push; "
        "at a high one every negative has the same ninth.",
        Axis("temperature τ", log=True, low=0.02, high=5),
        Panel(Axis("share of the push (%)", low=0, high=100), series),
    )


def _preset_button(temperature: float) -> str:
    return (
        f'<button type="button" data-temperature="{temperature:g}" '
        f'aria-label="τ = {temperature:g}">{temperature:g}</button>'
    )


def _class_row(index: int) -> str:
    return (
        f'<tr><th scope="row">{index}</th>'
        f'<td><input type="number" min="-100" max="100" step="0.1" '
        f'aria-label="score of class {index}"></td>'
        f'<td><input type="radio" name="target" aria-label="class {index} is right"></td>'
        f"<td>{_MEASURE}</td></tr>\n"
    )


def _negative_row(negative: _Negative) -> str:
    kind = f"{negative.kind} negative" if negative.kind == "false" else negative.kind
    similarity = f"{negative.similarity:.2f}".replace("-", "−")
    return (
        f'<tr class="{negative.kind}"><th scope="row">{text(negative.name)} '
        f'<span class="kind">{kind}</span></th>'
        f"<td>{similarity}</td><td>{_MEASURE}</td><td>{_MEASURE}</td></tr>\n"
    )
