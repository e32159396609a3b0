"""How is the loss computed? Anchors against candidates, exactly, tile by tile.

Every loss of the product is made of one quantity: the logit of a positive against the log of the sum of the
exponentials of the negatives' logits. ``contrast`` computes it and its gradients without ever holding the
matrix of all similarities; its backend ``"dense"`` is the same equation written out, the oracle of the tests.
"""

from temperance.contrast.custom import custom_diagonal, custom_log_sums, dense_custom_log_sums
from temperance.contrast.directions import (
    Directions,
    differentiable_directions,
    directions,
    inverse_norms,
)
from temperance.contrast.elementwise import LOG2_E, Elementwise
from temperance.contrast.engine import Statistics, contrast
from temperance.contrast.hardest import floors
from temperance.contrast.layout import OVER_RANKS, Backend, Candidates, Layout
from temperance.contrast.pairs import COUNT, LINEAR, SOFTPLUS, pair_sums
from temperance.contrast.ranks import (
    gathered,
    lengths_over_ranks,
    of_all_ranks,
    parts_of_ranks,
    rank,
    ranks,
    total_over_ranks,
)
from temperance.contrast.ring import ring_sums
from temperance.contrast.threads import at_once, in_threads, workers_for
from temperance.contrast.tiled import whole_rows

__all__ = [
    "COUNT",
    "LINEAR",
    "LOG2_E",
    "OVER_RANKS",
    "SOFTPLUS",
    "Backend",
    "Candidates",
    "Directions",
    "Elementwise",
    "Layout",
    "Statistics",
    "at_once",
    "contrast",
    "custom_diagonal",
    "custom_log_sums",
    "dense_custom_log_sums",
    "differentiable_directions",
    "directions",
    "floors",
    "gathered",
    "in_threads",
    "inverse_norms",
    "lengths_over_ranks",
    "of_all_ranks",
    "pair_sums",
    "parts_of_ranks",
    "rank",
    "ranks",
    "ring_sums",
    "total_over_ranks",
    "whole_rows",
    "workers_for",
]
