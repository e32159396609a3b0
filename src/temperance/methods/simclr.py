"""SimCLR: two views of each image, NT-Xent over the batch."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from temperance.data import Views
from temperance.encoders import Encoder
from temperance.losses import NTXent, SigmoidLoss
from temperance.methods.config import SIGMOID, TrainingConfig, sigmoid_initial
from temperance.temperatures import Learnable, Policy, Schedule, policy

WARM_UP = 0.05


class SimCLR(LightningModule):
    """Instance discrimination within the batch (Chen et al. 2020, arXiv 2002.05709).

    Args:
        encoder: trained in place.
        config: temperature, seed and optimiser.
        steps: optimiser steps of the whole run, over which learning rate and temperature are scheduled.
        instances: images in all.
    """

    def __init__(
        self, encoder: Encoder, config: TrainingConfig, steps: int, instances: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.config = config
        self.steps = steps
        self.loss = _loss(config.temperature, instances)
        self.views = Views(encoder.spec.channels, encoder.spec.size)

    @property
    def temperature(self) -> Policy:
        """The rule for τ."""
        rule = self.loss.temperature
        assert isinstance(rule, Policy)
        return rule

    def training_step(
        self, batch: tuple[UInt8[Tensor, "n c h w"], Int64[Tensor, " n"]], batch_idx: int
    ) -> Float[Tensor, ""]:
        """The loss of one batch: images, and their numbers in the training split."""
        images, ids = batch
        if isinstance(self.temperature, Schedule):
            self.temperature.advance(min(1.0, self.global_step / max(1, self.steps - 1)))
        # Keyed by place in the run: a resumed run draws the views it would have drawn.
        key = (self.config.seed, self.current_epoch, batch_idx)
        number = int(np.random.SeedSequence(key).generate_state(1)[0])
        # One pass over both views, so that batch normalisation sees them together.
        projections = self.encoder.project(self.encoder(torch.cat(self.views.pair(images, number))))
        view_a, view_b = projections.chunk(2)
        known = {"ids": ids} if isinstance(self.loss, NTXent) else {}
        loss: Tensor = self.loss(view_a, view_b, **known)
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with warm-up and a cosine; what the loss learns is not decayed."""
        groups = [
            {"params": self.encoder.parameters(), "weight_decay": self.config.weight_decay},
            {"params": self.loss.parameters(), "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.config.learning_rate)
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


def _loss(temperature: float | str, instances: int) -> NTXent | SigmoidLoss:
    words = str(temperature)
    if words.partition(":")[0] == SIGMOID:
        return SigmoidLoss(
            temperature=Learnable(sigmoid_initial(words)), bias=nn.Parameter(torch.tensor(-10.0))
        )
    return NTXent(temperature=policy(words, instances))
