"""How is the loss computed? One anchor against many candidates, exactly, tile by tile.

Every loss of the product is this one quantity: the softmax cross-entropy of a positive against negative
candidates at a temperature. ``contrast`` computes it and its gradients without ever holding the matrix of
all similarities; ``dense_contrast`` is the same equation written out, the oracle for tests.
"""

from temperance.contrast.dense import dense_contrast
from temperance.contrast.tiled import contrast

__all__ = ["contrast", "dense_contrast"]
