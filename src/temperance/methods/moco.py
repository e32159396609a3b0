"""MoCo: a queue of keys that a slowly following encoder has made."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from temperance.contrast import ranks
from temperance.encoders import Encoder
from temperance.encoders.convnet import BATCH
from temperance.losses import InfoNCE
from temperance.methods.config import PAPERS, TrainingConfig
from temperance.methods.method import Method, Rows, projected, ranked_loss
from temperance.negatives import Queue, momentum_update
from temperance.temperatures import Policy

# MoCo's batch lay on eight GPUs; what each saw was normalised by itself.
PARTS = 8
# A slow encoder is to have followed for a few of its time constants when the run ends.
TIME_CONSTANTS = 5


class MoCo(Method):
    """Keys of the last batches as negatives (He et al. 2020, arXiv 1911.05722; v2: arXiv 2003.04297).

    v1 and v2 differ in head, views and τ, which the configuration says. Where anchor and positive are
    normalised by the statistics of the same images, a network can tell its positive by them; MoCo shuffles
    the batch over its GPUs. Here, on every device, queries and keys are normalised in parts of the batch (an
    eighth of it, over all processes), and the keys in another order.

    Args:
        encoder: trained in place.
        config: temperature, queue, momentum, seed and optimiser.
        steps: optimiser steps of the whole run.
        instances: images in all.

    Attributes:
        key_encoder: the slow one.
        queue: of unit vectors; begins with random ones.
    """

    in_batch = False

    def __init__(
        self, encoder: Encoder, config: TrainingConfig, steps: int, instances: int
    ) -> None:
        super().__init__(encoder, config, steps, instances)
        self.key_encoder = copy.deepcopy(encoder).requires_grad_(False)
        width = encoder.spec.projection
        size = min(config.queue, instances)
        self.queue = Queue(size, width)
        begin = torch.randn(size, width, generator=torch.Generator().manual_seed(config.seed))
        self.queue.enqueue(normalize(begin, dim=1))
        usual = min(PAPERS[config.method].momentum, max(0.0, 1 - TIME_CONSTANTS / steps))
        self.momentum = usual if config.momentum is None else config.momentum
        self._keys: Tensor | None = None
        self._ids: Tensor | None = None

    def make_loss(self, temperature: Policy) -> nn.Module:
        """InfoNCE against the queue, or those of ``ranked_loss``."""
        return ranked_loss(self.config, temperature, InfoNCE)

    def compare(self, rows: Rows, batch_idx: int) -> Float[Tensor, ""]:
        """Each query against its own key and the queue."""
        momentum_update(self.encoder, self.key_encoder, self.momentum)
        first, second = self.pair(rows.images, rows, batch_idx)
        part = self._part(len(first))
        queries = self.embed(first, part)
        with torch.no_grad():
            generator = self.generator(batch_idx)
            order = torch.randperm(len(second), generator=generator, device=second.device)
            parts = torch.split(second[order], part)
            shuffled = [projected(self.key_encoder, some) for some in parts]
            keys = normalize(torch.cat(shuffled)[order.argsort()], dim=1)
        self._keys, self._ids = keys, rows.ids
        self.observe(queries, keys, self.queue.keys)
        known = {"ids": rows.ids} if isinstance(self.loss, InfoNCE) else {}
        loss: Tensor = self.loss(queries, keys, self.queue.keys, **known)
        return loss

    def on_after_backward(self) -> None:
        """The keys of this batch are negatives of the next ones; backward has read the queue before."""
        assert self._keys is not None
        self.queue.enqueue(self._keys, ids=self._ids)

    def _part(self, rows: int) -> int:
        """Rows that are normalised together: an eighth of the whole batch, and never one alone."""
        if self.config.norm != BATCH:
            return rows
        parts = min(-(-PARTS // ranks()), rows // 2)
        return -(-rows // max(1, parts))
