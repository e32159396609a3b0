"""Sheets of pictures: what a head says of held-out ones beside the truth, and what lies near in the space."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from PIL import Image, ImageDraw
from torch.nn.functional import normalize

from temperance.data import ImageSet
from temperance.data.annotated import VOID, AnnotatedSet
from temperance.encoders import embed
from temperance.transfer import Detection, Segmentation
from temperance.transfer.evaluator import Evaluator
from temperance.transfer.frozen import Frozen

PICTURES = 6
SIDE = 256
# Boxes less sure than this would only hide the others.
SURE = 0.3
QUERIES, NEIGHBOURS, TILE = 8, 9, 56
# Of Okabe and Ito, told apart by most eyes.
COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
)
GAP = 6

Pixels = UInt8[np.ndarray, "h w 3"]


def answers(head: Evaluator[Any], train: object, test: object) -> bytes | None:
    """A sheet as PNG: boxes or masks beside the truth, or queries and their nearest; None for other heads.

    Args:
        head: fitted.
        train: what it learned from.
        test: held out.
    """
    if isinstance(head, Detection) and isinstance(test, AnnotatedSet):
        return _png(_boxes(head, test))
    if isinstance(head, Segmentation) and isinstance(test, AnnotatedSet):
        return _png(_masks(head, test))
    if isinstance(head, Frozen) and isinstance(train, ImageSet) and isinstance(test, ImageSet):
        return _png(_neighbours(head, train, test))
    return None


def _boxes(head: Detection, test: AnnotatedSet) -> list[list[Pixels]]:
    some = test.part(np.arange(min(PICTURES, len(test))), test.name)
    rows = []
    for i, found in enumerate(head.predict(some)):
        sample = some.sample(i, head.encoder.spec.channels, head.side)
        picture = _large(_rgb(sample.image))
        scale = SIDE / head.side
        sure = found.scores >= SURE
        rows.append(
            [
                _with_boxes(picture, scale * sample.boxes, sample.labels, test.classes),
                _with_boxes(picture, scale * found.boxes[sure], found.labels[sure], test.classes),
            ]
        )
    return rows


def _masks(head: Segmentation, test: AnnotatedSet) -> list[list[Pixels]]:
    some = test.part(np.arange(min(PICTURES, len(test))), test.name)
    rows = []
    for i, found in enumerate(head.predict(some)):
        sample = some.sample(i, head.encoder.spec.channels, head.side)
        picture, truth = _rgb(sample.image), sample.class_map
        assert truth is not None
        rows.append([_large(_coloured(picture, x)) for x in (truth, found)])
    return rows


def _neighbours(head: Frozen, train: ImageSet, test: ImageSet) -> list[list[Pixels]]:
    chosen = np.random.default_rng(0).permutation(len(test))[:QUERIES]
    queries, known = (
        normalize(embed(head.encoder, torch.from_numpy(x)).features, dim=1)
        for x in (test.images[chosen], train.images)
    )
    nearest = (queries @ known.T).topk(min(NEIGHBOURS, len(train)), dim=1).indices.numpy()
    return [
        [_large(_rgb(test.images[row]), TILE), *(_large(_rgb(train.images[j]), TILE) for j in near)]
        for row, near in zip(chosen.tolist(), nearest.tolist(), strict=True)
    ]


def _rgb(picture: UInt8[np.ndarray, "c h w"]) -> Pixels:
    return np.broadcast_to(picture.transpose(1, 2, 0), (*picture.shape[1:], 3)).copy()


def _large(picture: Pixels, side: int = SIDE) -> Pixels:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.NEAREST))


def _with_boxes(
    picture: Pixels,
    boxes: Float32[np.ndarray, "n 4"],
    labels: Int64[np.ndarray, " n"],
    classes: Sequence[str],
) -> Pixels:
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    for box, label in zip(boxes.tolist(), labels.tolist(), strict=True):
        colour = COLOURS[label % len(COLOURS)]
        pen.rectangle(box, outline=colour, width=2)
        pen.text((box[0] + 3, box[1] + 1), classes[label], fill=colour)
    return np.asarray(image)


def _coloured(picture: Pixels, classes: UInt8[np.ndarray, "h w"]) -> Pixels:
    """Classes in colours on the picture, made dark; void as it is."""
    found = (picture * 0.4).astype(np.uint8)
    for number in np.unique(classes[(classes > 0) & (classes != VOID)]).tolist():
        found[classes == number] = COLOURS[(number - 1) % len(COLOURS)]
    found[classes == VOID] = picture[classes == VOID]
    return found


def _png(rows: list[list[Pixels]]) -> bytes:
    """Rows in two columns, with white between; the first picture of a row stands apart."""
    lines = []
    for row in rows:
        framed = [np.pad(x, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for x in row]
        lines.append(np.concatenate(framed, axis=1))
    lines += [np.full_like(lines[0], 255)] * (len(lines) % 2)
    wide = [
        np.concatenate([np.pad(a, ((0, 0), (0, 2 * GAP), (0, 0)), constant_values=255), b], axis=1)
        for a, b in zip(lines[::2], lines[1::2], strict=True)
    ]
    out = io.BytesIO()
    Image.fromarray(np.concatenate(wide)).save(out, format="PNG", optimize=True)
    return out.getvalue()
