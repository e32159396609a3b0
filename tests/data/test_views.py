"""Two views that are random, repeatable, and of the same picture."""

import pytest
import torch

from temperance.data import Views, load_images


@pytest.mark.parametrize("channels", [1, 3])
def test_views_differ_and_the_same_number_gives_the_same_ones(channels: int) -> None:
    images = torch.randint(0, 256, (16, channels, 28, 28), dtype=torch.uint8)
    views = Views(channels, 28)
    a, b = views.pair(images, number=3)
    again, _ = Views(channels, 28).pair(images, number=3)
    other, _ = views.pair(images, number=4)
    assert a.shape == images.shape
    assert 0 <= float(a.min()) <= float(a.max()) <= 1
    torch.testing.assert_close(a, again, rtol=0, atol=0)
    assert not torch.equal(a, b)
    assert not torch.equal(a, other)


def test_each_image_is_changed_in_its_own_way() -> None:
    image = torch.from_numpy(load_images("digits").images[:1]).repeat(8, 1, 1, 1)
    a, _ = Views(1, 8).pair(image, number=0)
    assert len({view.numpy().tobytes() for view in a}) == 8


def test_the_global_generator_is_left_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    Views(1, 28).pair(torch.zeros(4, 1, 28, 28, dtype=torch.uint8), number=9)
    assert torch.equal(torch.rand(1), expected)
