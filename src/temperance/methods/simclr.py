"""SimCLR: every other view of the batch is a negative."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from temperance.losses import NTXent
from temperance.methods.config import is_sigmoid
from temperance.methods.method import Method, Rows, sigmoid_loss
from temperance.temperatures import Policy


class SimCLR(Method):
    """Two views of each image, NT-Xent over the batch (Chen et al. 2020, arXiv 2002.05709)."""

    def make_loss(self, temperature: Policy) -> nn.Module:
        """NT-Xent, or SigLIP's."""
        if is_sigmoid(self.config.temperature):
            return sigmoid_loss(temperature)
        return NTXent(temperature=temperature)

    def compare(self, rows: Rows, batch_idx: int) -> Float[Tensor, ""]:
        """One pass over both views, so that batch normalisation sees them together."""
        projections = self.embed(torch.cat(self.pair(rows.images, rows, batch_idx)))
        first, second = projections.chunk(2)
        self.observe(first, second, labels=rows.labels)
        known = {"ids": rows.ids} if isinstance(self.loss, NTXent) else {}
        loss: Tensor = self.loss(first, second, **known)
        return loss
