"""What is done to a batch of images, each by numbers of its own: the operations behind the views.

All take floats in [0, 1] and keep them there up to rounding, on any device, and agree with
torchvision.transforms.v2 image by image.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

# The four parts of colour jitter; the first three are kinds of ``blend``.
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
# ITU-R 601, with torchvision's digits.
LUMA = (0.2989, 0.587, 0.114)


def resample(
    images: Float[Tensor, "n c h w"], maps: Float[Tensor, "n 2 3"], outside: str = "border"
) -> Float[Tensor, "n c h w"]:
    r"""Images looked at through affine maps, bilinearly: :math:`\text{out}(p) = \text{in}(A p + t)`.

    Places are in [-1, 1] from edge to edge, x first. A map that enlarges needs no filter against aliasing,
    and crops always do: they fill the image again.

    Args:
        images: ``(n, c, h, w)``.
        maps: ``(n, 2, 3)``, of each image ``[A | t]``.
        outside: what is beyond the edges: the nearest pixel (``"border"``) or black (``"zeros"``).

    Example:
        >>> import torch
        >>> mirror = torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
        >>> resample(torch.tensor([[[[0.1, 0.2], [0.3, 0.4]]]]), mirror)
        tensor([[[[0.2000, 0.1000],
                  [0.4000, 0.3000]]]])
    """
    n, _, height, width = images.shape
    x, y = (torch.arange(1, 2 * s, 2, device=images.device) / s - 1 for s in (width, height))
    # A sum of what the column and the row give: a tenth of the time of affine_grid.
    grid = images.new_empty(n, height, width, 2)
    by_column = maps[:, :, 0, None] * x
    by_row = maps[:, :, 1, None] * y + maps[:, :, 2, None]
    for axis in (0, 1):
        torch.add(by_column[:, axis, None, :], by_row[:, axis, :, None], out=grid[..., axis])
    return F.grid_sample(images, grid, padding_mode=outside, align_corners=False)


def grey(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1 h w"]:
    """Luma, 0.2989 R + 0.587 G + 0.114 B.

    Example:
        >>> import torch
        >>> grey(torch.ones(1, 3, 1, 1)).item()
        0.999...
    """
    red, green, blue = torch.split(images, 1, dim=1)
    return (LUMA[0] * red).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def blend(
    images: Float[Tensor, "n c h w"], kinds: Int64[Tensor, " n"], factors: Float[Tensor, " n"]
) -> Float[Tensor, "n c h w"]:
    r"""Brightness, contrast or saturation of each image: :math:`f x + (1 - f) y`, clamped to [0, 1].

    y is black for brightness, the image's mean luma for contrast, and each pixel's luma for saturation. All
    three are one affine map of a pixel's colour, so that images of any kinds go through one product.

    Args:
        images: ``(n, 3, h, w)``, or ``(n, 1, h, w)`` without saturation.
        kinds: of each image, ``BRIGHTNESS``, ``CONTRAST`` or ``SATURATION``.
        factors: f >= 0 of each image; 1 changes nothing.

    Example:
        >>> import torch
        >>> blend(torch.full((1, 1, 1, 1), 0.5), torch.tensor([BRIGHTNESS]), torch.tensor([1.5])).item()
        0.75
    """
    channels = images.shape[1]
    luma = images.new_tensor(LUMA if channels == 3 else (1.0,))
    rest = 1 - factors
    pixels = images.flatten(2)
    matrix = torch.diag_embed(factors[:, None].expand(-1, channels))
    matrix = matrix + (rest * (kinds == SATURATION)).view(-1, 1, 1) * luma
    mean = pixels.mean(dim=2) @ luma
    constant = (rest * (kinds == CONTRAST) * mean).view(-1, 1, 1).expand(-1, channels, 1)
    return torch.baddbmm(constant, matrix, pixels).clamp_(0, 1).view_as(images)


def turn_hue_(images: Float[Tensor, "n 3 h w"], turns: Float[Tensor, " n"]) -> None:
    r"""Turn the hue of each image in place, as through HSV: its largest and smallest channels stay.

    With m the smallest channel and C the largest less m, the hue in sixths of the circle is
    :math:`h = \pm (1 + (g + b - r - m) / C)`, with the sign of g - b: one formula for all six parts of the
    colour hexagon. Back from h in [0, 6), where :math:`[x]_0^1` is x held between 0 and 1:

    .. math::

        r = m + C\,[|h - 3| - 1]_0^1, \quad g = m + C\,[2 - |h - 2|]_0^1, \quad b = m + C\,[2 - |h - 4|]_0^1

    Args:
        images: ``(n, 3, h, w)``, changed.
        turns: of each image, in circles; 0 changes nothing.

    Example:
        >>> import torch
        >>> red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
        >>> turn_hue_(red, torch.tensor([1 / 3]))
        >>> red.flatten().round().abs().tolist()
        [0.0, 1.0, 0.0]
    """
    # Every line is one pass over the pixels, and new memory costs more than the arithmetic: hence in place.
    r, g, b = images.transpose(0, 1).clone(memory_format=torch.contiguous_format)
    least = torch.minimum(r, g)
    torch.minimum(least, b, out=least)
    chroma = torch.maximum(r, g)
    torch.maximum(chroma, b, out=chroma)
    chroma.sub_(least)
    hue = torch.add(g, b).sub_(r).sub_(least)
    hue.div_(chroma.clamp(min=torch.finfo(hue.dtype).tiny)).add_(1)
    scratch = g.sub_(b)
    hue.copysign_(scratch).add_(6 * turns.view(-1, 1, 1))
    torch.mul(hue, 1 / 6, out=scratch)
    hue.sub_(scratch.floor_(), alpha=6)
    # [2 - |h - x|] and [|h - x| - 1] by one clamp of |h - x| to [1, 2].
    low, high = torch.sub(least, chroma, out=r), least.add_(chroma, alpha=2)
    for channel, (centre, base, sign) in enumerate(((3, low, 1), (2, high, -1), (4, high, -1))):
        torch.sub(hue, centre, out=scratch).abs_().clamp_(1, 2)
        torch.addcmul(base, scratch, chroma, value=sign, out=images[:, channel])


def blur(
    images: Float[Tensor, "n c h w"], sigmas: Float[Tensor, " n"], side: int
) -> Float[Tensor, "n c h w"]:
    """Gaussian blur of each image by its own width, over ``side`` taps, mirrored at the edges.

    Args:
        images: ``(n, c, h, w)``.
        sigmas: standard deviation of each, in pixels, above 0.
        side: odd, and less than twice the image's side.

    Example:
        >>> import torch
        >>> line = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]).expand(1, 1, 5, 5)
        >>> blur(line, torch.tensor([0.5]), 3)[0, 0, 0]
        tensor([0.0000, 0.1065, 0.7870, 0.1065, 0.0000])
    """
    n, channels, _, _ = images.shape
    half = side // 2
    taps = torch.arange(-half, half + 1, device=images.device) / sigmas[:, None]
    weights = torch.softmax(-0.5 * taps**2, dim=1).repeat_interleave(channels, dim=0)
    # Each channel of each image is a group with a kernel of its own; first along rows, then along columns.
    blurred = F.pad(images, (half,) * 4, mode="reflect").flatten(0, 1)[None]
    for shape in ((-1, 1, 1, side), (-1, 1, side, 1)):
        blurred = F.conv2d(blurred, weights.reshape(shape), groups=n * channels)
    return blurred.view_as(images)
