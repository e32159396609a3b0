"""The batches of a run: which images, in which order, and which of them this process sees."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from temperance.contrast import rank, ranks
from temperance.methods.method import Rows


class Images(Dataset[Rows]):
    """Batches by their row numbers: one indexing for each, no collating.

    Args:
        images: ``(n, channels, size, size)`` bytes.
        labels: ``(n,)`` or None.
        partners: as images, or None.
    """

    def __init__(
        self,
        images: UInt8[np.ndarray, "n c h w"],
        labels: Int64[np.ndarray, " n"] | None,
        partners: UInt8[np.ndarray, "n c h w"] | None,
    ) -> None:
        self.images = torch.from_numpy(images)
        self.labels = None if labels is None else torch.from_numpy(labels)
        self.partners = None if partners is None else torch.from_numpy(partners)

    def __getitem__(self, batch: Int64[Tensor, " b"]) -> Rows:
        """This process's part of a batch."""
        share = len(batch) // ranks()
        first = rank() * share
        ids = batch[first : first + share]
        return Rows(
            self.images[ids],
            ids,
            None if self.labels is None else self.labels[ids],
            None if self.partners is None else self.partners[ids],
            first,
            len(batch),
        )


class Batches(Sampler[Tensor]):
    """Row numbers of the batches of an epoch, keyed by seed and epoch; the ragged last batch is left out.

    All processes draw the same, and see their part.

    Args:
        length: images in all.
        batch_size: over all processes.
        seed: of the order.
    """

    def __init__(self, length: int, batch_size: int, seed: int) -> None:
        self.length = length
        self.batch_size = min(batch_size, length)
        self.seed = seed
        self.epoch = 0
        self.skip = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning as each epoch begins, after resuming too."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self.length // self.batch_size

    def __iter__(self) -> Iterator[Tensor]:
        """Those of this epoch; of the first after resuming, those that are left."""
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        begin, self.skip = self.skip, 0
        for step in range(begin, len(self)):
            yield torch.from_numpy(order[step * self.batch_size : (step + 1) * self.batch_size])
