"""Two random views of each image: what the loss is told to call the same."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from temperance.data.augment import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    SATURATION,
    blend,
    blur,
    grey,
    resample,
    turn_hue_,
)
from temperance.data.textures import textures
from temperance.errors import InputError

# Below this a picture is small as CIFAR's are, and is not blurred by SimCLR.
SMALL = 64
TEXTURED = "textured"
# Ink differs from the middle of its ground by this much of the way from black to white, at least.
INK_CONTRAST = 0.25
# Width over height of a crop, and how many crops are tried, as torchvision does.
SHAPES = (3 / 4, 4 / 3)
TRIES = 10
# Pixels that a CPU works on at a time: the fewer, the more of them are in its caches, and the more calls.
CHUNK = 1 << 19
# A field of noise is wider than the images by this; each image takes its noise from somewhere in it.
NOISE = 256


@dataclass(frozen=True)
class Recipe:
    """What is done to an image, in this order; None or 0 where it is not.

    Attributes:
        crop: least area of a random resized crop, as a part of the image's.
        turn: largest angle to either side, in degrees.
        shift: largest shift in each direction, as a part of the side.
        zoom: range of the enlargement.
        mirror: chance that left and right are exchanged.
        outside: what is seen beyond the edges, as in ``resample``.
        grounds: whether images are ink, to be laid on textures.
        jitter: strengths of brightness, contrast, saturation (a factor in [max(0, 1 - s), 1 + s]) and hue (a
            turn in [-s, s] circles), in an order of each image's own.
        jittered: chance of it.
        grey: chance that colours become grey.
        blur: taps on a side of a Gaussian blur.
        sigma: range of its width, in pixels.
        blurred: chance of it.
        noise: standard deviation of Gaussian noise.
        noisy: chance of it.
    """

    crop: float | None = None
    turn: float = 0.0
    shift: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    mirror: float = 0.0
    outside: str = "border"
    grounds: bool = False
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    jittered: float = 0.8
    grey: float = 0.0
    blur: int | None = None
    sigma: tuple[float, float] = (0.1, 2.0)
    blurred: float = 0.5
    noise: float = 0.0
    noisy: float = 0.5


@contextmanager
def _in_float32() -> Iterator[None]:
    """A trainer in double precision makes that torch's default, which would mix the two here."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(usual)


class Views:
    """Random views of a batch, made on its device; the same number gives the same views.

    ``"default"``: grey images (letters, digits) are shifted, turned by up to 12°, enlarged by up to 1.4 (a
    crop of half the area), made lighter or darker, blurred, and given noise; they are not mirrored, since a
    mirrored letter is another letter. Colour images get a random resized crop of at least a fifth,
    mirroring, colour jitter of half strength and grey.

    ``"simclr"`` (Chen et al. 2020, arXiv 2002.05709): a random resized crop of at least 8 % of the area,
    mirroring, colour jitter of strength 1, grey, and blur; below 64 pixels, as theirs for CIFAR-10, jitter of
    strength 0.5 and no blur. ``"moco-v2"`` (Chen et al. 2020, arXiv 2003.04297): a crop of at least a fifth,
    jitter of 0.4, 0.4, 0.4 and 0.1, grey, blur, mirroring. What only colours have (saturation, hue) is left
    alone in grey images.

    ``"crop"`` is what linear probes are trained on: mirroring and a crop of at least 8 % alone; grey images
    are shifted and enlarged as by ``"default"``.

    ``"textured"`` is for light ink on black (letters, digits) that will have to be found in scenes: shifted,
    turned by up to 12°, scaled by 0.7 to 1.4, laid in a random grey on a random textured ground, with a piece
    of another image of the batch beside or over it half of the time, and noise.

    All that is random is drawn beforehand, on the CPU, for the whole batch: a part of a batch gets the views
    that it would get in the whole, and another device the same ones, up to rounding.

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
        self.recipe = RECIPES[recipe](size, channels == 1)

    def pair(
        self,
        images: UInt8[Tensor, "n c h w"],
        number: int,
        *,
        first: int = 0,
        total: int | None = None,
    ) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"]]:
        """Two views of each image, in [0, 1] and in float32, whatever the model computes in.

        Args:
            images: ``(n, channels, size, size)`` bytes.
            number: seeds the views, so that a run resumed in the middle sees what it would have seen.
            first: row of the first image in its batch, of which the others are elsewhere.
            total: rows of that batch; unless given, these images are the batch.

        Raises:
            InputError: if the batch has no such rows.

        Example:
            >>> import torch
            >>> views, images = Views(1, 28), torch.randint(0, 256, (8, 1, 28, 28)).byte()
            >>> whole, _ = views.pair(images, number=7)
            >>> half, _ = views.pair(images[4:], number=7, first=4, total=8)
            >>> torch.allclose(whole[4:], half, atol=1e-6)
            True
        """
        a, b = self._made(images, number, 2, first, total).chunk(2)
        return a, b

    def single(
        self,
        images: UInt8[Tensor, "n c h w"],
        number: int,
        *,
        first: int = 0,
        total: int | None = None,
    ) -> Float[Tensor, "n c h w"]:
        """One view of each image; arguments as of ``pair``."""
        return self._made(images, number, 1, first, total)

    @_in_float32()
    def _made(
        self, images: Tensor, number: int, count: int, first: int, total: int | None
    ) -> Tensor:
        n, channels, size, _ = images.shape
        total = n if total is None else total
        if not 0 <= first <= total - n:
            raise InputError(
                f"rows {first} to {first + n} are not in a batch of {total}; give the first and the total"
            )
        device = images.device
        generator = torch.Generator().manual_seed(number)
        plan = _plan(self.recipe, size, generator, range(first, first + n), total, count)
        side = size + NOISE - 1
        field = (
            torch.randn(channels, side, side, generator=generator) if self.recipe.noise else None
        )
        views = torch.empty(count * n, channels, size, size, device=device)
        at_once = max(1, CHUNK // size**2) if device.type == "cpu" else count * n
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            for start in range(0, count * n, at_once):
                part = {name: x[start : start + at_once] for name, x in plan.items()}
                made = _made(images, self.recipe, part, field)
                views.index_copy_(0, part["row"].to(device), made)
        return views


# What is drawn for each view, uniformly in [0, 1): how many numbers of each name.
CHANCES = {
    "area": TRIES,
    "shape": TRIES,
    "place": 2,
    "turn": 1,
    "shift": 2,
    "zoom": 1,
    "mirror": 1,
    "levels": 2,
    "direction": 1,
    "distance": 1,
    "beside": 1,
    "under": 1,
    "jittered": 1,
    "order": 4,
    "strength": 4,
    "grey": 1,
    "blurred": 1,
    "sigma": 1,
    "noisy": 1,
    "noise": 2,
}
# By name, one row for each view, on the CPU.
Plan = dict[str, Tensor]


def _plan(
    recipe: Recipe, size: int, generator: torch.Generator, rows: range, total: int, count: int
) -> Plan:
    """What is done to each view of some rows of a batch; which view it is, under ``"row"``."""
    n = len(rows)
    chances = torch.rand(count, total, sum(CHANCES.values()), generator=generator)
    chances = chances[:, rows.start : rows.stop].flatten(0, 1)
    parts = torch.split(chances, list(CHANCES.values()), dim=1)
    plan = {name: part.squeeze(1) for name, part in zip(CHANCES, parts, strict=True)}
    plan["row"] = torch.arange(count * n)
    plan["maps"] = _maps(recipe, plan)
    plan |= _jitter(recipe, plan)
    if recipe.grounds:
        grounds = textures(count * total, size, generator).view(count, total, 1, size, size)
        plan["ground"] = grounds[:, rows.start : rows.stop].flatten(0, 1)
        plan |= _beside(plan, rows, total)
    # Rows whose hue is turned at the same time stand together.
    order = plan["hue_at"].argsort(stable=True)
    return {name: column[order] for name, column in plan.items()}


def _maps(recipe: Recipe, plan: Plan) -> Float[Tensor, "n 2 3"]:
    """Crop, turn, shift, enlargement and mirroring, as the one map that ``resample`` takes."""
    place = 2 * plan["place"] - 1
    extent = torch.ones_like(place)
    if recipe.crop is not None:
        areas = _between((recipe.crop, 1.0), plan["area"])
        shapes = _between((math.log(SHAPES[0]), math.log(SHAPES[1])), plan["shape"]).exp()
        sides = torch.stack([areas * shapes, areas / shapes], dim=2).sqrt()
        fits = (sides <= 1).all(dim=2)
        first = sides[torch.arange(len(sides)), fits.float().argmax(dim=1)]
        extent = torch.where(fits.any(dim=1, keepdim=True), first, extent)
    angle = math.radians(recipe.turn) * (2 * plan["turn"] - 1)
    cos, sin = angle.cos(), angle.sin()
    sign = torch.where(plan["mirror"] < recipe.mirror, -1.0, 1.0)
    turned = torch.stack([cos * sign, -sin, sin * sign, cos], dim=1).view(-1, 2, 2)
    linear = extent[:, :, None] * turned / _between(recipe.zoom, plan["zoom"]).view(-1, 1, 1)
    # The whole side is 2 in the coordinates of ``resample``.
    shift = 2 * recipe.shift * (2 * plan["shift"] - 1)
    moved = (place * (1 - extent))[:, :, None] - linear @ shift[:, :, None]
    return torch.cat([linear, moved], dim=2)


def _jitter(recipe: Recipe, plan: Plan) -> Plan:
    """The blends of each image in its order, and after how many of them its hue is turned."""
    blends = [kind for kind in (BRIGHTNESS, CONTRAST, SATURATION) if recipe.jitter[kind]]
    strengths, chances, order = torch.tensor(recipe.jitter), plan["strength"], plan["order"]
    factors = _between(((1 - strengths[:HUE]).clamp(min=0), 1 + strengths[:HUE]), chances[:, :HUE])
    kinds = torch.tensor(blends, dtype=torch.long)[order[:, blends].argsort(dim=1)]
    hue_at = (order[:, blends] < order[:, HUE:]).sum(dim=1)
    return {
        "kinds": kinds,
        "factors": factors.gather(1, kinds),
        "turns": _between((-strengths[HUE], strengths[HUE]), chances[:, HUE]),
        # What is not jittered comes last.
        "hue_at": torch.where(plan["jittered"] < recipe.jittered, hue_at, len(blends) + 1),
    }


def _beside(plan: Plan, rows: range, total: int) -> Plan:
    """A neighbour of each image, moved aside by more than half its side."""
    if rows.start % 2 or (rows.stop % 2 and rows.stop != total):
        raise InputError(
            f"rows {rows.start} to {rows.stop} part neighbours, which views {TEXTURED!r} lay side by side; "
            "begin and end at even rows"
        )
    n = len(rows)
    # Neighbours are two and two, so that a part of a batch holds them; a last one is alone.
    row = plan["row"]
    neighbour = (row % n ^ 1).clamp(max=n - 1) + row // n * n
    angle, away = 2 * math.pi * plan["direction"], 2 * _between((0.55, 0.9), plan["distance"])
    aside = torch.stack([angle.cos() * away, angle.sin() * away], dim=1)
    maps = plan["maps"][neighbour]
    maps[:, :, 2:] += maps[:, :, :2] @ aside[:, :, None]
    return {"neighbour": neighbour, "beside_maps": maps}


def _made(
    images: UInt8[Tensor, "n c h w"], recipe: Recipe, plan: Plan, field: Tensor | None
) -> Float[Tensor, "m c h w"]:
    """The views that a plan asks for."""
    device = images.device

    def there(name: str) -> Tensor:
        return plan[name].to(device)

    def seen(row: str, maps: str) -> Tensor:
        chosen = images.index_select(0, there(row) % len(images)).float().div_(255)
        return resample(chosen, there(maps), recipe.outside)

    def drawn(name: str, chance: float) -> Tensor:
        return (plan[name] < chance).nonzero()[:, 0]

    views = seen("row", "maps")
    if recipe.grounds:
        views = _on_grounds(views, seen("neighbour", "beside_maps"), plan)
    _jitter_(views, plan, recipe)
    rows = drawn("grey", recipe.grey)
    if len(rows):
        here = rows.to(device)
        views[here] = grey(views[here])
    rows = drawn("blurred", recipe.blurred)
    if recipe.blur is not None and len(rows):
        sigmas, here = _between(recipe.sigma, plan["sigma"][rows]).to(device), rows.to(device)
        views[here] = blur(views[here], sigmas, recipe.blur)
    rows = drawn("noisy", recipe.noisy)
    if field is not None and len(rows):
        size, here = images.shape[2], rows.to(device)
        y, x = (plan["noise"][rows] * NOISE).long().to(device).unbind(1)
        windows = field.to(device).unfold(1, size, 1).unfold(2, size, 1)
        views[here] += recipe.noise * windows[:, y, x].transpose(0, 1)
    return views.clamp_(0, 1)


def _jitter_(images: Float[Tensor, "n c h w"], plan: Plan, recipe: Recipe) -> None:
    """Brightness, contrast, saturation and hue of each image in place, in an order of its own."""
    kinds, factors, turns = (plan[x].to(images.device) for x in ("kinds", "factors", "turns"))
    *counts, _ = plan["hue_at"].bincount(minlength=kinds.shape[1] + 2).tolist()
    jittered, start = sum(counts), 0
    views = images[:jittered]
    for step, count in enumerate(counts):
        if recipe.jitter[HUE] and count:
            turn_hue_(views[start : start + count], turns[start : start + count])
        start += count
        if jittered and step < kinds.shape[1]:
            views = blend(views, kinds[:jittered, step], factors[:jittered, step])
    images[:jittered] = views


def _on_grounds(
    ink: Float[Tensor, "n 1 h w"], beside: Float[Tensor, "n 1 h w"], plan: Plan
) -> Float[Tensor, "n 1 h w"]:
    """Lay ink, as opaque as it is light, on grounds; half of the images get a piece of their neighbour."""
    seen = plan["ground"]
    grounds = seen.mean((2, 3))
    # Of the levels that differ enough from the ground's, one at random for each ink.
    below = (grounds - INK_CONTRAST).clamp_min(0)
    free = below + (1 - grounds - INK_CONTRAST).clamp_min(0)
    place = plan["levels"] * free
    levels = torch.where(place < below, place, place - below + grounds + INK_CONTRAST)
    own, other = levels.to(ink.device).view(-1, 2, 1, 1, 1).unbind(1)
    shown, under = ((plan[x] < 0.5).to(ink.device).view(-1, 1, 1, 1) for x in ("beside", "under"))
    beside = beside * shown
    seen = seen.to(ink.device)
    for shape, level in ((beside * under, other), (ink, own), (beside * ~under, other)):
        seen = seen + shape * (level - seen)
    return seen


def _between(
    ends: tuple[float | Tensor, float | Tensor], chances: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    return ends[0] + (ends[1] - ends[0]) * chances


def _default(size: int, grey: bool) -> Recipe:
    if grey:
        return Recipe(
            turn=12.0,
            shift=0.1,
            zoom=(1.0, 1.4),
            jitter=(0.4, 0.0, 0.0, 0.0),
            blur=3,
            sigma=(0.1, 1.0),
            noise=0.05,
        )
    return Recipe(crop=0.2, mirror=0.5, jitter=(0.4, 0.4, 0.4, 0.1), grey=0.2)


def _simclr(size: int, grey: bool) -> Recipe:
    strength = 0.5 if size < SMALL else 1.0
    light, hue = 0.8 * strength, 0.2 * strength
    blur = None if size < SMALL else _tenth(size)
    recipe = Recipe(crop=0.08, mirror=0.5, jitter=(light, light, light, hue), grey=0.2, blur=blur)
    return _without_colours(recipe) if grey else recipe


def _moco_v2(size: int, grey: bool) -> Recipe:
    blur = _tenth(size)
    recipe = Recipe(crop=0.2, mirror=0.5, jitter=(0.4, 0.4, 0.4, 0.1), grey=0.2, blur=blur)
    return _without_colours(recipe) if grey else recipe


def _crop(size: int, grey: bool) -> Recipe:
    return Recipe(shift=0.1, zoom=(1.0, 1.4)) if grey else Recipe(crop=0.08, mirror=0.5)


def _textured(size: int, grey: bool) -> Recipe:
    return Recipe(
        turn=12.0,
        shift=0.12,
        zoom=(0.7, 1.4),
        outside="zeros",
        grounds=True,
        noise=0.03,
        noisy=1.0,
    )


def _without_colours(recipe: Recipe) -> Recipe:
    brightness, contrast, _, _ = recipe.jitter
    return replace(recipe, jitter=(brightness, contrast, 0.0, 0.0), grey=0.0)


def _tenth(size: int) -> int:
    """Taps of a blur over a tenth of the image: at least 3, and odd."""
    return max(3, round(0.1 * size) // 2 * 2 + 1)


# By what people call them: from the side of the images, and whether they are grey, to what is done to them.
RECIPES: dict[str, Callable[[int, bool], Recipe]] = {
    "default": _default,
    "simclr": _simclr,
    "moco-v2": _moco_v2,
    "crop": _crop,
    TEXTURED: _textured,
}
