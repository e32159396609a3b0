"""The operations behind the views, against torchvision's, image by image."""

import math

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from temperance.data.augment import (
    BRIGHTNESS,
    CONTRAST,
    SATURATION,
    blend,
    blur,
    grey,
    resample,
    turn_hue_,
)

FACTORS = torch.tensor([0.0, 0.3, 0.9, 1.0, 1.1, 1.8])


def pictures(count: int, channels: int = 3, size: int = 24) -> torch.Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("turn", [-0.5, -0.3, -0.1, 0.0, 0.04, 0.2, 0.5])
def test_hue(turn: float) -> None:
    images = pictures(4)
    # Greys, primaries, two channels alike, black and white: where the hue has no or two formulas.
    levels = torch.tensor([0.0, 0.5, 1.0])
    images[:, :, 0, :9] = torch.cartesian_prod(levels, levels, levels)[:9].T
    images[:, :, 1, :18] = torch.cartesian_prod(levels, levels, levels)[9:].T
    found = images.clone()
    turn_hue_(found, torch.full((4,), turn))
    torch.testing.assert_close(found, reference.adjust_hue(images, turn), rtol=0, atol=2e-6)
    torch.testing.assert_close(found.amax(1), images.amax(1), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.amin(1), images.amin(1), rtol=0, atol=1e-6)


def test_hue_of_one_picture_by_its_own_turn() -> None:
    images = pictures(3)
    turns = torch.tensor([0.1, -0.2, 0.3])
    together = images.clone()
    turn_hue_(together, turns)
    for i in range(3):
        alone = images[i : i + 1].clone()
        turn_hue_(alone, turns[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=0)
        expected = reference.adjust_hue(images[i], float(turns[i]))
        torch.testing.assert_close(together[i], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("kind", "expected", "channels"),
    [
        (BRIGHTNESS, reference.adjust_brightness, 3),
        (BRIGHTNESS, reference.adjust_brightness, 1),
        (CONTRAST, reference.adjust_contrast, 3),
        (CONTRAST, reference.adjust_contrast, 1),
        (SATURATION, reference.adjust_saturation, 3),
    ],
)
def test_blends(kind: int, expected, channels: int) -> None:
    images = pictures(len(FACTORS), channels)
    found = blend(images, torch.full((len(FACTORS),), kind), FACTORS)
    for image, changed, factor in zip(images, found, FACTORS.tolist(), strict=True):
        torch.testing.assert_close(changed, expected(image, factor), rtol=0, atol=1e-6)


def test_blends_of_several_kinds_at_once() -> None:
    images = pictures(3)
    kinds, factors = torch.tensor([SATURATION, BRIGHTNESS, CONTRAST]), torch.tensor([0.5, 1.5, 0.7])
    together = blend(images, kinds, factors)
    for i in range(3):
        alone = blend(images[i : i + 1], kinds[i : i + 1], factors[i : i + 1])
        torch.testing.assert_close(together[i], alone[0], rtol=0, atol=1e-6)


def test_grey() -> None:
    images = pictures(2)
    torch.testing.assert_close(grey(images), reference.rgb_to_grayscale(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("side", "size"), [(3, 8), (7, 24), (23, 224)])
@pytest.mark.parametrize("channels", [1, 3])
def test_blur_each_by_its_own_width(side: int, size: int, channels: int) -> None:
    images, sigmas = pictures(3, channels, size), torch.tensor([0.1, 0.8, 2.0])
    found = blur(images, sigmas, side)
    for image, blurred, sigma in zip(images, found, sigmas.tolist(), strict=True):
        expected = reference.gaussian_blur(image, [side, side], [sigma, sigma])
        torch.testing.assert_close(blurred, expected, rtol=0, atol=2e-6)


def test_resample_crops_as_torchvision_does() -> None:
    images = pictures(1, size=32)
    top, left, height, width = 4, 7, 20, 15
    maps = torch.tensor(
        [
            [
                [width / 32, 0, (2 * left + width) / 32 - 1],
                [0, height / 32, (2 * top + height) / 32 - 1],
            ]
        ]
    )
    found = resample(images, maps)
    # Torchvision cuts first, and then repeats the cut's edge; here the pixels beyond it are still known.
    for antialias in (True, False):
        expected = reference.resized_crop(
            images, top, left, height, width, [32, 32], antialias=antialias
        )
        inside = (..., slice(1, -1), slice(2, -2))
        torch.testing.assert_close(found[inside], expected[inside], rtol=0, atol=1e-5)
    torch.testing.assert_close(resample(images, torch.eye(2, 3)[None]), images, rtol=0, atol=1e-5)


def test_resample_turns_and_mirrors_as_torchvision_does() -> None:
    images = pictures(1, size=32)
    cos, sin = math.cos(math.radians(10)), math.sin(math.radians(10))
    found = resample(images, torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]]))
    expected = reference.rotate(images, 10.0, reference.InterpolationMode.BILINEAR)
    inside = (..., slice(8, -8), slice(8, -8))
    torch.testing.assert_close(found[inside], expected[inside], rtol=0, atol=1e-4)
    mirror = torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    torch.testing.assert_close(resample(images, mirror), images.flip(3), rtol=0, atol=1e-5)


def test_resample_goes_on_beyond_the_edge_or_is_black() -> None:
    image = torch.full((1, 1, 4, 4), 0.5)
    away = torch.tensor([[[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]])
    assert resample(image, away).unique().tolist() == [0.5]
    assert resample(image, away, "zeros").unique().tolist() == [0.0]
