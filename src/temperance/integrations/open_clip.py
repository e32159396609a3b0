"""In place of ``open_clip.loss``.

Features are not normalised here, as they are not there, and the logits are ``logit_scale`` times their dot
products: τ = 1/logit_scale. The gradient reaches ``logit_scale``.
"""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from temperance.contrast import ranks, total_over_ranks
from temperance.errors import InputError
from temperance.functional import clip, sigmoid
from temperance.integrations.conversion import temperature_from_scale

Result = Float[Tensor, ""] | dict[str, Float[Tensor, ""]]


class ClipLoss(nn.Module):
    r"""The symmetric loss of CLIP; see ``temperance.functional.clip``.

    .. math:: L_i = -\tfrac12 \log \frac{e^{s_{ii}/\tau}}{\sum_k e^{s_{ik}/\tau}}
                    -\tfrac12 \log \frac{e^{s_{ii}/\tau}}{\sum_k e^{s_{ki}/\tau}}

    On several ranks the batch is that of all of them, and no rank holds it whole. With ``local_loss`` the
    value is that of the rank's own rows, without it that of the whole batch; the gradients that
    DistributedDataParallel averages are those of the whole batch either way. Ranks need batches of one size.

    Args:
        local_loss: which value is returned; see above.
        gather_with_grad: on several ranks this must be True.
        cache_labels: without effect: there are no labels.
        rank: of this process.
        world_size: how many ranks share the batch; as many as ``torch.distributed`` knows, or 1.
        use_horovod: must be False.

    Raises:
        InputError: on the options refused above; and as ``temperance.functional.clip``.

    Example:
        >>> import torch
        >>> ClipLoss()(torch.eye(4), torch.eye(4), logit_scale=torch.tensor(2.0))
        tensor(0.3408)
    """

    def __init__(
        self,
        local_loss: bool = False,
        gather_with_grad: bool = False,
        cache_labels: bool = False,
        rank: int = 0,
        world_size: int = 1,
        use_horovod: bool = False,
    ) -> None:
        super().__init__()
        if use_horovod:
            raise InputError("use_horovod is not supported; give False and use torch.distributed")
        if world_size > 1 and not gather_with_grad:
            raise InputError(
                f"gather_with_grad=False on {world_size} ranks leaves out the gradient through other ranks' "
                "features; give True"
            )
        self.local_loss = local_loss
        self.gather_with_grad = gather_with_grad
        self.cache_labels = cache_labels
        self.rank = rank
        self.world_size = world_size
        self.use_horovod = use_horovod

    def forward(
        self,
        image_features: Float[Tensor, "n d"],
        text_features: Float[Tensor, "n d"],
        logit_scale: float | Float[Tensor, "..."],
        logit_bias: float | Float[Tensor, "..."] | None = None,
        output_dict: bool = False,
    ) -> Result:
        """The loss of one batch.

        Args:
            image_features: ``(n, d)``, normalised by the model where it is to be cosine.
            text_features: ``(n, d)``; row i belongs to image i.
            logit_scale: 1/τ, one number.
            logit_bias: added to all logits, which changes no softmax; its gradient is 0.
            output_dict: whether to return ``{"contrastive_loss": loss}``.
        """
        if self.world_size > 1 and self.world_size != ranks():
            raise InputError(
                f"world_size {self.world_size} is not torch.distributed's {ranks()}; give that, or 1"
            )
        found = clip(
            image_features,
            text_features,
            temperature=temperature_from_scale(_scalar(logit_scale)),
            similarity="dot",
            backend="ring" if self.world_size > 1 else "auto",
        )
        loss = cast(Tensor, found)
        if self.world_size > 1 and not self.local_loss:
            loss = loss + (total_over_ranks(loss) / self.world_size - loss.detach())
        if isinstance(logit_bias, Tensor):
            loss = loss + 0 * _scalar(logit_bias)  # so that its gradient is not missed
        return {"contrastive_loss": loss} if output_dict else loss


class SigLipLoss(nn.Module):
    r"""The sigmoid loss of SigLIP; see ``temperance.functional.sigmoid``.

    .. math:: L_i = -\sum_j \log \sigma\big(z_{ij} (s_{ij}/\tau + b)\big),
              \qquad z_{ij} = 1 \text{ if } i = j \text{, else } -1

    and the mean over the n images.

    Args:
        cache_labels: without effect: there are no labels.
        rank: of this process.
        world_size: how many share the batch; texts and their gradients then travel round.
        dist_impl: without effect: there is one way round.

    Raises:
        InputError: as ``temperance.functional.sigmoid``.

    Example:
        >>> import torch
        >>> SigLipLoss()(torch.eye(2), torch.eye(2), logit_scale=1.0, logit_bias=0.0)
        tensor(1.0064)
    """

    def __init__(
        self,
        cache_labels: bool = False,
        rank: int = 0,
        world_size: int = 1,
        dist_impl: str | None = None,
    ) -> None:
        super().__init__()
        self.cache_labels = cache_labels
        self.rank = rank
        self.world_size = world_size
        self.dist_impl = dist_impl or "bidir"

    def forward(
        self,
        image_features: Float[Tensor, "n d"],
        text_features: Float[Tensor, "n d"],
        logit_scale: float | Float[Tensor, "..."],
        logit_bias: float | Float[Tensor, "..."] | None,
        output_dict: bool = False,
    ) -> Result:
        """The loss of one batch.

        Args:
            image_features: ``(n, d)``, normalised by the model where it is to be cosine.
            text_features: ``(n, d)``; row i belongs to image i.
            logit_scale: 1/τ, one number.
            logit_bias: b, one number, which receives its gradient; None for 0.
            output_dict: whether to return ``{"contrastive_loss": loss}``.
        """
        loss = sigmoid(
            image_features,
            text_features,
            temperature=temperature_from_scale(_scalar(logit_scale)),
            bias=0.0 if logit_bias is None else _scalar(logit_bias),
            similarity="dot",
            backend="ring" if self.world_size > 1 else "auto",
        )
        return {"contrastive_loss": loss} if output_dict else loss


def _scalar(x: float | Tensor) -> Tensor:
    """A learned scale may come as ``(1,)``."""
    return torch.as_tensor(x, dtype=None if isinstance(x, Tensor) else torch.float64).reshape(())
