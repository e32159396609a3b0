"""Instance discrimination: every image a class of its own, its weights a vector in a memory bank."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from temperance.encoders import Encoder
from temperance.losses import NCE, InstanceSoftmax
from temperance.methods.config import PAPERS, TrainingConfig
from temperance.methods.method import Method, Rows
from temperance.negatives import MemoryBank
from temperance.temperatures import Policy

SOFTMAX = "instdisc-softmax"


class InstDisc(Method):
    """One view of each image against the bank (Wu et al. 2018, arXiv 1805.01978).

    By noise-contrastive estimation with noise drawn from all instances, or, as ``"instdisc-softmax"``, by the
    softmax over all of them, which the paper approximates. The normalising constant is that of each batch,
    where the paper holds the first one's: it learns on small data, too (see ``losses.NCE``).

    Args:
        encoder: trained in place.
        config: temperature, noise, momentum of the bank, seed and optimiser.
        steps: optimiser steps of the whole run.
        instances: images in all.

    Attributes:
        bank: a unit vector for each image; begins with random ones.
    """

    in_batch = False

    def __init__(
        self, encoder: Encoder, config: TrainingConfig, steps: int, instances: int
    ) -> None:
        super().__init__(encoder, config, steps, instances)
        momentum = PAPERS[config.method].momentum if config.momentum is None else config.momentum
        self.bank = MemoryBank(
            instances,
            encoder.spec.projection,
            momentum=momentum,
            generator=torch.Generator().manual_seed(config.seed),
        )
        self._seen: tuple[Tensor, Tensor] | None = None

    def make_loss(self, temperature: Policy) -> nn.Module:
        """NCE, or the softmax over all instances."""
        if self.config.method == SOFTMAX:
            return InstanceSoftmax(temperature=temperature)
        return NCE(temperature=temperature, fixed=False)

    def compare(self, rows: Rows, batch_idx: int) -> Float[Tensor, ""]:
        """Each image against the vector that the bank has of it, and others."""
        queries = self.embed(self.single(rows, batch_idx))
        self._seen = rows.ids, queries.detach()
        self.observe(queries, self.bank.lookup(rows.ids), self.bank.vectors)
        if isinstance(self.loss, InstanceSoftmax):
            found: Tensor = self.loss(queries, self.bank.vectors, rows.ids)
            return found
        noise = self.bank.sample(rows.ids, self.config.noise, generator=self.generator(batch_idx))
        found = self.loss(queries, self.bank.vectors, rows.ids, noise)
        return found

    def on_after_backward(self) -> None:
        """The bank moves once backward has read it."""
        assert self._seen is not None
        self.bank.update(*self._seen)
