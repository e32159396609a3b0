"""Supervised contrastive learning: classes are pulled together, not images alone."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from temperance.errors import InputError
from temperance.losses import SupCon
from temperance.methods.method import Method, Rows
from temperance.temperatures import Policy


class SupervisedContrastive(Method):
    """Two views of each image, all views of its class its positives (Khosla et al. 2020, 2004.11362)."""

    def make_loss(self, temperature: Policy) -> nn.Module:
        """SupCon with the sum outside the logarithm."""
        return SupCon(temperature=temperature)

    def compare(self, rows: Rows, batch_idx: int) -> Float[Tensor, ""]:
        """The views of one batch below one another.

        Raises:
            InputError: if there are no labels.
        """
        if rows.labels is None:
            raise InputError("supcon needs labels; give data that have some, or another method")
        projections = self.embed(torch.cat(self.pair(rows.images, rows, batch_idx)))
        first, second = projections.chunk(2)
        self.observe(first, second, labels=rows.labels)
        loss: Tensor = self.loss(projections, torch.cat([rows.labels, rows.labels]))
        return loss
