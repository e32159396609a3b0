"""Images beside their two views: what the model sees."""

import base64
import io
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from temperance.data import ImageSet, Views
from temperance.report.page import Part, page, text
from temperance.runs import make_folder, write_atomic

SHEET = "views.png"
PAGE = "views.html"
# Images across; their sides on the sheet, at least; white between images and between their views.
ACROSS = 4
SIDE = 64
GAP, CLOSE = 16, 2


def write_views(folder: Path, images: ImageSet, recipe: str, count: int, seed: int) -> None:
    """Write ``views.png``, a sheet of images beside their two views, and ``views.html``, which shows it.

    Args:
        folder: made, if need be.
        images: of which some are drawn, without replacement.
        recipe: of ``temperance.data.Views``.
        count: how many are drawn, if there are so many.
        seed: of the images and their views.
    """
    rows = np.random.default_rng(seed).permutation(len(images))[:count]
    chosen = torch.from_numpy(images.images[rows])
    views = Views(images.channels, images.size, recipe).pair(chosen, seed)
    seen = [(view * 255).round().byte().numpy() for view in views]
    make_folder(folder)
    content = io.BytesIO()
    Image.fromarray(_sheet(chosen.numpy(), *seen)).save(content, format="PNG", optimize=True)
    write_atomic(folder / SHEET, content.getvalue())
    caption = (
        f"{len(rows)} of the {len(images):,} images of {images.name} ({images.size} × {images.size}), each "
        f"beside two views of it by the recipe “{recipe}”. The loss is told that the two views are the same, "
        "and that all others are not: where a view has lost what matters to you, choose another recipe."
    )
    source = f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
    body = (
        f'<section><p>{text(caption)}</p><img src="{source}" style="max-width:100%" '
        f'alt="Images, each beside its two views"></section>'
    )
    write_atomic(folder / PAGE, page(f"What the model sees of {images.name}", Part(body)))


def _sheet(*columns: UInt8[np.ndarray, "n c h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Each image with its views on its right, ``ACROSS`` of them to a row."""
    times = -(-SIDE // columns[0].shape[2])
    large = [x.repeat(times, axis=2).repeat(times, axis=3) for x in columns]
    tiles = [np.pad(x, ((0, 0), (0, 0), (0, GAP), (0, CLOSE)), constant_values=255) for x in large]
    cells = np.pad(
        np.concatenate(tiles, axis=3), ((0, 0), (0, 0), (0, 0), (0, GAP)), constant_values=255
    )
    short = -len(cells) % ACROSS
    cells = np.pad(cells, ((0, short), (0, 0), (0, 0), (0, 0)), constant_values=255)
    _, channels, height, width = cells.shape
    rows = cells.reshape(-1, ACROSS, channels, height, width).transpose(0, 3, 1, 4, 2)
    return np.broadcast_to(
        rows.reshape(-1, ACROSS * width, channels), (len(rows) * height, ACROSS * width, 3)
    ).copy()
