"""A memory bank: one vector for every instance of the data."""

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor, nn
from torch.nn.functional import normalize

from temperance.contrast import parts_of_ranks
from temperance.errors import InputError


class MemoryBank(nn.Module):
    r"""What the encoder last made of every instance, smoothed (InstDisc: Wu et al. 2018, arXiv 1805.01978).

    .. math:: v_i \leftarrow \frac{m v_i + (1 - m) f_i}{\|m v_i + (1 - m) f_i\|}

    Where processes share a batch, the updates of all of them are applied, in the order of the ranks, so that
    every rank holds the same bank; they must begin with the same one, by the same ``generator``.

    Args:
        instances: of the data; ids are from 0 to instances - 1.
        width: numbers in a vector.
        momentum: m in [0, 1).
        generator: of the random directions with which the bank begins.

    Attributes:
        vectors: ``(instances, width)``, each of length 1.

    Raises:
        InputError: if a size is not positive, or the momentum not in its range.

    Example:
        >>> bank = MemoryBank(instances=5, width=2, momentum=0.5)
        >>> bank.update(torch.tensor([3]), torch.tensor([[0.0, 2.0]]))
        >>> bank.lookup(torch.tensor([3, 0])).shape
        torch.Size([2, 2])
        >>> bank.sample(torch.tensor([3, 0]), k=4).shape
        torch.Size([2, 4])
    """

    vectors: Tensor

    def __init__(
        self,
        instances: int,
        width: int,
        *,
        momentum: float = 0.5,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("instances", instances), ("width", width)):
            if value < 1:
                raise InputError(f"{name} {value} of the bank is not positive; give at least 1")
        if not 0 <= momentum < 1:
            raise InputError(f"momentum {momentum:g} is not in [0, 1); give one such as 0.5")
        self.momentum = momentum
        begin = torch.randn(instances, width, generator=generator)
        self.register_buffer("vectors", normalize(begin, dim=1))

    def __len__(self) -> int:
        """How many instances there are."""
        return len(self.vectors)

    def lookup(self, ids: Int[Tensor, "..."]) -> Float[Tensor, "... d"]:
        """The vectors of some instances.

        Raises:
            InputError: if there is no such instance.
        """
        return self.vectors[self._known(ids)]

    def sample(
        self,
        ids: Int[Tensor, " n"],
        k: int,
        *,
        itself: bool = True,
        generator: torch.Generator | None = None,
    ) -> Int64[Tensor, "n k"]:
        """Noise for each anchor: k instances drawn uniformly, with replacement.

        Args:
            ids: ``(n,)`` which instances the anchors are.
            k: how many for each.
            itself: whether an anchor may draw itself, as in the paper, whose noise is uniform over all.
            generator: of the draws, on the device of the bank.

        Raises:
            InputError: if there is nothing to draw from.
        """
        others = len(self) - (not itself)
        if k < 1 or others < 1:
            raise InputError(
                f"{k} noise instances cannot be drawn from {others}; give at least 1, and more instances"
            )
        shape, device = (len(self._known(ids)), k), self.vectors.device
        drawn = torch.randint(others, shape, generator=generator, device=device)
        # Without the anchor, those from it on move up by one.
        return drawn if itself else drawn + (drawn >= ids.to(device)[:, None])

    @torch.no_grad()
    def update(self, ids: Int[Tensor, " n"], vectors: Float[Tensor, "n d"]) -> None:
        """Move the vectors of a batch, of all ranks, towards what the encoder now makes of them.

        An instance that comes several times moves several times, in its order.

        Args:
            ids: ``(n,)``; ranks may differ in n.
            vectors: ``(n, width)``, of any length; only their directions count.

        Raises:
            InputError: on shapes that do not fit, and where there is no such instance.
        """
        if vectors.shape != (len(ids), self.vectors.shape[1]):
            raise InputError(
                f"vectors have shape {tuple(vectors.shape)}; give ({len(ids)}, {self.vectors.shape[1]}), one "
                "for each id"
            )
        unit = normalize(vectors.detach().to(self.vectors.dtype), dim=1)
        everyones = torch.cat(parts_of_ranks(self._known(ids)))
        directions = torch.cat(parts_of_ranks(unit))
        for rows in _rounds(everyones):
            here = everyones[rows]
            moved = torch.lerp(directions[rows], self.vectors[here], self.momentum)
            self.vectors[here] = normalize(moved, dim=1)

    def _known(self, ids: Tensor) -> Tensor:
        if ids.numel():
            for number in map(int, ids.aminmax()):
                if not 0 <= number < len(self):
                    raise InputError(
                        f"ids hold {number}, but the bank has {len(self)} instances; give numbers from 0 to "
                        f"{len(self) - 1}"
                    )
        return ids.long()


def _rounds(ids: Int64[Tensor, " n"]) -> list[Int64[Tensor, " _"]]:
    """Row numbers such that no id comes twice in a round: the first of each, then the second, and so on."""
    ordered, order = ids.sort(stable=True)
    turn = torch.arange(len(ids), device=ids.device) - torch.searchsorted(ordered, ordered)
    last = int(turn.max()) if len(ids) else -1
    return [order[turn == number] for number in range(last + 1)]
