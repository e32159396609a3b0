"""What does the space look like? Pure functions of embeddings; vectors are normalised inside.

The two sides of the temperature's dilemma are ``uniformity`` (how evenly the embeddings use the sphere)
and ``tolerance`` (how close members of one class may stay). ``hardness`` says what the loss pushes on.
"""

from temperance.geometry.hardness import (
    Hardness,
    effective_negatives,
    hardness,
    push_by_similarity,
    relative_penalty,
)
from temperance.geometry.spread import (
    alignment,
    anisotropy,
    effective_rank,
    hubness,
    modality_gap,
    neighbour_consistency,
    tolerance,
    uniformity,
)
from temperance.geometry.summary import Geometry, describe

__all__ = [
    "Geometry",
    "Hardness",
    "alignment",
    "anisotropy",
    "describe",
    "effective_negatives",
    "effective_rank",
    "hardness",
    "hubness",
    "modality_gap",
    "neighbour_consistency",
    "push_by_similarity",
    "relative_penalty",
    "tolerance",
    "uniformity",
]
