"""In place of MoCo's logits and their cross-entropy (facebookresearch/moco)."""

from typing import cast

from jaxtyping import Float
from torch import Tensor

from temperance.functional import info_nce


def moco_loss(
    q: Float[Tensor, "n d"],
    k: Float[Tensor, "n d"],
    queue: Float[Tensor, "d m"],
    T: float | Float[Tensor, ""] = 0.07,
) -> Float[Tensor, ""]:
    r"""The loss of MoCo on its own buffers; see ``temperance.functional.info_nce``.

    .. math:: L_i = -\log \frac{e^{q_i \cdot k_i/\tau}}
                              {e^{q_i \cdot k_i/\tau} + \sum_j e^{q_i \cdot c_j/\tau}}

    MoCo's model returns logits and labels; where its forward builds them, this takes their place, and the
    criterion falls away. The queue is read where it lies, and may be overwritten before the backward pass.

    Args:
        q: ``(n, d)`` queries, of length 1.
        k: ``(n, d)`` keys, of length 1; row i is the positive of query i.
        queue: ``(d, m)``, one negative a column; it gets no gradient.
        T: τ > 0.

    Raises:
        InputError: as ``temperance.functional.info_nce``.

    Example:
        >>> import torch
        >>> moco_loss(torch.eye(4)[:1], torch.eye(4)[:1], torch.eye(4)[1:3].T, T=0.5)
        tensor(0.2395)
    """
    pairs = q.to(queue.dtype), k.to(queue.dtype)  # under autocast they may be half
    return cast(Tensor, info_nce(*pairs, queue.detach().T, temperature=T, similarity="dot"))
