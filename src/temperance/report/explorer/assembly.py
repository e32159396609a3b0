"""The explorer set together: hand-written HTML, CSS and JavaScript, the words, and a cloud of embeddings."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

from temperance.report.cloud import Cloud
from temperance.report.explorer.worked import LOGITS, Row, softmax_table
from temperance.report.page import Part, asset, json_block, page, text
from temperance.runs import write_atomic

# In this order: each knows those before it.
_SCRIPTS = (
    "words",
    "figures",
    "mathematics",
    "drawing",
    "scores",
    "anchor",
    "training",
    "embeddings",
    "explorer",
)
_PRESETS = ("0.05", "0.07", "0.1", "0.2", "0.5", "1", "5")
_LANGUAGES = {"en": "English", "zh": "中文"}
# What anchor.js moves about, in its order: the name in words.json, the letter, the kind.
_LETTERS = (
    ("positive", "O", "positive"),
    ("q", "Q", "hard"),
    ("o", "O", "false"),
    ("c", "C", "medium"),
    ("g", "G", "medium"),
    ("d", "D", "medium"),
    ("t", "T", "easy"),
    ("x", "X", "easy"),
    ("i", "I", "easy"),
)


def explorer_page(cloud: Cloud | None = None) -> str:
    """Build the page: one τ, moved by hand, over a softmax, an anchor, a training and one's own space.

    Args:
        cloud: embeddings to explore; without them the page says how to give some.
    """
    return page("What the temperature does", _part(cloud, whole=True))


def explorer_part(cloud: Cloud | None = None) -> Part:
    """Build the same as a tab of a report."""
    return _part(cloud, whole=False)


def write_explorer(path: Path, cloud: Cloud | None = None) -> None:
    """Write the page to a file."""
    write_atomic(path, explorer_page(cloud))


def _part(cloud: Cloud | None, *, whole: bool) -> Part:
    parts = {
        "presets": "".join(map(_preset, _PRESETS)),
        "scores": "".join(map(_score, range(len(LOGITS)))),
        "items": "".join(_letter(*letter) for letter in _LETTERS),
        "embeddings": asset("explorer/yours.html") if cloud is None else _embeddings(cloud),
        "softmax": "\n".join(map(_row, softmax_table())),
    }
    body = asset("explorer/explorer.html")
    for name, part in parts.items():
        body = body.replace(f"<!-- {name} -->", part)
    languages = "".join(
        f'<button type="button" data-language="{code}" lang="{code}">{name}</button>'
        for code, name in _LANGUAGES.items()
    )
    data = json_block("explorer-words", words())
    if cloud is not None:
        data += json_block("explorer-cloud", cloud.data())
    return Part(
        f'<div id="explorer"{" data-whole" * whole}><div class="switches live languages" role="group" '
        f'data-label="language" hidden>{languages}</div>{_in_english(body)}</div>{data}',
        asset("explorer/explorer.css"),
        tuple(asset(f"explorer/{name}.js") for name in _SCRIPTS),
    )


@functools.cache
def words() -> dict[str, dict[str, str]]:
    """All that the explorer says, by key and language."""
    found: dict[str, dict[str, str]] = json.loads(asset("explorer/words.json"))
    return found


def _in_english(body: str) -> str:
    """Write the English words where the script will write those of the language chosen."""

    def said(match: re.Match[str]) -> str:
        return match[0] + text(words()[match[1]]["en"])

    def named(match: re.Match[str]) -> str:
        return f'{match[0]} aria-label="{text(words()[match[1]]["en"])}"'

    return re.sub(
        r'data-label="([\w-]+)"', named, re.sub(r'data-word="([\w-]+)"[^>]*>', said, body)
    )


def _preset(temperature: str) -> str:
    return f'<button type="button" data-temperature="{temperature}">{temperature}</button>'


def _score(index: int) -> str:
    return (
        '<div class="score"><span class="value"></span><span class="tower"><i></i></span>'
        f'<label for="explorer-score-{index}"><span class="unseen" data-word="score-of"></span> '
        f"{index}</label>"
        f'<input type="number" id="explorer-score-{index}" min="-100" max="100" step="0.1">'
        f'<label><input type="radio" name="explorer-target" value="{index}">'
        f'<span data-word="is-right"></span> <span class="unseen">{index}</span></label></div>'
    )


def _letter(name: str, letter: str, kind: str) -> str:
    share = (
        '<span class="value"></span><span class="bar"><i></i></span>' if kind != "positive" else ""
    )
    return (
        f'<tr class="{kind}"><th scope="row"><span class="symbol" aria-hidden="true">{letter}</span>'
        f'<span data-word="item-{name}"></span> <span class="kind" data-word="kind-{kind}"></span></th>'
        f"<td></td><td>{share}</td><td></td></tr>"
    )


def _embeddings(cloud: Cloud) -> str:
    mass = ""
    if cloud.classes is not None:
        mass = '<div><dt data-word="own-share"></dt><dd data-part="false"></dd></div>'
    return asset("explorer/embeddings.html").replace("<!-- mass -->", mass)


def _row(row: Row) -> str:
    """One line of the worked example."""
    place = sorted(row.logits, reverse=True).index(row.logits[row.target])
    verdict = ("highest", "second", "lowest")[place]
    cells = [
        f'<td class="words">[{", ".join(f"{x:g}" for x in row.logits)}]</td>',
        f'<td class="words">{row.target} (<span data-word="{verdict}"></span>)</td>',
        f"<td>{row.temperature:g}</td>",
        f"<td>{'&ensp;'.join(map(_figure, row.probabilities))}</td>",
        f"<td>{_figure(row.loss)}</td>",
        f"<td>{_figure(row.undivided_loss)}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _figure(value: float) -> str:
    """Write a probability or a loss: four decimals, or more where those say 0 or 1."""
    if 0 < value < 5e-4:
        mantissa, exponent = f"{value:.4e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.5f}" if 0.9999 < value < 1 else f"{value:.4f}"
