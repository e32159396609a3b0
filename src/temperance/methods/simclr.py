"""Methods whose negatives are the batch: SimCLR, supervised contrastive, and pairs."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from temperance.encoders import Encoder
from temperance.errors import InputError
from temperance.losses import CLIPLoss, NTXent, SigmoidLoss, SupCon
from temperance.methods.config import TrainingConfig, is_sigmoid
from temperance.methods.method import Method, Rows
from temperance.temperatures import Policy


class SimCLR(Method):
    """Two views of each image, NT-Xent over the batch (Chen et al. 2020, arXiv 2002.05709)."""

    def make_loss(self, temperature: Policy) -> nn.Module:
        """NT-Xent, or SigLIP's."""
        if is_sigmoid(self.config.temperature):
            return _sigmoid(temperature)
        return NTXent(temperature=temperature)

    def compare(self, rows: Rows, batch_idx: int) -> Float[Tensor, ""]:
        """One pass over both views, so that batch normalisation sees them together."""
        projections = self.embed(torch.cat(self.pair(rows.images, rows, batch_idx)))
        first, second = projections.chunk(2)
        self.observe(first, second, labels=rows.labels)
        known = {"ids": rows.ids} if isinstance(self.loss, NTXent) else {}
        loss: Tensor = self.loss(first, second, **known)
        return loss


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
            return _sigmoid(temperature)
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


def _sigmoid(temperature: Policy) -> SigmoidLoss:
    return SigmoidLoss(temperature=temperature, bias=nn.Parameter(torch.tensor(-10.0)))
