"""From images to features to projections: the default encoder, made for a laptop, or one of timm's."""

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from temperance.encoders.timm import PREFIX, load_pretrained, timm_backbone, timm_features
from temperance.errors import InputError

SMALL = "small"
MLP, LINEAR = "mlp", "linear"
BATCH, GROUP = "batch", "group"


@dataclass(frozen=True)
class EncoderSpec:
    """Everything needed to build an ``Encoder`` again.

    Attributes:
        channels: 1 (grey) or 3 (RGB).
        size: side of the square images, in pixels.
        mean: per channel, of images in [0, 1]; taken off first.
        std: per channel; divided by then.
        widths: channels of the three convolutions.
        grid: side of the pooled grid. 2 keeps where ink lies; 1 (global pooling) loses to raw pixels on
            letters.
        hidden: width of the projection head's hidden layer.
        projection: dimensions of the projection, on which the loss is computed.
        backbone: ``"small"``, strided convolutions of the widths above, or ``"timm:NAME"``, whose stem is
            adapted below 64 pixels; see ``timm.timm_backbone``.
        head: ``"mlp"``, two layers, or ``"linear"``, one, as in InstDisc and MoCo v1.
        norm: ``"batch"``, or ``"group"`` (8 channels a group), which does not look at the batch: for batches
            that are small or come in chunks; in the head and the default backbone.
    """

    channels: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    widths: tuple[int, ...] = (16, 32, 64)
    grid: int = 2
    hidden: int = 256
    projection: int = 64
    backbone: str = SMALL
    head: str = MLP
    norm: str = BATCH

    @property
    def features(self) -> int:
        """Dimensions of the features, on which downstream heads are trained."""
        if self.backbone == SMALL:
            return self.widths[-1] * self.grid**2
        return timm_features(self.backbone, self.channels, self.size)


class Encoder(nn.Module):
    """A backbone from images to features, and a head from features to the projection.

    ``forward`` gives the features, which downstream tasks use; ``project`` maps features to the space
    in which the loss is computed. Keeping the two apart, with the head thrown away downstream, is
    SimCLR's finding (Chen et al. 2020, arXiv 2002.05709).

    Args:
        spec: sizes and the input's statistics.

    Raises:
        InputError: if there is no such backbone, head or norm.

    Example:
        >>> import torch
        >>> encoder = Encoder(EncoderSpec(channels=1, size=28, mean=(0.2,), std=(0.3,))).eval()
        >>> features = encoder(torch.rand(5, 1, 28, 28))
        >>> features.shape, encoder.project(features).shape
        (torch.Size([5, 256]), torch.Size([5, 64]))
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        if spec.norm not in (BATCH, GROUP):
            raise InputError(f"norm {spec.norm!r} is unknown; give {BATCH!r} or {GROUP!r}")
        self.spec = spec
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std).view(1, -1, 1, 1))
        self.backbone = _backbone(spec)
        self.head = _head(spec)
        # Half the time of the default layout on a CPU, and what tensor cores ask for.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n f"]:
        """Features ``(n, f)`` of images ``(n, channels, size, size)`` in [0, 1]."""
        standardised = (images - self.mean) / self.std
        features: Tensor = self.backbone(standardised.contiguous(memory_format=torch.channels_last))
        return features

    def load_pretrained(self, weights: Path | None = None) -> None:
        """Begin with pretrained weights, of a backbone of timm.

        Args:
            weights: a safetensors file with timm's names; unless given, timm downloads its own. The head,
                the classifier and an adapted first convolution are none of it.

        Raises:
            InputError: if the backbone is not timm's, or the weights cannot be had or do not fit.
        """
        spec = self.spec
        if not spec.backbone.startswith(PREFIX):
            raise InputError(
                f"there are no pretrained weights of {spec.backbone!r}; give timm:NAME"
            )
        load_pretrained(self.backbone, spec.backbone, spec.channels, spec.size, weights)

    def project(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n p"]:
        """Projections ``(n, p)`` of features ``(n, f)``; not normalised."""
        projections: Tensor = self.head(features)
        return projections


def _backbone(spec: EncoderSpec) -> nn.Module:
    if spec.backbone.startswith(PREFIX):
        return timm_backbone(spec.backbone, spec.channels, spec.size)
    if spec.backbone != SMALL:
        raise InputError(
            f"backbone {spec.backbone!r} is unknown; give {SMALL!r}, or timm:NAME, such as timm:resnet18"
        )
    layers: list[nn.Module] = []
    side = spec.size
    for inputs, outputs in pairwise((spec.channels, *spec.widths)):
        # Small images (8 × 8 digits) would shrink to one pixel: stop halving at the last 4 or so.
        stride = 2 if side >= 7 else 1
        side = (side + stride - 1) // stride
        layers += [
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs) if spec.norm == BATCH else _group_norm(outputs),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(spec.grid), nn.Flatten())


def _head(spec: EncoderSpec) -> nn.Module:
    if spec.head == LINEAR:
        return nn.Linear(spec.features, spec.projection)
    if spec.head != MLP:
        raise InputError(f"head {spec.head!r} is unknown; give {MLP!r} or {LINEAR!r}")
    return nn.Sequential(
        nn.Linear(spec.features, spec.hidden),
        nn.BatchNorm1d(spec.hidden) if spec.norm == BATCH else _group_norm(spec.hidden),
        nn.ReLU(),
        nn.Linear(spec.hidden, spec.projection),
    )


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(channels, max(1, channels // 8)), channels)
