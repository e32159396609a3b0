"""The extractor alone, as two files that are data: weights in safetensors, the rest in JSON."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from temperance.encoders.convnet import Encoder, EncoderSpec
from temperance.encoders.timm import PREFIX
from temperance.encoders.timm import SMALL as SMALL_STEM
from temperance.errors import InputError
from temperance.runs import read_json, write_atomic, write_json

WEIGHTS = "encoder.safetensors"
DESCRIPTION = "encoder.json"
FORMAT = 1
NAMES = ("backbone", "head", "norm")


def save_encoder(encoder: Encoder, folder: Path, origin: dict[str, Any]) -> None:
    """Write ``encoder.safetensors`` and ``encoder.json`` into a folder.

    Args:
        encoder: what to keep; the projection head is kept with it.
        folder: exists.
        origin: where it comes from (data, temperature, seed, epochs), for the reader of the JSON.

    Raises:
        InputError: if the folder cannot be written to.
    """
    description = {
        "format": FORMAT,
        "architecture": "temperance.encoders.Encoder",
        "spec": asdict(encoder.spec),
        "input": "float images in [0, 1], (n, channels, size, size); mean and std are applied inside",
        **_card(encoder.spec),
        "origin": origin,
    }
    write_json(folder / DESCRIPTION, description)
    # Contiguous in the plain layout: readers of safetensors need not know about channels-last.
    weights = {name: w.detach().cpu().contiguous() for name, w in encoder.state_dict().items()}
    write_atomic(folder / WEIGHTS, save(weights))


def load_encoder(path: str | Path) -> Encoder:
    """Load an extractor that a run has left behind.

    Nothing is unpickled: the files are read as data.

    Args:
        path: a run folder, one of its members, or the ``encoder.safetensors`` in it.

    Returns:
        The encoder, in evaluation mode, on the CPU.

    Raises:
        InputError: if the files are missing, damaged or do not fit together.

    Example:
        >>> load_encoder("runs/none")
        Traceback (most recent call last):
        ...
        temperance.errors.InputError: runs/none holds no encoder.json; give the folder of a run or ...
    """
    folder = Path(path)
    if folder.name in (WEIGHTS, DESCRIPTION):
        folder = folder.parent
    if not (folder / DESCRIPTION).is_file():
        raise InputError(
            f"{folder} holds no {DESCRIPTION}; give the folder of a run or of one of its members"
        )
    spec = _spec(folder / DESCRIPTION)
    encoder = Encoder(spec)
    try:
        encoder.load_state_dict(load_file(folder / WEIGHTS))
    except FileNotFoundError as error:
        raise InputError(f"{folder} holds no {WEIGHTS}; run the training again") from error
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{folder / WEIGHTS} does not fit {DESCRIPTION} ({reason}); run the training again"
        ) from error
    return encoder.eval()


def _card(spec: EncoderSpec) -> dict[str, str]:
    """How to have a backbone of timm without this package."""
    if not spec.backbone.startswith(PREFIX):
        return {}
    small = spec.size < SMALL_STEM
    return {
        "timm": f"timm.create_model({spec.backbone.removeprefix(PREFIX)!r}, num_classes=0, "
        f"in_chans={spec.channels}), with the weights under 'backbone.'",
        "stem": "below 64 pixels: 3 × 3 first convolution without a stride, no max-pooling (models that cut "
        "images into patches keep theirs)"
        if small
        else "timm's own",
    }


def _spec(path: Path) -> EncoderSpec:
    try:
        description = read_json(path)
        if description["format"] != FORMAT:
            raise ValueError(f"it has format {description['format']}, this version reads {FORMAT}")
        given = description["spec"]
        names = {field.name for field in fields(EncoderSpec)}
        if not set(given) <= names:
            raise ValueError(f"its spec has {sorted(given)}")
        lists: dict[str, Any] = {
            n: tuple(v) if isinstance(v, list) else v for n, v in given.items()
        }
        named = [lists.pop(name) for name in NAMES if name in lists]
        if not all(isinstance(name, str) for name in named):
            raise ValueError("its backbone, head and norm are not names")
        sizes = [x for x in (*lists.values(), *lists["widths"]) if not isinstance(x, tuple)]
        if not all(isinstance(x, int) and x > 0 for x in sizes):
            raise ValueError("its sizes are not whole numbers above 0")
        lists |= {name: given[name] for name in NAMES if name in given}
        with torch.device("meta"):
            Encoder(EncoderSpec(**lists))
        return EncoderSpec(**lists)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path} describes no encoder ({error}); run the training again"
        ) from error
