"""Train, validation, test: what learns, what chooses, what is only reported."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from temperance.data.images import ImageSet

# Shares of validation and test; the rest trains.
HELD_OUT = 0.2


@dataclass(frozen=True)
class Splits:
    """Row numbers of the three parts; no image is in two of them.

    Attributes:
        train: the extractor learns from these, without labels; downstream heads with labels.
        validation: chooses the temperature.
        test: reported, never used to choose.
    """

    train: Int64[np.ndarray, " a"]
    validation: Int64[np.ndarray, " b"]
    test: Int64[np.ndarray, " c"]


def split(images: ImageSet, seed: int = 0) -> Splits:
    """Divide a set 60 / 20 / 20, the same for every temperature and seed of a sweep.

    Groups stay whole (all letters of a font family on one side), so that held-out images are new in kind.
    Without groups each class is divided alike; a class with fewer than three images trains only. Where the
    source keeps images for testing, those are the test images, and the rest is divided 80 / 20.

    Args:
        images: what to divide.
        seed: of the shuffle.

    Example:
        >>> import numpy as np
        >>> parts = split(ImageSet("grey", np.zeros((10, 1, 8, 8), np.uint8)))
        >>> len(parts.train), len(parts.validation), len(parts.test)
        (6, 2, 2)
    """
    random = np.random.default_rng(seed)
    if images.groups is not None:
        part = _by_group(images.groups, random)
    else:
        part = np.zeros(len(images), dtype=np.int64)
        labels = images.labels if images.labels is not None else np.zeros(len(images), np.int64)
        kept = np.zeros(len(images), dtype=bool) if images.test is None else images.test
        for label in np.unique(labels):
            rows = random.permutation(np.flatnonzero((labels == label) & ~kept))
            held = max(1, round(HELD_OUT * len(rows))) if len(rows) >= 3 else 0
            part[rows[:held]] = 1
            part[rows[held : 2 * held]] = 2 if images.test is None else 0
        part[kept] = 2
    train, validation, test = (np.flatnonzero(part == number) for number in range(3))
    return Splits(train, validation, test)


def _by_group(groups: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Whole groups to validation and test until each has its share; the rest trains."""
    names, sizes = np.unique(groups, return_counts=True)
    order = random.permutation(len(names))
    # A group goes where its middle falls on the line from 0 to 1.
    middle = (np.cumsum(sizes[order]) - sizes[order] / 2) / sizes.sum()
    part_of = np.empty(len(names), dtype=np.int64)
    part_of[order] = np.digitize(middle, [HELD_OUT, 2 * HELD_OUT])
    part_of = np.array([1, 2, 0])[part_of]
    return part_of[np.searchsorted(names, groups)]
