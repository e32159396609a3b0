"""Grounds to lay things on: noise of several grains, stripes, a slope of light."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

# Grains of the noise, in pixels.
GRAINS = (40.0, 16.0, 6.0, 2.5)
# Pixels from stripe to stripe.
STRIPES = (4.0, 24.0)
# Grounds span at least and at most this part of the way from black to white.
CONTRAST = (0.1, 0.6)


def textures(
    count: int, size: int, generator: torch.Generator | None = None
) -> Float[Tensor, "n 1 s s"]:
    """Random grey grounds in [0, 1], each in its own mixture and contrast.

    Args:
        count: how many.
        size: side, in pixels; grains and stripes keep theirs, so that a small ground looks like a piece of
            a large one.
        generator: of the random numbers; torch's own unless given.

    Example:
        >>> import torch
        >>> textures(2, 32, torch.Generator().manual_seed(0)).shape
        torch.Size([2, 1, 32, 32])
    """

    def draw(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator)

    mixed = torch.zeros(count, 1, size, size)
    for grain in GRAINS:
        cells = max(2, math.ceil(size / grain) + 1)
        noise = interpolate(
            draw(1, cells, cells), (size, size), mode="bilinear", align_corners=True
        )
        mixed += draw(1, 1, 1) ** 2 * noise
    place = torch.arange(size, dtype=torch.float32)
    angle, period, phase = math.pi * draw(1, 1, 1), draw(1, 1, 1), draw(1, 1, 1)
    along = angle.cos() * place + angle.sin() * place[:, None]
    waves = along / (STRIPES[0] + (STRIPES[1] - STRIPES[0]) * period) + phase
    mixed += draw(1, 1, 1) ** 2 * (0.5 + 0.5 * (2 * math.pi * waves).sin())
    low, high = mixed.amin((2, 3), keepdim=True), mixed.amax((2, 3), keepdim=True)
    span = CONTRAST[0] + (CONTRAST[1] - CONTRAST[0]) * draw(1, 1, 1)
    return draw(1, 1, 1) * (1 - span) + span * (mixed - low) / (high - low).clamp_min(1e-6)
