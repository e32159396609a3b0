"""What an extractor makes on the way to its features: maps, from fine to coarse, for dense tasks."""

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from temperance.encoders.convnet import SMALL, Encoder
from temperance.errors import InputError


class FeatureMaps(nn.Module):
    """An extractor's maps at each of its strides, of images of any size that its backbone takes.

    Where several layers have one stride, the last of them is taken. The pooled features and the projection
    head are not used.

    Args:
        encoder: whose weights it shares; trained with it, or frozen, as its parameters say.
        size: side of the square images that it will be given, in pixels.

    Attributes:
        strides: pixels of the image for one of each map, rising.
        channels: of each map.

    Raises:
        InputError: if the backbone has no maps, or takes no images of that size.

    Example:
        >>> import torch
        >>> from temperance.encoders import EncoderSpec
        >>> maps = FeatureMaps(Encoder(EncoderSpec(1, 28, (0.2,), (0.3,))), size=64)
        >>> maps.strides, maps.channels
        ((2, 4, 8), (16, 32, 64))
        >>> [tuple(x.shape) for x in maps(torch.rand(5, 1, 64, 64))]
        [(5, 16, 32, 32), (5, 32, 16, 16), (5, 64, 8, 8)]
    """

    def __init__(self, encoder: Encoder, size: int) -> None:
        super().__init__()
        self.encoder = encoder
        training = encoder.training
        encoder.eval()
        try:
            with torch.no_grad():
                found = self._layers(torch.zeros(1, encoder.spec.channels, size, size))
        except (AttributeError, AssertionError, RuntimeError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"{encoder.spec.backbone} makes no maps of {size} × {size} images ({reason}); give a "
                "convolutional backbone"
            ) from error
        finally:
            encoder.train(training)
        sides = [x.shape[-1] for x in found]
        ends = [i for i, (a, b) in enumerate(pairwise([*sides, 0])) if a != b]
        self._ends = tuple(ends)
        self.strides = tuple(round(size / sides[i]) for i in ends)
        self.channels = tuple(found[i].shape[1] for i in ends)

    def forward(self, images: Float[Tensor, "n c h w"]) -> list[Tensor]:
        """Maps ``(n, channels[i], h / strides[i], w / strides[i])`` of images in [0, 1]."""
        found = self._layers(images)
        return [found[i] for i in self._ends]

    def _layers(self, images: Float[Tensor, "n c h w"]) -> list[Tensor]:
        encoder = self.encoder
        x = ((images - encoder.mean) / encoder.std).contiguous(memory_format=torch.channels_last)
        if encoder.spec.backbone != SMALL:
            # Every model of timm has it, or says that it does not.
            take: Any = encoder.backbone.forward_intermediates
            intermediate: list[Tensor] = take(x, intermediates_only=True)
            return intermediate
        found = []
        for layer in encoder.backbone.children():
            if isinstance(layer, nn.AdaptiveAvgPool2d):
                break
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found.append(x)
        return found
