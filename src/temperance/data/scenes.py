"""Scenes that ship as a recipe: built-in letters or digits on textured grounds, written once as COCO."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from PIL import Image

from temperance.data.images import ImageSet
from temperance.data.sources import load_images
from temperance.data.splits import split
from temperance.data.textures import textures
from temperance.errors import InputError
from temperance.runs import make_folder

# Of the recipe: another number is another folder, so that old and new scenes never mix.
VERSION = 1
SIZE = 128
COUNTS = {"train": 2000, "test": 400}
FEWEST, MOST = 3, 10
SIDES = (20, 44)
TURN = 12.0
# At least this part of an object's ink stays in sight.
VISIBLE = 0.5
# As often as this an object stands close to an earlier one and has its grey.
KIN = 0.3
CONTRAST = 0.25
TRIES = 20
SCENES = {"scenes": "glyphs", "digit-scenes": "digits"}


@dataclass(frozen=True)
class Scene:
    """One picture with its objects.

    Attributes:
        image: ``(size, size)`` bytes.
        masks: ``(n, size, size)``, the pixels of each object that are in sight.
        labels: ``(n,)`` class numbers, from 0.
        hidden: ``(n,)`` part of each object's ink that others cover, in [0, 0.5].
        greys: ``(n,)`` grey of each object; some neighbours share theirs.
    """

    image: UInt8[np.ndarray, "s s"]
    masks: Bool[np.ndarray, "n s s"]
    labels: Int64[np.ndarray, " n"]
    hidden: Float32[np.ndarray, " n"]
    greys: Float32[np.ndarray, " n"]


def scenes(
    things: ImageSet, rows: Int64[np.ndarray, " m"], count: int, seed: int, size: int = SIZE
) -> Iterator[Scene]:
    """Scenes of 3 to 10 things on textured grounds; the same seed gives the same scenes.

    Each thing is turned by up to 12° and 20 to 44 pixels high and wide with its margins. Later ones may cover
    up to half of earlier ones. Three in ten stand close to an earlier one in the same grey.

    Args:
        things: light ink on black, labelled, such as the built-in letters.
        rows: which of them are used.
        count: how many scenes.
        seed: of everything.
        size: side of the scenes, in pixels.

    Example:
        >>> from temperance.data import load_images
        >>> scene = next(scenes(load_images("digits"), np.arange(100), count=1, seed=0))
        >>> scene.image.shape, 3 <= len(scene.labels) <= 10
        ((128, 128), True)
    """
    assert things.labels is not None
    for number in range(count):
        random = np.random.default_rng((seed, number))
        yield _scene(things.images[:, 0], things.labels, rows, random, size)


def write_scenes(name: str, root: Path) -> Path:
    """Write a set of scenes as a COCO folder, unless it is there.

    The folder holds ``annotations/instances_SPLIT.json``, ``images/SPLIT/`` and ``masks/SPLIT/`` (8-bit class
    numbers, 0 for the ground), for the splits ``train`` and ``test``; the things of ``test`` are those that
    the things' own split keeps for testing (of letters: whole families of fonts).

    Args:
        name: ``"scenes"`` (letters, 26 classes) or ``"digit-scenes"`` (digits, 10 classes).
        root: where it is kept.

    Returns:
        The folder.
    """
    folder = make_folder(root) / f"{name}-{VERSION}"
    if folder.is_dir():
        return folder
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        things = load_images(SCENES[name])
        parts = split(things)
        for number, (part, count) in enumerate(COUNTS.items()):
            _write_part(partial, part, things, scenes(things, getattr(parts, part), count, number))
        if not folder.is_dir():  # another process may have been as quick
            partial.rename(folder)
    except OSError as error:
        raise InputError(
            f"cannot write {folder}: {error.strerror or error}; free some space or give another --root"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _scene(
    pictures: UInt8[np.ndarray, "m h w"],
    labels: Int64[np.ndarray, " m"],
    rows: Int64[np.ndarray, " k"],
    random: np.random.Generator,
    size: int,
) -> Scene:
    seeds = torch.Generator().manual_seed(int(random.integers(2**31)))
    canvas = textures(1, size, seeds)[0, 0].numpy()
    wanted = int(random.integers(FEWEST, MOST + 1))
    owner = np.full((size, size), -1)
    kept: list[tuple[int, float, int]] = []  # label, grey, pixels of ink
    corners: list[tuple[int, int, int, int]] = []  # top, left, height, width
    tries = 0
    while len(kept) < wanted and (tries < TRIES * wanted or len(kept) < FEWEST):
        tries += 1
        row = int(rows[random.integers(len(rows))])
        ink = _ink(pictures[row], random)
        height, width = ink.shape
        kin = int(random.integers(len(kept))) if kept and random.random() < KIN else None
        top, left = _place(None if kin is None else corners[kin], ink.shape, random, size)
        if not (0 <= top <= size - height and 0 <= left <= size - width):
            continue
        here = np.s_[top : top + height, left : left + width]
        solid = ink > 0.5
        after = np.bincount(owner[here][~solid] + 1, minlength=len(kept) + 1)[1:]
        outside = owner.copy()
        outside[here] = -1
        after = after + np.bincount(outside.ravel() + 1, minlength=len(kept) + 1)[1:]
        if any(
            left_over < VISIBLE * pixels
            for left_over, (_, _, pixels) in zip(after, kept, strict=True)
        ):
            continue
        grey = kept[kin][1] if kin is not None else _grey(float(canvas[here].mean()), random)
        canvas[here] += ink * (grey - canvas[here])
        owner[here][solid] = len(kept)
        kept.append((int(labels[row]), grey, int(solid.sum())))
        corners.append((top, left, height, width))
    noisy = canvas + 0.02 * random.standard_normal(canvas.shape)
    masks = owner == np.arange(len(kept))[:, None, None]
    pixels = np.array([pixels for _, _, pixels in kept])
    return Scene(
        image=(noisy.clip(0, 1) * 255).round().astype(np.uint8),
        masks=masks,
        labels=np.array([label for label, _, _ in kept]),
        hidden=(1 - masks.sum(axis=(1, 2)) / pixels).astype(np.float32),
        greys=np.array([grey for _, grey, _ in kept], np.float32),
    )


def _ink(
    picture: UInt8[np.ndarray, "h w"], random: np.random.Generator
) -> Float32[np.ndarray, "a b"]:
    """A thing as it will be laid: scaled, turned, without its margins, in [0, 1]."""
    side = int(random.integers(SIDES[0], SIDES[1] + 1))
    drawn = Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)
    turned = drawn.rotate(
        random.uniform(-TURN, TURN), Image.Resampling.BICUBIC, expand=True, fillcolor=0
    )
    ink = np.asarray(turned, np.float32) / 255
    solid = ink > 0.5
    if not solid.any():  # strokes thinner than a pixel
        ink = ink / max(float(ink.max()), 1e-6)
        solid = ink > 0.5
    down, across = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    return ink[down[0] : down[-1] + 1, across[0] : across[-1] + 1]


def _place(
    beside: tuple[int, int, int, int] | None,
    shape: tuple[int, ...],
    random: np.random.Generator,
    size: int,
) -> tuple[int, int]:
    """Top and left: anywhere, or such that it touches another or covers its edge."""
    height, width = shape
    if beside is None:
        return (
            int(random.integers(0, max(1, size - height + 1))),
            int(random.integers(0, max(1, size - width + 1))),
        )
    top, left, its_height, its_width = beside
    angle, near = random.uniform(0, 2 * np.pi), random.uniform(0.8, 1.05)
    down = near * np.sin(angle) * (height + its_height) / 2
    across = near * np.cos(angle) * (width + its_width) / 2
    return (
        round(top + its_height / 2 + down - height / 2),
        round(left + its_width / 2 + across - width / 2),
    )


def _grey(ground: float, random: np.random.Generator) -> float:
    """A grey that differs enough from the ground's."""
    below = max(0.0, ground - CONTRAST)
    place = random.uniform(0, below + max(0.0, 1 - ground - CONTRAST))
    return float(place if place < below else place - below + ground + CONTRAST)


def _write_part(folder: Path, part: str, things: ImageSet, made: Iterator[Scene]) -> None:
    for kind in ("images", "masks"):
        (folder / kind / part).mkdir(parents=True)
    (folder / "annotations").mkdir(exist_ok=True)
    images: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    for number, scene in enumerate(made):
        file = f"{number:06d}.png"
        height, width = scene.image.shape
        Image.fromarray(scene.image).save(folder / "images" / part / file)
        classes = np.zeros(scene.image.shape, np.uint8)
        images.append({"id": number, "file_name": file, "height": height, "width": width})
        for mask, label in zip(scene.masks, scene.labels.tolist(), strict=True):
            classes[mask] = label + 1
            objects.append(_object(len(objects) + 1, number, label + 1, mask))
        Image.fromarray(classes).save(folder / "masks" / part / file)
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(things.classes)]
    whole = {"images": images, "annotations": objects, "categories": categories}
    (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(whole))


def _object(
    identifier: int, image: int, category: int, mask: Bool[np.ndarray, "h w"]
) -> dict[str, Any]:
    """An annotation of COCO: box and area of what is in sight, and its mask run by run, column by column."""
    down, across = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    return {
        "id": identifier,
        "image_id": image,
        "category_id": category,
        "iscrowd": 0,
        "area": int(mask.sum()),
        "bbox": [
            int(across[0]),
            int(down[0]),
            int(across[-1] - across[0] + 1),
            int(down[-1] - down[0] + 1),
        ],
        "segmentation": {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs},
    }
