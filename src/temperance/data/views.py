"""Two random views of each image: what the loss is told to call the same."""

import kornia.augmentation as augment
import torch
from jaxtyping import Float, UInt8
from torch import Tensor


class Views:
    """Random views of a batch; the same number gives the same views.

    Grey images (letters, digits) are shifted, turned by up to 12°, enlarged by up to 1.4 (a crop of half
    the area), blurred, and changed in contrast and noise; they are not mirrored, since a mirrored letter is
    another letter. Colour images get SimCLR's recipe (Chen et al. 2020, arXiv 2002.05709): a random
    resized crop, mirroring, colour jitter and grey.

    Args:
        channels: 1 (grey) or 3 (RGB).
        size: side of the images, in pixels.

    Example:
        >>> import torch
        >>> views = Views(channels=1, size=28)
        >>> a, b = views.pair(torch.zeros(4, 1, 28, 28, dtype=torch.uint8), number=7)
        >>> a.shape, b.dtype
        (torch.Size([4, 1, 28, 28]), torch.float32)
    """

    def __init__(self, channels: int, size: int) -> None:
        recipe = _grey() if channels == 1 else _colour(size)
        self._augment = augment.AugmentationSequential(*recipe, data_keys=["input"])

    def pair(
        self, images: UInt8[Tensor, "n c h w"], number: int
    ) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"]]:
        """Two views of each image, in [0, 1].

        Args:
            images: ``(n, channels, size, size)`` bytes.
            number: seeds the views, so that a run resumed in the middle sees what it would have seen.
        """
        # The library draws from torch's global generator: lend it one state and put the old one back.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            twice = self._augment(torch.cat([images, images]).float() / 255)
        first, second = twice.clamp(0, 1).chunk(2)
        return first, second


def _grey() -> list[augment.AugmentationBase2D]:
    return [
        augment.RandomAffine(12.0, translate=(0.1, 0.1), scale=(1.0, 1.4), padding_mode="border"),
        augment.RandomGaussianBlur((3, 3), (0.1, 1.0), p=0.5),
        augment.RandomContrast((0.6, 1.4), p=0.8),
        augment.RandomGaussianNoise(std=0.05, p=0.5),
    ]


def _colour(size: int) -> list[augment.AugmentationBase2D]:
    return [
        augment.RandomResizedCrop((size, size), scale=(0.2, 1.0), cropping_mode="resample"),
        augment.RandomHorizontalFlip(),
        augment.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        augment.RandomGrayscale(p=0.2),
    ]
