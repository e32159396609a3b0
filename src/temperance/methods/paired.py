"""Pairs, as CLIP learns from them: two towers, or one."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from temperance.encoders import Encoder
from temperance.losses import CLIPLoss
from temperance.methods.config import TrainingConfig, is_sigmoid
from temperance.methods.method import Method, Rows, sigmoid_loss
from temperance.temperatures import Policy


class Paired(Method):
    """Two things that belong together, CLIP's symmetric loss over the batch (Radford et al. 2021).

    The pairs are an image and its partner, each augmented; where data have no partners, two views.

    Args:
        encoder: trained in place.
        config: temperature, seed and optimiser.
        steps: optimiser steps of the whole run.
        instances: pairs in all.
        other: the tower of the partners, from images in [0, 1] to projections; unless given, the encoder.
    """

    def __init__(
        self,
        encoder: Encoder,
        config: TrainingConfig,
        steps: int,
        instances: int,
        other: nn.Module | None = None,
    ) -> None:
        super().__init__(encoder, config, steps, instances)
        self.other = other

    def make_loss(self, temperature: Policy) -> nn.Module:
        """CLIP's, or SigLIP's."""
        if is_sigmoid(self.config.temperature):
            return sigmoid_loss(temperature)
        return CLIPLoss(temperature=temperature)

    def compare(self, rows: Rows, batch_idx: int) -> Float[Tensor, ""]:
        """Rows against partners, and back."""
        first, second = self.pair(rows.images, rows, batch_idx)
        if rows.partners is not None:
            _, second = self.pair(rows.partners, rows, batch_idx)
        if self.other is None:
            ours, theirs = self.embed(torch.cat([first, second])).chunk(2)
        else:
            ours, theirs = self.embed(first), self.other(second)
        self.observe(ours, theirs, labels=rows.labels)
        loss: Tensor = self.loss(ours, theirs)
        return loss
