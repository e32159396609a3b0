"""Two views that are random, repeatable, and of the same picture."""

import pytest
import torch

from temperance import InputError
from temperance.data import Views, load_images
from temperance.data.augment import resample
from temperance.data.views import RECIPES, _plan


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


@pytest.mark.parametrize(
    ("channels", "size", "recipe"),
    [
        (1, 28, "default"),
        (3, 32, "default"),
        (3, 64, "simclr"),
        (3, 64, "moco-v2"),
        (1, 28, "textured"),
    ],
)
def test_parts_of_a_batch_get_the_views_of_the_whole(
    channels: int, size: int, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.randint(0, 256, (24, channels, size, size), dtype=torch.uint8)
    views = Views(channels, size, recipe)
    whole = views.pair(images, 11)
    parts = [views.pair(images[i : i + 8], 11, first=i, total=24) for i in (0, 8, 16)]
    # Nor does it matter how many are worked on at a time.
    monkeypatch.setattr("temperance.data.views.CHUNK", 3 * size**2)
    piecemeal = views.pair(images, 11)
    for view, several, slowly in zip(whole, zip(*parts, strict=True), piecemeal, strict=True):
        torch.testing.assert_close(torch.cat(several), view, rtol=0, atol=1e-6)
        torch.testing.assert_close(slowly, view, rtol=0, atol=1e-6)


def test_rows_that_a_batch_has_not_are_refused() -> None:
    images = torch.zeros(4, 1, 28, 28, dtype=torch.uint8)
    with pytest.raises(InputError, match="rows 6 to 10 are not in a batch of 8; give the first"):
        Views(1, 28).pair(images, 0, first=6, total=8)
    with pytest.raises(InputError, match=r"rows 1 to 5 part neighbours, .* even rows"):
        Views(1, 28, "textured").pair(images, 0, first=1, total=8)


def test_views_are_in_float32_under_autocast() -> None:
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    views = Views(3, 32, "moco-v2")
    plain, _ = views.pair(images, 2)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = views.pair(images, 2)
    torch.testing.assert_close(found, plain, rtol=0, atol=0)
    assert not found.requires_grad


def test_letters_are_not_mirrored_and_pictures_are_half_of_the_time() -> None:
    # White on the left. Neither a crop, a turn of 12° nor a shift of a tenth brings it to the right.
    half = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    half[..., :16] = 255

    def right(channels: int, recipe: str) -> float:
        view, _ = Views(channels, 32, recipe).pair(half.repeat(400, channels, 1, 1), 5)
        left, beyond = view.mean(1).chunk(2, dim=2)
        return float((beyond.mean((1, 2)) > left.mean((1, 2)) + 0.02).float().mean())

    assert right(1, "default") == 0
    for recipe in ("default", "simclr", "moco-v2"):
        assert 0.3 < right(3, recipe) < 0.6


@pytest.mark.parametrize(("recipe", "least"), [("default", 0.2), ("simclr", 0.08)])
def test_crops_have_the_sizes_of_the_papers(recipe: str, least: float) -> None:
    # A slope of light across and one down: their steepness in a view is the crop's width and height.
    slope = torch.linspace(40, 215, 64).round().byte()
    images = torch.stack([slope.expand(64, 64), slope[:, None].expand(64, 64), torch.zeros(64, 64)])
    recipe = RECIPES[recipe](64, False)
    plan = _plan(recipe, 64, torch.Generator().manual_seed(0), range(500), 500, count=2)
    seen = resample(images.float().expand(1000, 3, 64, 64) / 255, plan["maps"])
    # From the second pixel to the last but one are 61 of 63 steps.
    whole = 175 / 255 * 61 / 63
    width = (seen[:, 0, 32, -2] - seen[:, 0, 32, 1]).abs() / whole
    height = (seen[:, 1, -2, 32] - seen[:, 1, 1, 32]).abs() / whole
    area, shape = width * height, width / height
    assert least - 0.01 < float(area.min()) < least + 0.03
    assert 0.95 < float(area.max()) < 1.01
    assert abs(float(area.mean()) - (1 + least) / 2) < 0.06
    assert 0.74 < float(shape.min()) < 0.8
    assert 1.25 < float(shape.max()) < 1.35


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


@pytest.mark.parametrize("recipe", ["simclr", "textured"])
def test_one_view_is_a_view_and_a_part_gets_that_of_the_whole(recipe: str) -> None:
    channels = 1 if recipe == "textured" else 3
    images = torch.randint(0, 256, (12, channels, 28, 28)).byte()
    views = Views(channels, 28, recipe)
    whole = views.single(images, number=3)
    assert whole.shape == (12, channels, 28, 28)
    assert 0 <= whole.min() < whole.max() <= 1
    part = views.single(images[4:8], number=3, first=4, total=12)
    torch.testing.assert_close(part, whole[4:8], rtol=0, atol=1e-6)
    if recipe == "simclr":  # without noise and grounds it is the first of a pair
        torch.testing.assert_close(views.pair(images, number=3)[0], whole, rtol=0, atol=1e-6)
