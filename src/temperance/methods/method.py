"""What all methods share: views, the encoder's passes, the schedule of τ, the optimiser."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from temperance.contrast import Backend, rank, ranks
from temperance.data import Views
from temperance.encoders import Encoder
from temperance.errors import InputError, NotFinite
from temperance.losses import HardContrastive, SigmoidLoss, SimpleContrastive
from temperance.methods.config import (
    PAPERS,
    SIMPLE,
    Recipe,
    TrainingConfig,
    is_sigmoid,
    sigmoid_initial,
)
from temperance.methods.optimizers import optimisation
from temperance.temperatures import Fixed, Learnable, Policy, Schedule, policy

GREY_VIEWS = "default"
# What to do about a training that has come to nan.
DIVERGED = (
    "lower the learning rate or raise the temperature "
    "(the state from before it is kept, if checkpoints are)"
)
# The temperature that stands for none: all negatives are pushed alike.
ALIKE = 1e4
# What random numbers of a batch are for, beside its views.
DRAWS, DROPOUT = 1, 2

Observed = tuple[Tensor, Tensor, Tensor | None, Tensor | None]


class Rows(NamedTuple):
    """What a process sees of a batch.

    Attributes:
        images: ``(n, channels, size, size)`` bytes.
        ids: ``(n,)`` their numbers in the training split.
        labels: ``(n,)`` classes, or None.
        partners: ``(n, channels, size, size)`` the other image of each pair, or None.
        first: which row of the whole batch its first is.
        total: rows of the whole batch, over all processes; None for these.
    """

    images: UInt8[Tensor, "n c h w"]
    ids: Int64[Tensor, " n"]
    labels: Int64[Tensor, " n"] | None = None
    partners: UInt8[Tensor, "n c h w"] | None = None
    first: int = 0
    total: int | None = None


class Method(LightningModule):
    """A way to train an extractor; what it minimises is said by ``compare``.

    Args:
        encoder: trained in place.
        config: temperature, seed and optimiser.
        steps: optimiser steps of the whole run, over which learning rate and temperature are scheduled.
        instances: images in all.

    Attributes:
        observed: anchors, positives, negatives (None for the other rows) and labels of the last batch, for
            whoever watches the temperature.
        exchange: how processes that share a batch compare their parts; see ``temperance.functional``.
    """

    exchange: Backend = "gather"
    # Whether anchors are compared with the batch, which may lie with several processes.
    in_batch = True

    def __init__(
        self, encoder: Encoder, config: TrainingConfig, steps: int, instances: int
    ) -> None:
        super().__init__()
        self.observed: Observed | None = None
        self.encoder = encoder
        self.config = config
        self.steps = steps
        self.instances = instances
        self.views = Views(
            encoder.spec.channels, encoder.spec.size, views_of(config, encoder.spec.channels)
        )
        self.loss = self.make_loss(_rule(config.temperature, instances))

    def make_loss(self, temperature: Policy) -> nn.Module:
        """The loss, which is kept as ``loss``."""
        raise NotImplementedError

    def compare(self, rows: Rows, batch_idx: int) -> Float[Tensor, ""]:
        """The loss of a batch."""
        raise NotImplementedError

    @property
    def temperature(self) -> Policy:
        """The rule for τ."""
        rule = self.loss.temperature
        assert isinstance(rule, Policy)
        return rule

    def setup(self, stage: str) -> None:
        """Compare with the batch of all processes, where there are several."""
        if ranks() > 1 and self.in_batch:
            setattr(self.loss, "backend", self.exchange)  # noqa: B010

    def training_step(self, batch: Rows, batch_idx: int) -> Float[Tensor, ""]:
        """The loss of one batch, at the τ of this step."""
        if isinstance(self.temperature, Schedule):
            self.temperature.advance(min(1.0, self.global_step / max(1, self.steps - 1)))
        # Dropout draws from torch's own generator: give each batch a place in it, too.
        torch.manual_seed(self.number(batch_idx, rank(), DROPOUT))
        try:
            return self.compare(batch, batch_idx)
        except InputError as error:
            where = f"batch {batch_idx + 1} of epoch {self.current_epoch + 1}"
            # Before the first step it is not training that made the encoder what it is.
            if isinstance(error, NotFinite) and self.global_step:
                raise InputError(f"{where}: embeddings are nan or infinite; {DIVERGED}") from error
            raise InputError(f"{where}: {error}") from error

    def observe(
        self,
        anchors: Float[Tensor, "n d"],
        positives: Float[Tensor, "n d"],
        negatives: Float[Tensor, "k d"] | None = None,
        labels: Int64[Tensor, " n"] | None = None,
    ) -> None:
        """Keep the batch for whoever watches."""
        self.observed = anchors.detach(), positives.detach(), negatives, labels

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """As the configuration says; what the loss learns is not decayed."""
        return optimisation(self.encoder, list(self.loss.parameters()), self.config, self.steps)

    def number(self, batch_idx: int, *further: int) -> int:
        """A seed for each batch, by its place: a resumed run draws what it would have drawn."""
        key = (self.config.seed, self.current_epoch, batch_idx, *further)
        return int(np.random.SeedSequence(key).generate_state(1)[0])

    def generator(self, batch_idx: int) -> torch.Generator:
        """Random numbers of this process for this batch, on its device."""
        return torch.Generator(self.device).manual_seed(self.number(batch_idx, rank(), DRAWS))

    def pair(
        self, images: UInt8[Tensor, "n c h w"], rows: Rows, batch_idx: int
    ) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"]]:
        """Two views of images of a batch: those that one process would make of the whole batch."""
        return self.views.pair(images, self.number(batch_idx), first=rows.first, total=rows.total)

    def single(self, rows: Rows, batch_idx: int) -> Float[Tensor, "n c h w"]:
        """One view of each image of a batch."""
        return self.views.single(
            rows.images, self.number(batch_idx), first=rows.first, total=rows.total
        )

    def embed(
        self, images: Float[Tensor, "n c h w"], part: int | None = None
    ) -> Float[Tensor, "n p"]:
        """Projections, with no more than a chunk's activations in memory, if chunks are asked for.

        Args:
            images: in [0, 1].
            part: how many rows batch normalisation is to see at a time; all, unless given.
        """
        chunk = self.config.chunk
        size = min(n for n in (part, chunk, len(images)) if n)
        encode = partial(checkpoint, projected, use_reentrant=False) if chunk else projected
        return torch.cat([encode(self.encoder, some) for some in torch.split(images, size)])


def projected(encoder: Encoder, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n p"]:
    """From images to the space of the loss.

    In float32 at least, whatever the encoder computes in: the three digits of a bfloat16 cosine are too few
    to be divided by a low τ, and queue and bank are kept in float32.
    """
    projection = encoder.project(encoder(images))
    return projection.to(torch.promote_types(projection.dtype, torch.float32))


def views_of(config: Recipe, channels: int) -> str:
    """The recipe of the views: as asked for, or the paper's, except that grey images are not mirrored."""
    usual = GREY_VIEWS if channels == 1 else PAPERS[config.method].colour_views
    return config.views or usual


def _rule(temperature: float | str, instances: int) -> Policy:
    if is_sigmoid(temperature):
        return Learnable(sigmoid_initial(str(temperature)))
    if temperature == SIMPLE:
        return Fixed(ALIKE)
    return policy(str(temperature), instances)


def ranked_loss(
    config: TrainingConfig, temperature: Policy, usual: Callable[..., nn.Module]
) -> nn.Module:
    """The usual loss, or its limit as τ rises, or either with the hardest negatives alone."""
    if config.temperature == SIMPLE:
        loss = SimpleContrastive(hardest=config.hardest)
        loss.temperature = temperature  # for whoever watches the training
        return loss
    if config.hardest is not None:
        return HardContrastive(temperature=temperature, share=config.hardest)
    return usual(temperature=temperature)


def sigmoid_loss(temperature: Policy) -> SigmoidLoss:
    """SigLIP's, with a bias that is learned from where theirs begins (Zhai et al. 2023, arXiv 2303.15343)."""
    return SigmoidLoss(temperature=temperature, bias=nn.Parameter(torch.tensor(-10.0)))
