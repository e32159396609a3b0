"""``temperance embed``."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from temperance.cli.given import console, noted_images
from temperance.data import ImageSet, is_scaled
from temperance.encoders import Encoder, embed, load_encoder
from temperance.errors import InputError
from temperance.runs import make_folder, write_atomic

SPACES = ("features", "projection")


def run_embed(
    run: Path,
    data: str,
    out: Path,
    space: str,
    size: int | None,
    root: Path | None,
    as_json: bool,
) -> None:
    """Write the vectors that a run's extractor makes of images."""
    if out.suffix not in WRITERS:
        raise InputError(f"--out {out} ends in neither of {', '.join(WRITERS)}; name such a file")
    if space not in SPACES:
        raise InputError(f"--space {space} is unknown; give one of {', '.join(SPACES)}")
    encoder = load_encoder(run)
    if size is None and is_scaled(data):
        size = encoder.spec.size
    images = noted_images(data, size, root)
    pixels = torch.from_numpy(_as_it_takes(images, encoder))
    vectors = getattr(embed(encoder, pixels), space).numpy()
    content = WRITERS[out.suffix](vectors, images)
    make_folder(out.parent)
    write_atomic(out, content)
    rows, width = vectors.shape
    if as_json:
        print(json.dumps({"out": str(out), "rows": rows, "width": width, "space": space}, indent=1))
        return
    console().print(f"{rows:,} × {width} {space}: {out}", soft_wrap=True)


def _as_it_takes(images: ImageSet, encoder: Encoder) -> np.ndarray:
    """The pixels in the encoder's channels.

    Raises:
        InputError: if they are of another size, or in colours that it does not take.
    """
    spec = encoder.spec
    if images.size != spec.size or images.channels > spec.channels:
        kind = {1: "grey", 3: "colour"}
        raise InputError(
            f"the extractor takes {kind[spec.channels]} images of {spec.size} × {spec.size}, and those of "
            f"{images.name} are {kind[images.channels]}, {images.size} × {images.size}; give such images"
        )
    return images.images.repeat(spec.channels // images.channels, axis=1)


def _npy(vectors: Float32[np.ndarray, "n d"], images: ImageSet) -> bytes:
    out = io.BytesIO()
    np.save(out, vectors)
    return out.getvalue()


def _parquet(vectors: Float32[np.ndarray, "n d"], images: ImageSet) -> bytes:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(
            "Parquet is written by pyarrow; install it with: pip install 'temperance[parquet]', or write .npy"
        ) from error
    n, width = vectors.shape
    labels = None if images.labels is None else [images.classes[i] for i in images.labels]
    flat = arrow.array(vectors.ravel())
    table = arrow.table(
        {
            "path": arrow.array(images.paths or [None] * n, arrow.string()),
            "label": arrow.array(labels or [None] * n, arrow.string()),
            "feature": arrow.FixedSizeListArray.from_arrays(flat, width),
        }
    )
    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getvalue()


WRITERS: dict[str, Callable[[np.ndarray, ImageSet], bytes]] = {".npy": _npy, ".parquet": _parquet}
