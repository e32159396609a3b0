"""The state of the space: measures beside those of random and of collapsed vectors, and similarities."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import betainc, betaincinv
from torch import Tensor

from temperance.diagnosis.intervals import Resampling
from temperance.diagnosis.results import Figure, Histogram, Measure
from temperance.diagnosis.streaming import Seen
from temperance.geometry import (
    anisotropy,
    effective_rank,
    hubness,
    modality_gap,
    tolerance,
    uniformity,
)

HARDEST = 10
BINS = 80
# Ranges of encoders trained at τ from 0.07 to 1 on CIFAR10, CIFAR100, SVHN and ImageNet100: Wang & Liu,
# CVPR 2021, Table 1.
PUBLISHED = {"uniformity": (-3.92, -2.96), "tolerance": (0.03, 0.46)}


@dataclass(frozen=True, eq=False)
class Sample:
    """The anchors as a sample of the space.

    Attributes:
        x: ``(a, d)`` of length 1.
        y: ``(a, d)`` their positives, or None.
        classes: ``(a,)``, or None.
        negatives: how many an anchor has in the whole space.
    """

    x: Float[Tensor, "a d"]
    y: Float[Tensor, "a d"] | None
    classes: Int[Tensor, " a"] | None
    negatives: int


def measures(sample: Sample, seen: Seen, resampling: Resampling) -> list[Measure]:
    """Measure the space. Intervals are of means over anchors; what is of pairs within the sample has none."""
    x, y, classes = sample.x, sample.y, sample.classes
    random = _random_like(x)
    hardest = seen.top_similarity[:, :HARDEST].mean(dim=1)
    usual = float(np.mean(random_tops(x.shape[1], sample.negatives)))
    found = [
        Measure(
            name="uniformity",
            title="uniformity",
            meaning="how evenly the sphere is used; lower is more even, 0 is a point",
            figure=Figure(value=uniformity(x)),
            random=uniformity(random),
            collapsed=0.0,
            published=PUBLISHED["uniformity"],
        ),
        Measure(
            name="anisotropy",
            title="anisotropy",
            meaning="mean cosine of two rows; 0 is no common direction, near 1 a narrow cone",
            figure=Figure(value=anisotropy(x)),
            random=anisotropy(random),
            collapsed=1.0,
        ),
        Measure(
            name="effective_rank",
            title="effective rank",
            meaning="dimensions in use",
            figure=Figure(value=effective_rank(x)),
            random=effective_rank(random),
            collapsed=1.0,
        ),
        Measure(
            name="hubness",
            title="hubness",
            meaning="skewness of how often a row is a near neighbour; high: a few rows are near to all",
            figure=Figure(value=hubness(x)),
            random=hubness(random),
            collapsed=None,
        ),
        Measure(
            name="top10_negative_similarity",
            title="ten hardest negatives",
            meaning="mean cosine to them",
            figure=_over_anchors(hardest, resampling),
            random=usual,
            collapsed=1.0,
        ),
    ]
    if classes is not None and len(torch.unique(classes)) < len(classes):
        found.append(
            Measure(
                name="tolerance",
                title="tolerance",
                meaning="mean cosine of two rows of one class",
                figure=Figure(value=tolerance(x, classes)),
                random=0.0,
                collapsed=1.0,
                published=PUBLISHED["tolerance"],
            )
        )
    if y is not None:
        positive = (x * y).sum(dim=1)
        found += _of_pairs(x, y, positive, hardest, seen, resampling, usual)
    return found


def _of_pairs(
    x: Tensor,
    y: Tensor,
    positive: Tensor,
    hardest: Tensor,
    seen: Seen,
    resampling: Resampling,
    usual: float,
) -> list[Measure]:
    chance = 1 / (1 + len(x))
    return [
        Measure(
            name="alignment",
            title="alignment",
            meaning="mean squared distance of partners; lower is closer",
            figure=_over_anchors(2 - 2 * positive, resampling),
            random=2.0,
            collapsed=0.0,
        ),
        Measure(
            name="positive_similarity",
            title="positive similarity",
            meaning="mean cosine of partners",
            figure=_over_anchors(positive, resampling),
            random=0.0,
            collapsed=1.0,
        ),
        Measure(
            name="mean_negative_similarity",
            title="any two rows",
            meaning="mean cosine of a row and the partner of another",
            figure=Figure(
                value=(x @ y.sum(dim=0) - positive).sum().item() / (len(x) * (len(x) - 1))
            ),
            random=0.0,
            collapsed=1.0,
        ),
        Measure(
            name="local_separation",
            title="local separation",
            meaning="positive similarity less that of the ten hardest negatives",
            figure=_over_anchors(positive - hardest, resampling),
            random=-usual,
            collapsed=0.0,
        ),
        Measure(
            name="pretext_accuracy",
            title="partner nearest of all",
            meaning="share of anchors",
            figure=_over_anchors((positive > seen.top_similarity[:, 0]).double(), resampling),
            random=chance,
            collapsed=None,
        ),
        Measure(
            name="modality_gap",
            title="modality gap",
            meaning="distance between the mean of the rows and that of their partners",
            figure=Figure(value=modality_gap(x, y)),
            random=(2 / len(x)) ** 0.5,
            collapsed=None,
        ),
    ]


def histogram(sample: Sample, seen: Seen) -> Histogram:
    """How similar negatives and positives are, and random vectors."""
    x = sample.x
    other = x if sample.y is None else sample.y
    pairs = x @ other.T
    apart = ~torch.eye(len(x), dtype=torch.bool)
    values = {
        "negatives": pairs[apart],
        "ten hardest negatives": seen.top_similarity[:, :HARDEST].flatten(),
    }
    if sample.classes is not None:
        same = (sample.classes[:, None] == sample.classes) & apart
        if bool(same.any()):
            values["negatives of the anchor's class"] = pairs[same]
    if sample.y is not None:
        values["positives"] = (x * sample.y).sum(dim=1)
    low = min(float(v.min()) for v in values.values())
    low = max(-1.0, np.floor(min(low, -4 / x.shape[1] ** 0.5) * 20) / 20)
    edges = np.linspace(low, 1, BINS + 1)
    shares = {}
    for name, v in values.items():
        counts = np.histogram(v.numpy(), edges)[0]
        shares[name] = (counts / len(v)).tolist()
    half = (x.shape[1] - 1) / 2
    if half > 0:
        shares["negatives, random vectors"] = np.diff(betainc(half, half, (1 + edges) / 2)).tolist()
    return Histogram(edges=edges.tolist(), shares=shares)


def random_tops(width: int, negatives: int) -> Float[np.ndarray, " k"]:
    """The expected cosines of the ten hardest of random negatives, hardest first.

    On the sphere (1 + s)/2 has a Beta distribution; the expected j-th largest lies near its quantile at
    (j - 3/8)/(m + 1/4) from above (Blom 1958).

    Example:
        >>> [round(float(s), 2) for s in random_tops(128, 49_999)[:2]]
        [0.36, 0.34]
    """
    if width < 2:
        return np.ones(1)
    half = (width - 1) / 2
    above = (np.arange(1, min(HARDEST, negatives) + 1) - 0.375) / (negatives + 0.25)
    return np.asarray(1 - 2 * betaincinv(half, half, above))


def _random_like(x: Tensor) -> Tensor:
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


def _over_anchors(values: Tensor, resampling: Resampling) -> Figure:
    mean, low, high = map(float, resampling.interval(values))
    return Figure(value=mean, low=low, high=high)
