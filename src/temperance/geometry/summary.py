"""All measures of one trained space in one record."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from temperance.geometry.hardness import hardness
from temperance.geometry.spread import (
    alignment,
    effective_rank,
    neighbour_consistency,
    tolerance,
    uniformity,
)


@dataclass(frozen=True)
class Geometry:
    """The state of a space at one temperature; means over anchors.

    Attributes:
        alignment: mean squared distance of the two views, in [0, 4]; lower is better.
        uniformity: log mean Gaussian potential, ≤ 0; lower is more uniform.
        tolerance: mean cosine of same-class pairs, in [-1, 1]; None without labels.
        effective_negatives: how many negatives share the push, in [1, n - 1].
        false_negative_mass: share of the push on negatives of the anchor's class; None without labels.
        positive_similarity: mean cosine of the two views.
        top10_negative_similarity: mean cosine to the ten hardest negatives.
        local_separation: positive_similarity - top10_negative_similarity.
        neighbour_consistency: share of an instance's ten nearest in one view that are so in the other.
        effective_rank: dimensions in use, in [1, d].
        pretext_accuracy: share of anchors whose positive is nearer than every negative.
    """

    alignment: float
    uniformity: float
    tolerance: float | None
    effective_negatives: float
    false_negative_mass: float | None
    positive_similarity: float
    top10_negative_similarity: float
    local_separation: float
    neighbour_consistency: float
    effective_rank: float
    pretext_accuracy: float


def describe(
    embeddings: Float[Tensor, "n d"],
    view_a: Float[Tensor, "n d"],
    view_b: Float[Tensor, "n d"],
    temperature: float,
    labels: Int[Tensor, " n"] | None = None,
) -> Geometry:
    """Measure a space on held-out instances.

    Args:
        embeddings: ``(n, d)`` of the plain inputs; uniformity, tolerance and rank are taken on them.
        view_a: ``(n, d)`` of one augmented view of each; alignment and hardness are taken on the views.
        view_b: ``(n, d)`` of the other.
        temperature: τ > 0, at which the push is shared out.
        labels: ``(n,)`` class numbers, if there are any.

    Example:
        >>> import torch
        >>> space = describe(torch.eye(4), torch.eye(4), torch.eye(4), temperature=0.2)
        >>> space.effective_negatives, space.tolerance
        (3.0, None)
    """
    push = hardness(view_a, view_b, temperature, labels)
    positive = float(push.positive_similarity.mean())
    negative = float(push.top_similarity.mean())
    pairs = labels is not None and len(torch.unique(labels)) < len(labels)
    return Geometry(
        alignment=alignment(view_a, view_b),
        uniformity=uniformity(embeddings),
        tolerance=tolerance(embeddings, labels) if labels is not None and pairs else None,
        effective_negatives=float(push.effective_negatives.mean()),
        false_negative_mass=(
            float(push.false_negative_mass.mean()) if push.false_negative_mass is not None else None
        ),
        positive_similarity=positive,
        top10_negative_similarity=negative,
        local_separation=positive - negative,
        neighbour_consistency=float(neighbour_consistency(view_a, view_b).mean()),
        effective_rank=effective_rank(embeddings),
        pretext_accuracy=float(push.hits.mean()),
    )
