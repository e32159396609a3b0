"""SimCLR: two views of each image, NT-Xent over the batch."""

import math

import numpy as np
import torch
from jaxtyping import Float, UInt8
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from temperance.data import Views
from temperance.encoders import Encoder
from temperance.losses import NTXent
from temperance.methods.config import TrainingConfig

WARM_UP = 0.05


class SimCLR(LightningModule):
    """Instance discrimination within the batch (Chen et al. 2020, arXiv 2002.05709).

    Args:
        encoder: trained in place.
        config: temperature, seed and optimiser.
        steps: optimiser steps of the whole run, over which the learning rate is scheduled.
    """

    def __init__(self, encoder: Encoder, config: TrainingConfig, steps: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.config = config
        self.steps = steps
        self.loss = NTXent(config.temperature)
        self.views = Views(encoder.spec.channels, encoder.spec.size)

    def training_step(self, images: UInt8[Tensor, "n c h w"], batch_idx: int) -> Float[Tensor, ""]:
        """The loss of one batch of images."""
        # Keyed by place in the run: a resumed run draws the views it would have drawn.
        key = (self.config.seed, self.current_epoch, batch_idx)
        number = int(np.random.SeedSequence(key).generate_state(1)[0])
        # One pass over both views, so that batch normalisation sees them together.
        projections = self.encoder.project(self.encoder(torch.cat(self.views.pair(images, number))))
        view_a, view_b = projections.chunk(2)
        loss: Tensor = self.loss(view_a, view_b)
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with warm-up and a cosine."""
        optimizer = torch.optim.AdamW(
            self.encoder.parameters(),
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
        )
        warm_up = max(1, round(WARM_UP * self.steps))

        def factor(step: int) -> float:
            if step < warm_up:
                return (step + 1) / warm_up
            return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, self.steps - warm_up)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
