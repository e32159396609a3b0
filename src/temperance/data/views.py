"""Two random views of each image: what the loss is told to call the same."""

import math
from collections.abc import Callable

import kornia.augmentation as augment
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from temperance.data.textures import textures
from temperance.errors import InputError

# Below this a picture is small as CIFAR's are, and is not blurred by SimCLR.
SMALL = 64
TEXTURED = "textured"
# Ink differs from the middle of its ground by this much of the way from black to white, at least.
INK_CONTRAST = 0.25


class Views:
    """Random views of a batch, made on its device; the same number gives the same views.

    ``"default"``: grey images (letters, digits) are shifted, turned by up to 12°, enlarged by up to 1.4 (a
    crop of half the area), blurred, and changed in contrast and noise; they are not mirrored, since a
    mirrored letter is another letter. Colour images get a random resized crop of at least a fifth,
    mirroring, colour jitter of half strength and grey.

    ``"simclr"`` (Chen et al. 2020, arXiv 2002.05709): a random resized crop of at least 8 % of the area,
    mirroring, colour jitter of strength 1, grey, and blur; below 64 pixels, as theirs for CIFAR-10, jitter of
    strength 0.5 and no blur. ``"moco-v2"`` (Chen et al. 2020, arXiv 2003.04297): a crop of at least a fifth,
    jitter of 0.4, 0.4, 0.4 and 0.1, grey, blur, mirroring. What only colours have (saturation, hue) is left
    alone in grey images.

    ``"textured"`` is for light ink on black (letters, digits) that will have to be found in scenes: shifted,
    turned by up to 12°, scaled by 0.7 to 1.4, laid in a random grey on a random textured ground, with a piece
    of another image of the batch beside or over it half of the time, and noise.

    Args:
        channels: 1 (grey) or 3 (RGB).
        size: side of the images, in pixels.
        recipe: one of those above.

    Raises:
        InputError: if there is no such recipe, or it is not for images in colour.

    Example:
        >>> import torch
        >>> views = Views(channels=1, size=28)
        >>> a, b = views.pair(torch.zeros(4, 1, 28, 28, dtype=torch.uint8), number=7)
        >>> a.shape, b.dtype
        (torch.Size([4, 1, 28, 28]), torch.float32)
    """

    def __init__(self, channels: int, size: int, recipe: str = "default") -> None:
        if recipe not in RECIPES:
            raise InputError(f"views {recipe!r} are unknown; give one of {', '.join(RECIPES)}")
        if recipe == TEXTURED and channels != 1:
            raise InputError(
                f"views {recipe!r} lay grey ink on grounds, and these images have colours; give another"
            )
        steps = RECIPES[recipe](size, channels == 1)
        self._augment = augment.AugmentationSequential(*steps, data_keys=["input"])
        self._finish = _on_grounds if recipe == TEXTURED else torch.Tensor.clone

    def pair(
        self, images: UInt8[Tensor, "n c h w"], number: int
    ) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"]]:
        """Two views of each image, in [0, 1].

        Args:
            images: ``(n, channels, size, size)`` bytes.
            number: seeds the views, so that a run resumed in the middle sees what it would have seen.
        """
        # The library draws from torch's global generators: lend it a state and put the old one back.
        with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
            torch.manual_seed(number)
            twice = self._finish(self._augment(torch.cat([images, images]).float() / 255))
        first, second = twice.clamp(0, 1).chunk(2)
        return first, second


Steps = list[augment.AugmentationBase2D]


def _default(size: int, grey: bool) -> Steps:
    if grey:
        return [
            augment.RandomAffine(12.0, (0.1, 0.1), (1.0, 1.4), padding_mode="border"),
            augment.RandomGaussianBlur((3, 3), (0.1, 1.0), p=0.5),
            augment.RandomContrast((0.6, 1.4), p=0.8),
            augment.RandomGaussianNoise(std=0.05, p=0.5),
        ]
    return [*_crop(size, 0.2), augment.RandomHorizontalFlip(), *_colours(0.4, 0.4, 0.1, grey)]


def _simclr(size: int, grey: bool) -> Steps:
    strength = 0.5 if size < SMALL else 1.0
    return [
        *_crop(size, 0.08),
        augment.RandomHorizontalFlip(),
        *_colours(0.8 * strength, 0.8 * strength, 0.2 * strength, grey),
        *([] if size < SMALL else _blur(size)),
    ]


def _moco_v2(size: int, grey: bool) -> Steps:
    return [
        *_crop(size, 0.2),
        *_colours(0.4, 0.4, 0.1, grey),
        *_blur(size),
        augment.RandomHorizontalFlip(),
    ]


def _textured(size: int, grey: bool) -> Steps:
    return [augment.RandomAffine(12.0, (0.12, 0.12), (0.7, 1.4))]


def _on_grounds(ink: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
    """Lay ink, as opaque as it is light, on grounds; half of the images get a piece of their neighbour."""
    count, _, size, _ = ink.shape

    def draw() -> Tensor:
        return torch.rand(count, 1, 1, 1)

    seen = textures(count, size).to(ink)
    grounds = seen.mean((2, 3), keepdim=True)
    # Of the levels that differ enough from the ground's, one at random.
    below = (grounds - INK_CONTRAST).clamp_min(0)
    free = below + (1 - grounds - INK_CONTRAST).clamp_min(0)

    def level() -> Tensor:
        place = draw().to(ink) * free
        return torch.where(place < below, place, place - below + grounds + INK_CONTRAST)

    def lay(shape: Tensor) -> Tensor:
        return seen + shape * (level() - seen)

    # A neighbour's ink stands off by more than half the image, to any side.
    angle = 2 * math.pi * draw()
    away = size * (0.55 + 0.35 * draw())
    turned = torch.cat([angle.cos() * away, angle.sin() * away], dim=3) / (size / 2)
    grid = torch.eye(2, 3).expand(count, 2, 3).clone()
    grid[:, :, 2] = turned.view(count, 2)
    beside = grid_sample(
        ink.roll(1, 0),
        affine_grid(grid, [*ink.shape], align_corners=False).to(ink),
        align_corners=False,
    )
    beside = beside * (draw().to(ink) < 0.5)
    under = draw().to(ink) < 0.5
    seen = lay(beside * under)
    seen = lay(ink)
    seen = lay(beside * ~under)
    return seen + 0.03 * torch.randn_like(seen)


def _crop(size: int, least: float) -> Steps:
    return [augment.RandomResizedCrop((size, size), scale=(least, 1.0), cropping_mode="resample")]


def _colours(light: float, saturation: float, hue: float, grey: bool) -> Steps:
    if grey:
        return [augment.ColorJitter(light, light, p=0.8)]
    jitter = augment.ColorJitter(light, light, saturation, hue, p=0.8)
    return [jitter, augment.RandomGrayscale(p=0.2)]


def _blur(size: int) -> Steps:
    side = max(3, round(0.1 * size) // 2 * 2 + 1)  # a tenth of the image, and odd
    return [augment.RandomGaussianBlur((side, side), (0.1, 2.0), p=0.5)]


# By what people call them: from the side of the images, and whether they are grey, to what is done to them.
RECIPES: dict[str, Callable[[int, bool], Steps]] = {
    "default": _default,
    "simclr": _simclr,
    "moco-v2": _moco_v2,
    TEXTURED: _textured,
}
