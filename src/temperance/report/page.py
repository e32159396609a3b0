"""The one HTML page that everything is shown on: complete in itself, it loads nothing."""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import importlib.resources
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)
_SHELL = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Temperance</title>
<style>{style}</style>
</head>
<body>
<header class="masthead">
<div class="shelf">
<p class="brand">Temperance</p>
<div class="switches" id="themes" role="group" aria-label="Colours" data-label="theme" hidden>
<button type="button" data-scheme="auto" data-word="theme-auto">Auto</button>
<button type="button" data-scheme="light" data-word="theme-light">Light</button>
<button type="button" data-scheme="dark" data-word="theme-dark">Dark</button>
</div>
</div>
<h1 data-word="title">{title}</h1>
{tabs}</header>
<main{run}>
{body}
</main>
<footer class="colophon"><p data-word="colophon">Written by Temperance. This file is complete in itself:
it opens offline and loads nothing from elsewhere.</p></footer>
{scripts}</body>
</html>
"""
_TABS = """<nav class="tabs" aria-label="Parts of this page">
<a href="#report">Report</a>
<a href="#explorer">Explorer: move τ yourself</a>
</nav>
"""


@functools.cache
def asset(name: str) -> str:
    """Read a style sheet, a script or words that lie beside this module or in a folder there."""
    return (importlib.resources.files(__package__) / name).read_text(encoding="utf-8")


def text(value: object) -> str:
    """Make a value from outside safe in HTML and SVG, between tags or in a quoted attribute.

    Characters that neither format allows (control characters, halves of a surrogate pair, as a file
    name may hold) become the replacement character.

    Example:
        >>> text("<b>" + chr(0))
        '&lt;b&gt;\N{REPLACEMENT CHARACTER}'
    """
    return html.escape(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", str(value)))


def json_block(identifier: str, value: object) -> str:
    """Embed data for a page's script in a block that the browser does not execute.

    Whatever could end the block or open markup is written as a JSON escape.

    Example:
        >>> json_block("data", ["<"]).count("<")
        2
    """
    data = json.dumps(value, allow_nan=False)  # ASCII only: U+2028 and U+2029 are escaped already
    for character in "<>&":
        data = data.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="{text(identifier)}">{data}</script>'


@dataclass(frozen=True)
class Part:
    """HTML, and the CSS and JavaScript that it needs.

    Attributes:
        body: HTML, normally ``<section>`` elements; whatever comes from outside went through ``text``.
        style: CSS of this part alone, after the shared rules.
        scripts: JavaScript, run in this order once the body is there; what one declares the next knows.
    """

    body: str
    style: str = ""
    scripts: tuple[str, ...] = ()


def figure(name: str, picture: str, see: str, counted: str, kind: str = "") -> str:
    """Set a picture with its caption, and a name to point to it by: ``#figure-NAME``.

    The page's script offers to save each figure under this name.

    Args:
        name: unique on the page.
        picture: a chart of ``svg``, an ``<img>``, or a list of pictures with its numbers in a ``<template>``.
        see: a sentence or two of what to see.
        counted: what it was measured on: how many, and how many seeds.
        kind: a class of the element.
    """
    shown = f' class="{kind}"' if kind else ""
    link = f"figure-{text(name)}"
    return (
        f'<figure id="{link}"{shown}>{picture}<figcaption><p>{text(see)}</p><p class="counted">'
        f'{text(counted)} <a href="#{link}">#{link}</a></p></figcaption></figure>'
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Set words and figures in a table that scrolls where the page is too narrow; the first names its row."""
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{text(first)}</th>'
        + "".join(f"<td>{text(x)}</td>" for x in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        '<div class="scroll wide" tabindex="0" role="region" aria-label="table"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def page(title: str, part: Part, explorer: Part | None = None, run: str = "") -> str:
    """Set HTML in the page that all reports share.

    The page's Content-Security-Policy forbids every request, and every script but the page's own.

    Args:
        title: Plain text; the heading and the name of the window.
        part: What the page shows.
        explorer: Of ``temperance.report.explorer``, to stand beside it under a tab of its own.
        run: Name of the run, with which the names of saved figures begin.
    """
    parts = [part] if explorer is None else [part, explorer]
    scripts = [
        asset("page.js"),
        asset("saving.js"),
        *(script for p in parts for script in p.scripts),
    ]
    style = "".join(p.style for p in parts)
    if any("</script" in s.lower() or "<!--" in s for s in scripts) or "</style" in style.lower():
        raise ValueError("markup that would end the script or style sheet it stands in")
    digests = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    hashes = " ".join(f"'sha256-{digest}'" for digest in digests)
    body, tabs = part.body, ""
    if explorer is not None:
        body = f'<div data-tab="report">{part.body}</div><div data-tab="explorer">{explorer.body}</div>'
        tabs = _TABS
    return _SHELL.format(
        policy=f"{_POLICY}; script-src {hashes}",
        title=text(title),
        tabs=tabs,
        run=f' data-run="{text(run)}"' if run else "",
        style=asset("chart.css") + asset("page.css") + style,
        body=body,
        scripts="".join(f"<script>{script}</script>\n" for script in scripts),
    )
