"""The one HTML page that everything is shown on: complete in itself, it loads nothing."""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import importlib.resources
import json
import re

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
<p class="brand">Temperance</p>
<h1>{title}</h1>
</header>
<main>
{body}
</main>
<footer class="colophon"><p>Written by Temperance. This file is complete in itself: it opens offline
and loads nothing from elsewhere.</p></footer>
{script}</body>
</html>
"""


@functools.cache
def asset(name: str) -> str:
    """Read a style sheet or script that lies beside this module."""
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


def page(title: str, body: str, *, script: str = "", style: str = "") -> str:
    """Set HTML in the page that all reports share.

    The page's Content-Security-Policy forbids every request and every script but the one given.

    Args:
        title: Plain text; the heading and the name of the window.
        body: HTML, normally ``<section>`` elements; whatever comes from outside went through
            ``text``.
        script: JavaScript of the page, run once the body is there.
        style: CSS of this page alone, after the shared rules.
    """
    if "</script" in script.lower() or "<!--" in script or "</style" in style.lower():
        raise ValueError("markup that would end the script or style sheet it stands in")
    policy = _POLICY
    element = ""
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy += f"; script-src 'sha256-{digest}'"
        element = f"<script>{script}</script>\n"
    return _SHELL.format(
        policy=policy,
        title=text(title),
        style=asset("chart.css") + asset("page.css") + style,
        body=body,
        script=element,
    )
