"""In place of ``lightly.loss``."""

from collections.abc import Sequence
from typing import cast

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from temperance.contrast import ranks
from temperance.errors import InputError
from temperance.functional import info_nce, nt_xent


class NTXentLoss(nn.Module):
    r"""NT-Xent, or with a memory bank InfoNCE against it.

    .. math:: L_i = -\log \frac{e^{s(z_i, z_{j(i)})/\tau}}{\sum_{k \neq i} e^{s(z_i, z_k)/\tau}}

    Without a bank the loss is ``temperance.functional.nt_xent``. With one, each row of ``out0`` has its
    row of ``out1`` as positive and the bank as negatives (``temperance.functional.info_nce``); afterwards
    ``out1`` enters the bank, unless ``out0`` needs no gradient.

    Args:
        temperature: τ > 0.
        memory_bank_size: ``(rows, width)`` of the bank, or 0 for none.
        gather_distributed: whether the batch is that of all ranks of ``torch.distributed``, and what enters
            the bank comes from all of them.

    Raises:
        InputError: if the bank has no width, or sizes are negative; and as the functional losses.

    Example:
        >>> import torch
        >>> NTXentLoss(temperature=0.5)(torch.eye(4), torch.eye(4))
        tensor(0.5944)
    """

    def __init__(
        self,
        temperature: float = 0.5,
        memory_bank_size: int | Sequence[int] = 0,
        gather_distributed: bool = False,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.gather_distributed = gather_distributed
        self.memory_bank = MemoryBank(memory_bank_size) if memory_bank_size != 0 else None

    def forward(self, out0: Float[Tensor, "n d"], out1: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """The loss of one batch."""
        together = self.gather_distributed and ranks() > 1
        if self.memory_bank is None:
            loss = nt_xent(
                out0,
                out1,
                temperature=self.temperature,
                backend="ring" if together else "auto",
            )
            return cast(Tensor, loss)
        bank = self.memory_bank.bank
        views = out0.to(bank.dtype), out1.to(bank.dtype)  # under autocast they may be half
        loss = info_nce(*views, bank, temperature=self.temperature)
        if out0.requires_grad:
            self.memory_bank.add(_of_all_ranks(out1) if together else out1)
        return cast(Tensor, loss)


class MemoryBank(nn.Module):
    """The last rows that were added, as unit vectors; random ones before.

    Args:
        size: ``(rows, width)``.

    Attributes:
        bank: ``(rows, width)``.
        bank_ptr: ``(1,)`` the row to be replaced next.
    """

    bank: Tensor
    bank_ptr: Tensor

    def __init__(self, size: int | Sequence[int]) -> None:
        super().__init__()
        sizes = (size,) if isinstance(size, int) else tuple(size)
        if len(sizes) != 2 or min(sizes) < 1:
            raise InputError(
                f"memory_bank_size {size} is not (rows, width), both positive; "
                "give such as (4096, 128), or 0 for no bank"
            )
        self.register_buffer("bank", normalize(torch.randn(sizes), dim=1), persistent=False)
        self.register_buffer("bank_ptr", torch.zeros(1, dtype=torch.long), persistent=False)

    @torch.no_grad()
    def add(self, batch: Float[Tensor, "n d"]) -> None:
        """Put a batch in place of the oldest rows; what would go beyond the end is left out."""
        begin = int(self.bank_ptr)
        end = min(begin + len(batch), len(self.bank))
        self.bank[begin:end] = normalize(batch[: end - begin], dim=1)
        self.bank_ptr.fill_(end % len(self.bank))


def _of_all_ranks(x: Tensor) -> Tensor:
    parts = [torch.empty_like(x) for _ in range(ranks())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)
