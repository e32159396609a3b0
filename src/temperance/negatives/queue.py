"""A queue of keys: first in, first out."""

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor, nn

from temperance.contrast import parts_of_ranks
from temperance.errors import InputError

UNKNOWN = -1


class Queue(nn.Module):
    """The keys of the last batches, as MoCo has them for negatives (He et al. 2020, arXiv 1911.05722).

    Where processes share a batch, the keys of all of them are taken in, in the order of the ranks, so that
    every rank holds the same queue, and the one that a single process would hold. All of it is in
    ``state_dict``.

    Args:
        size: how many keys it holds; MoCo's holds 65,536.
        width: numbers in a key.

    Raises:
        InputError: if one of them is not positive.

    Example:
        >>> queue = Queue(size=3, width=2)
        >>> queue.enqueue(torch.eye(2))
        >>> queue.enqueue(-torch.eye(2), ids=torch.tensor([7, 8]))
        >>> len(queue), queue.ids
        (3, tensor([ 8, -1,  7]))
        >>> queue.keys  # the oldest has made room
        tensor([[-0., -1.],
                [ 0.,  1.],
                [-1., -0.]])
    """

    _keys: Tensor
    _ids: Tensor
    _labels: Tensor
    _written: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        for name, value in (("size", size), ("width", width)):
            if value < 1:
                raise InputError(f"{name} {value} of the queue is not positive; give at least 1")
        self.register_buffer("_keys", torch.zeros(size, width))
        self.register_buffer("_ids", torch.full((size,), UNKNOWN))
        self.register_buffer("_labels", torch.full((size,), UNKNOWN))
        # Keys ever taken in: tells both the next place and how many places are filled.
        self.register_buffer("_written", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        """How many keys it holds."""
        return min(int(self._written), len(self._keys))

    @property
    def keys(self) -> Float[Tensor, "k d"]:
        """The keys it holds, in no order that means anything; places never filled are not among them.

        They are not a copy: let ``backward`` come before the next ``enqueue``.
        """
        return self._keys[: len(self)]

    @property
    def ids(self) -> Int64[Tensor, " k"]:
        """Which instances the keys are of; -1 where nobody said."""
        return self._ids[: len(self)]

    @property
    def labels(self) -> Int64[Tensor, " k"]:
        """The classes of the keys; -1 where nobody said."""
        return self._labels[: len(self)]

    @torch.no_grad()
    def enqueue(
        self,
        keys: Float[Tensor, "n d"],
        *,
        ids: Int[Tensor, " n"] | None = None,
        labels: Int[Tensor, " n"] | None = None,
    ) -> None:
        """Take in the keys of a batch, of all ranks, in the places of the oldest.

        Args:
            keys: ``(n, width)``; ranks may differ in n. Of more than ``size`` the last are kept.
            ids: ``(n,)`` which instances they are of; all ranks tell them, or none does.
            labels: ``(n,)`` their classes; the same holds.

        Raises:
            InputError: on shapes that do not fit.
        """
        width = self._keys.shape[1]
        if keys.ndim != 2 or keys.shape[1] != width:
            raise InputError(f"keys have shape {tuple(keys.shape)}; give (n, {width})")
        for name, numbers in (("ids", ids), ("labels", labels)):
            if numbers is not None and numbers.shape != keys.shape[:1]:
                raise InputError(
                    f"{name} have shape {tuple(numbers.shape)}; give one for each of the {len(keys)} keys"
                )
        size = len(self._keys)
        everyones = torch.cat(parts_of_ranks(keys.detach().to(self._keys.dtype)))
        written = self._written + len(everyones)
        kept = min(len(everyones), size)
        places = (torch.arange(kept, device=written.device) + written - kept) % size
        self._keys[places] = everyones[len(everyones) - kept :]
        for numbers, held in ((ids, self._ids), (labels, self._labels)):
            told = None if numbers is None else torch.cat(parts_of_ranks(numbers.long()))
            held[places] = UNKNOWN if told is None else told[len(told) - kept :]
        self._written.copy_(written)
