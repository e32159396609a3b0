"""The built-in letters are what they are said to be."""

import json
from importlib import resources

import numpy as np
import pytest

from temperance.data import ImageSet, load_images, split

ROOM = resources.files("temperance.data")


@pytest.fixture(scope="module")
def glyphs() -> ImageSet:
    return load_images("glyphs")


@pytest.fixture(scope="module")
def fonts() -> list[dict[str, str]]:
    return json.loads((ROOM / "glyphs.json").read_text(encoding="utf-8"))["fonts"]


def test_many_fonts_of_many_families_each_with_a_licence(fonts) -> None:
    assert len(fonts) >= 150
    assert len({font["family"] for font in fonts}) >= 60
    assert all(font["licence"] and font["package"] and font["version"] for font in fonts)


def test_every_picture_is_a_letter_of_its_own(glyphs: ImageSet, fonts) -> None:
    assert glyphs.images.shape == (26 * len(fonts), 1, 28, 28)
    assert len({picture.tobytes() for picture in glyphs.images}) == len(glyphs)
    ink = (glyphs.images > 127).sum(axis=(1, 2, 3))
    assert ink.min() >= 10


def test_the_files_are_small() -> None:
    assert sum(len((ROOM / name).read_bytes()) for name in ("glyphs.png", "glyphs.json")) <= 2e6


def test_splits_hold_out_whole_families(glyphs: ImageSet) -> None:
    parts = split(glyphs)
    families = [set(glyphs.groups[rows]) for rows in (parts.train, parts.validation, parts.test)]
    assert not families[0] & families[1]
    assert not families[0] & families[2]
    assert not families[1] & families[2]
    for rows in (parts.train, parts.validation, parts.test):
        assert set(glyphs.labels[rows]) == set(range(26))
    shares = np.array([len(rows) for rows in (parts.train, parts.validation, parts.test)])
    np.testing.assert_allclose(shares / len(glyphs), [0.6, 0.2, 0.2], atol=0.02)
