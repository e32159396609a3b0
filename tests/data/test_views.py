"""Two views that are random, repeatable, and of the same picture."""

import pytest
import torch

from temperance import InputError
from temperance.data import Views, load_images


@pytest.mark.parametrize("recipe", ["default", "simclr", "moco-v2"])
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (3, 64), (1, 64)])
def test_views_differ_and_the_same_number_gives_the_same_ones(
    channels: int, size: int, recipe: str
) -> None:
    images = torch.randint(0, 256, (16, channels, size, size), dtype=torch.uint8)
    views = Views(channels, size, recipe)
    a, b = views.pair(images, number=3)
    again, _ = Views(channels, size, recipe).pair(images, number=3)
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


def test_recipes_differ_and_another_is_refused() -> None:
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    pairs = [Views(3, 64, recipe).pair(images, 1)[0] for recipe in ("default", "simclr", "moco-v2")]
    assert len({x.numpy().tobytes() for x in pairs}) == 3
    with pytest.raises(InputError, match="views 'byol' are unknown; give one of default, simclr"):
        Views(3, 64, "byol")


@pytest.mark.parametrize("recipe", ["simclr", "moco-v2"])
def test_colours_change_and_some_pictures_turn_grey(recipe: str) -> None:
    images = torch.tensor([200, 100, 50], dtype=torch.uint8).view(1, 3, 1, 1)
    view, _ = Views(3, 32, recipe).pair(images.repeat(400, 1, 32, 32), 0)
    centre = view[:, :, 16, 16]
    grey = (centre.amax(1) - centre.amin(1)) < 1e-3
    assert 0.1 < float(grey.float().mean()) < 0.3
    unchanged = (centre - images[0, :, 0, 0] / 255).abs().amax(1) < 1e-3
    assert 0.05 < float(unchanged.float().mean()) < 0.3


def test_textured_views_lay_ink_on_grounds() -> None:
    letters = torch.from_numpy(load_images("glyphs").images[:64])
    views = Views(1, 28, "textured")
    a, b = views.pair(letters, 3)
    again, _ = views.pair(letters, 3)
    torch.testing.assert_close(a, again, rtol=0, atol=0)
    assert 0 <= float(a.min()) <= float(a.max()) <= 1
    # The margins are no longer black, nor the ink always lighter than its ground.
    edges = torch.stack([a[:, 0, 0].mean(1), a[:, 0, -1].mean(1)])
    assert float(edges.min()) > 0.02
    assert float(edges.std()) > 0.1
    middle = a[:, 0, 8:20, 8:20].flatten(1)
    assert 0.2 < float((middle.median(1).values > a[:, 0].flatten(1).mean(1)).float().mean()) < 0.8
    assert not torch.equal(a, b)


def test_textured_views_refuse_colours() -> None:
    with pytest.raises(InputError, match="'textured' lay grey ink"):
        Views(3, 32, "textured")
