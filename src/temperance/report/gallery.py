"""Pictures of the hardest negatives: what the loss pushes away, and whether it should."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from temperance.geometry import Hardness
from temperance.report._drawing import table
from temperance.report.page import text

ANCHORS = 6
NEIGHBOURS = 8
# Pictures are shown no larger than this: photographs would make a page of many megabytes.
THUMBNAIL = 64


def hardest_anchors(push: Hardness, labels: Int64[np.ndarray, " n"] | None) -> list[int]:
    """Choose anchors to show: those whose hardest negative comes closest, each of another class.

    Args:
        push: of the space at the recommended temperature.
        labels: ``(n,)`` class numbers, or None.
    """
    closeness = (push.top_similarity[:, 0] - push.positive_similarity).numpy()
    chosen: list[int] = []
    for row in np.argsort(-closeness, kind="stable").tolist():
        if labels is None or labels[row] not in labels[chosen]:
            chosen.append(row)
        if len(chosen) == ANCHORS:
            break
    return chosen


def gallery(
    pushes: Sequence[tuple[float, Hardness]],
    anchors: Sequence[int],
    pictures: UInt8[np.ndarray, "n c h w"],
    labels: Int64[np.ndarray, " n"] | None,
    classes: Sequence[str],
) -> str:
    """Set anchors and, for each temperature, their hardest negatives with the share of the push on each.

    Args:
        pushes: temperatures and what is pushed on there; the same images in the same order.
        anchors: row numbers of the anchors.
        pictures: ``(n, channels, size, size)`` bytes.
        labels: ``(n,)`` class numbers; negatives of the anchor's class are marked as false.
        classes: names of the classes.

    Returns:
        HTML, and the same as CSV for the page's script to save.
    """
    columns = (
        "anchor",
        "anchor's class",
        "temperature τ",
        "rank",
        "negative",
        "its class",
        "share of the push",
    )
    parts, numbers = [], list[tuple[str | float, ...]]()

    def name_of(row: int) -> str:
        return "" if labels is None else classes[labels[row]]

    for anchor in anchors:
        rows = []
        for temperature, push in pushes:
            cells = []
            pairs = zip(
                push.top_index[anchor, :NEIGHBOURS].tolist(),
                push.top_share[anchor, :NEIGHBOURS].tolist(),
                strict=True,
            )
            for rank, (index, share) in enumerate(pairs, 1):
                name, of = name_of(index), name_of(anchor)
                numbers.append((anchor, of, temperature, rank, index, name, share))
                same = labels is not None and labels[index] == labels[anchor]
                cells.append(_picture(pictures[index], name, _share(share), false=same))
            rows.append(
                f'<div class="row"><p class="tau">τ = {temperature:g}</p>'
                f'<ol class="negatives">{"".join(cells)}</ol></div>'
            )
        first = _picture(pictures[anchor], name_of(anchor), "anchor", false=False)
        own = f'<ul class="anchor">{first}</ul>'
        parts.append(f'<li class="case">{own}<div>{"".join(rows)}</div></li>')
    return (
        f'<ul class="gallery wide" aria-label="hardest negatives">{"".join(parts)}</ul>'
        f"<template>{text(table(columns, numbers))}</template>"
    )


def _picture(picture: UInt8[np.ndarray, "c h w"], name: str, caption: str, *, false: bool) -> str:
    alternative = f"{name}, {caption}" + (
        ", false negative: the anchor's own class" if false else ""
    )
    label = f'<span class="name" title="{text(name)}">{text(name)}</span>' if name else ""
    kind = ' class="false"' if false else ""
    return (
        f'<li{kind}><img src="{data_uri(picture)}" alt="{text(alternative)}">'
        f'<span class="caption">{label}{text(caption)}</span></li>'
    )


def data_uri(picture: UInt8[np.ndarray, "c h w"]) -> str:
    """A picture as text that stands in the page itself."""
    image = Image.fromarray(picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0))
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def _share(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"
