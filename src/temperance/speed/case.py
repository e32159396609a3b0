"""What is timed: a loss, how many rows of what width, and its inputs."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from temperance.errors import InputError

LOSSES = ("info_nce", "clip", "nt_xent", "moco")
# Gradients are held against float64 on no more rows and queued keys than these.
SMALL, SMALL_QUEUE = 1024, 4096


@dataclass(frozen=True)
class Case:
    """One loss at one size.

    Attributes:
        loss: ``"info_nce"`` (in the batch), ``"clip"``, ``"nt_xent"``, or ``"moco"`` (InfoNCE with a queue).
        rows: anchors; under ``"nt_xent"`` both views together.
        width: numbers in a vector.
        queue: keys in the queue, under ``"moco"``; otherwise 0.

    Raises:
        InputError: on an unknown loss, or a size that makes none.

    Example:
        >>> Case("moco", 256, 128, queue=65536).name
        'moco, 256 × 65,536 rows, D = 128'
    """

    loss: str
    rows: int
    width: int
    queue: int = 0

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise InputError(f"loss {self.loss!r} is unknown; give some of {', '.join(LOSSES)}")
        if self.rows < 4:
            raise InputError(f"{self.rows} rows make no loss; give at least 4")
        if self.loss == "nt_xent" and self.rows % 2:
            raise InputError(
                f"{self.rows} rows are odd, and nt_xent takes two views; give an even number"
            )
        if self.width < 1:
            raise InputError(f"width {self.width} is not positive; give one such as 128")
        if self.loss == "moco" and self.queue < 1:
            raise InputError(f"queue {self.queue} is not positive; give moco one such as 8192")
        if self.loss != "moco" and self.queue:
            raise InputError(f"{self.loss} takes no queue; leave it out, or take moco")

    @property
    def name(self) -> str:
        """As a table calls it."""
        queue = f" × {self.queue:,}" if self.queue else ""
        return f"{self.loss}, {self.rows:,}{queue} rows, D = {self.width}"

    @property
    def columns(self) -> int:
        """Candidates of each anchor, itself and its positive included."""
        return self.queue or self.rows

    def small(self, rows: int = SMALL, queue: int = SMALL_QUEUE) -> "Case":
        """The same loss with no more rows and queued keys than these."""
        return replace(self, rows=min(self.rows, rows), queue=min(self.queue, queue))


def inputs(
    case: Case, device: torch.device, dtype: torch.dtype = torch.float32
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"], Float[Tensor, "k d"] | None]:
    """Two views that receive gradients, and the queue, if there is one; the same numbers each time.

    The views agree about as well as half-trained ones do: at a cosine of about 0.7.
    """
    generator = torch.Generator().manual_seed(0)
    rows = case.rows // 2 if case.loss == "nt_xent" else case.rows
    a = torch.randn(rows, case.width, generator=generator)
    b = a + torch.randn(rows, case.width, generator=generator)
    queue = None
    if case.queue:
        queue = normalize(torch.randn(case.queue, case.width, generator=generator), dim=1)
        queue = queue.to(device, dtype)
    return a.to(device, dtype).requires_grad_(), b.to(device, dtype).requires_grad_(), queue
