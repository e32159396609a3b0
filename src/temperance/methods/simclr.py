"""SimCLR: every other view of the batch is a negative."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from temperance.losses import HardContrastive, NTXent, SimpleContrastive
from temperance.methods.config import is_sigmoid
from temperance.methods.method import Method, Rows, ranked_loss, sigmoid_loss
from temperance.temperatures import Policy


class SimCLR(Method):
    """Two views of each image, NT-Xent over the batch (Chen et al. 2020, arXiv 2002.05709)."""

    def make_loss(self, temperature: Policy) -> nn.Module:
        """NT-Xent, SigLIP's, or those of ``ranked_loss``."""
        if is_sigmoid(self.config.temperature):
            return sigmoid_loss(temperature)
        return ranked_loss(self.config, temperature, NTXent)

    def compare(self, rows: Rows, batch_idx: int) -> Float[Tensor, ""]:
        """One pass over both views, so that batch normalisation sees them together."""
        projections = self.embed(torch.cat(self.pair(rows.images, rows, batch_idx)))
        first, second = projections.chunk(2)
        self.observe(first, second, labels=rows.labels)
        if isinstance(self.loss, HardContrastive | SimpleContrastive):
            both: Tensor = self.loss(first, second) + self.loss(second, first)
            return both / 2
        known = {"ids": rows.ids} if isinstance(self.loss, NTXent) else {}
        loss: Tensor = self.loss(first, second, **known)
        return loss
