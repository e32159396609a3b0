"""An extractor's weights under the names that other tools have for them."""

import re
from collections.abc import Callable

from torch import Tensor

from temperance.encoders.convnet import Encoder
from temperance.encoders.timm import PREFIX, SMALL
from temperance.errors import InputError

# The residual networks whose layers timm, torchvision and mmdetection call alike, and detectron2 by rule.
RESNETS = tuple(f"resnet{depth}" for depth in (18, 34, 50, 101, 152))


def weights_for(encoder: Encoder, tool: str) -> dict[str, Tensor]:
    """The backbone's state dict under a tool's names, without a classifier.

    ``"timm"``: any backbone of timm. ``"torchvision"`` and ``"mmdetection"`` (the same names, loaded into
    ``backbone``) and ``"detectron2"`` (its converter's rule: ``stem.conv1``, ``res2`` to ``res5``, ``.norm``,
    ``.shortcut``): residual networks of three channels with timm's own stem, so trained on images of at
    least 64 pixels. What they are given must be standardised by ``encoder.mean`` and ``encoder.std``, which
    the extractor does itself.

    Args:
        encoder: with a backbone of timm.
        tool: one of those above.

    Raises:
        InputError: if the tool is unknown, or has no such network.

    Example:
        >>> from temperance.encoders import EncoderSpec
        >>> weights_for(Encoder(EncoderSpec(1, 28, (0.2,), (0.3,))), "timm")
        Traceback (most recent call last):
        ...
        temperance.errors.InputError: timm has no backbone 'small'; train one of timm's, such as timm:resnet18
    """
    if tool not in NAMES:
        raise InputError(f"tool {tool!r} is unknown; give one of {', '.join(NAMES)}")
    spec = encoder.spec
    if not spec.backbone.startswith(PREFIX):
        raise InputError(
            f"{tool} has no backbone {spec.backbone!r}; train one of timm's, such as timm:resnet18"
        )
    if tool != "timm":
        name = spec.backbone.removeprefix(PREFIX).partition(".")[0]
        if name not in RESNETS:
            raise InputError(
                f"{tool} has no names here for {spec.backbone}; give one of {', '.join(RESNETS)}"
            )
        if spec.size < SMALL or spec.channels != 3:
            raise InputError(
                f"{tool}'s {name} takes 3 channels through a 7 × 7 stem, and this one was trained on images "
                f"of {spec.channels} × {spec.size} × {spec.size}; train on colour images of {SMALL} pixels"
            )
    rename = NAMES[tool]
    return {
        rename(name): x.detach().cpu().contiguous()
        for name, x in encoder.backbone.state_dict().items()
    }


def _detectron2(name: str) -> str:
    if not name.startswith("layer"):
        name = f"stem.{name}"
    name = re.sub(r"^layer(\d)", lambda stage: f"res{int(stage[1]) + 1}", name)
    name = re.sub(r"\bbn(\d)\.", r"conv\1.norm.", name)
    return name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")


NAMES: dict[str, Callable[[str], str]] = {
    "timm": str,
    "torchvision": str,
    "mmdetection": str,
    "detectron2": _detectron2,
}
