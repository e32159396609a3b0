"""The losses as modules: the temperature and the options held, the arithmetic in ``functional``."""

from jaxtyping import Float
from torch import Tensor, nn

from temperance.losses import functional
from temperance.losses.functional import Reduction, Similarity


class InfoNCE(nn.Module):
    r"""InfoNCE with a batch or a queue of negatives; see ``temperance.functional.info_nce``.

    .. math:: L_i = -\log \frac{e^{s(q_i, k_i)/\tau}}{e^{s(q_i, k_i)/\tau} + \sum_{j} e^{s(q_i, c_j)/\tau}}

    Args:
        temperature: τ > 0.
        in_batch: whether the batch's other keys are negatives; unless told, only without a queue.
        similarity: ``"cosine"`` or ``"dot"``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import torch
        >>> InfoNCE(temperature=0.5)(torch.eye(4), torch.eye(4))
        tensor(0.3408)
    """

    def __init__(
        self,
        temperature: float | Float[Tensor, ""] = 0.07,
        *,
        in_batch: bool | None = None,
        similarity: Similarity = "cosine",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.in_batch = in_batch
        self.similarity = similarity
        self.reduction = reduction

    def forward(
        self,
        queries: Float[Tensor, "n d"],
        keys: Float[Tensor, "n d"],
        negatives: Float[Tensor, "k d"] | None = None,
    ) -> Float[Tensor, "..."]:
        """The loss of queries ``(n, d)`` against keys ``(n, d)`` and, if given, negatives ``(k, d)``."""
        return functional.info_nce(
            queries,
            keys,
            negatives,
            temperature=self.temperature,
            in_batch=self.in_batch,
            similarity=self.similarity,
            reduction=self.reduction,
        )


class NTXent(nn.Module):
    r"""NT-Xent over two views of a batch; see ``temperance.functional.nt_xent``.

    .. math:: L_i = -\log \frac{e^{s(z_i, z_{j(i)})/\tau}}{\sum_{k \neq i} e^{s(z_i, z_k)/\tau}}

    Args:
        temperature: τ > 0.
        similarity: ``"cosine"`` or ``"dot"``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import torch
        >>> NTXent(temperature=0.5)(torch.eye(4), torch.eye(4))
        tensor(0.5944)
    """

    def __init__(
        self,
        temperature: float | Float[Tensor, ""] = 0.1,
        *,
        similarity: Similarity = "cosine",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.similarity = similarity
        self.reduction = reduction

    def forward(
        self, view_a: Float[Tensor, "n d"], view_b: Float[Tensor, "n d"]
    ) -> Float[Tensor, "..."]:
        """The loss of two views, each ``(n, d)``, in the same order."""
        return functional.nt_xent(
            view_a,
            view_b,
            temperature=self.temperature,
            similarity=self.similarity,
            reduction=self.reduction,
        )
