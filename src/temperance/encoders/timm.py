"""Backbones of timm, by name."""

import difflib
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from temperance.errors import InputError

PREFIX = "timm:"
# Below this many pixels the stem is made for small images.
SMALL = 64


def timm_backbone(
    backbone: str, channels: int, size: int, *, pretrained: bool = False
) -> nn.Module:
    """A model of timm without its classifier: from images to pooled features.

    Below 64 pixels its stem is adapted as is usual for CIFAR: a first convolution with a stride becomes 3 × 3
    without one, and the max-pooling after it is left out, so that a 32 × 32 image is not down to 8 × 8 before
    the first block. Models that cut images into patches of a fixed number are built for the size given, and
    their stem is left as it is.

    Args:
        backbone: ``timm:NAME``.
        channels: of the images.
        size: side of the images, in pixels.
        pretrained: with the weights that timm downloads; an adapted first convolution begins anew.

    Raises:
        InputError: if timm is missing, knows no such model, or cannot build it so.
    """
    timm = _timm(backbone)
    name = backbone.removeprefix(PREFIX)
    if not timm.is_model(name.partition(".")[0]):
        near = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        raise InputError(
            f"timm knows no model {name!r}; "
            + (f"the nearest are {', '.join(near)}" if near else "see timm.list_models()")
        )
    try:
        patches = timm.get_pretrained_cfg(name, allow_unregistered=False)
        sized = {"img_size": size} if patches is not None and patches.fixed_input_size else {}
        model: nn.Module = timm.create_model(
            name, pretrained=pretrained, num_classes=0, in_chans=channels, **sized
        )
    except Exception as error:  # of the model, which may take no such size, or of the network
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        remedy = "give a file of weights, or none" if pretrained else "give another size or model"
        raise InputError(
            f"{backbone} cannot be built for {channels} × {size} × {size} images ({reason}); {remedy}"
        ) from error
    if size < SMALL and not sized:
        _adapt_stem(model)
    return model


@cache
def timm_features(backbone: str, channels: int, size: int) -> int:
    """Dimensions of the features."""
    with torch.device("meta"):
        model = timm_backbone(backbone, channels, size).eval()
        features: Tensor = model(torch.empty(1, channels, size, size))
    return features.shape[1]


def load_pretrained(
    model: nn.Module, backbone: str, channels: int, size: int, weights: Path | None
) -> None:
    """Give a backbone pretrained weights: from a file, or those that timm downloads.

    Args:
        model: made by ``timm_backbone`` with the same name, channels and size.
        backbone: ``timm:NAME``.
        channels: of the images.
        size: side of the images.
        weights: a safetensors file with timm's own names; its classifier, and a first convolution that is of
            another shape than the adapted one, are left out.

    Raises:
        InputError: if the weights cannot be had, or are of another model.
    """
    if weights is None:
        found = timm_backbone(backbone, channels, size, pretrained=True)
        model.load_state_dict(found.state_dict())
        return
    try:
        given = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{weights} cannot be read ({str(error).splitlines()[0]}); give a .safetensors file of {backbone}"
        ) from error
    wanted = model.state_dict()
    first = {f"{_first_convolution(model)}.{kind}" for kind in ("weight", "bias")}
    fitting = {
        name: x for name, x in given.items() if name in wanted and x.shape == wanted[name].shape
    }
    missing = [name for name in wanted if name not in fitting and name not in first]
    if missing:
        raise InputError(
            f"{weights} holds no {missing[0]} of the right shape; give weights of {backbone}"
        )
    model.load_state_dict(fitting, strict=False)


def _timm(backbone: str) -> Any:
    try:
        import timm
    except ImportError as error:
        raise InputError(
            f"{backbone} comes with timm; install it with: pip install 'temperance[timm]'"
        ) from error
    return timm


def _first_convolution(model: nn.Module) -> str:
    """Its name; timm knows it, since it must be changed for other channels."""
    told: Any = getattr(model, "pretrained_cfg", {}).get("first_conv")
    return told[0] if isinstance(told, list | tuple) else told or ""


def _adapt_stem(model: nn.Module) -> None:
    """A 3 × 3 first convolution without a stride, and no max-pooling before the first block."""
    name = _first_convolution(model)
    old = model.get_submodule(name) if name else None
    if isinstance(old, nn.Conv2d) and old.stride != (1, 1):
        new = nn.Conv2d(old.in_channels, old.out_channels, 3, padding=1, bias=old.bias is not None)
        nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
        model.set_submodule(name, new)
    for pool in ("maxpool", "stem.pool", "features.pool0"):
        try:
            model.get_submodule(pool)
        except AttributeError:
            continue
        model.set_submodule(pool, nn.Identity())
