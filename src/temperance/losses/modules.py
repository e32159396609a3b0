"""The losses as modules: the temperature and the options held, the arithmetic in ``functional``."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from temperance.contrast import Backend
from temperance.losses import functional
from temperance.losses.compare import Loss
from temperance.losses.inputs import Reduction, Similarity, Temperature


class InfoNCE(nn.Module):
    r"""InfoNCE with a batch or a queue of negatives; see ``temperance.functional.info_nce``.

    .. math:: L_i = -\log \frac{e^{s(q_i, k_i)/\tau}}{e^{s(q_i, k_i)/\tau} + \sum_{j} e^{s(q_i, c_j)/\tau}}

    Args:
        temperature: τ > 0, or a rule of ``temperance.temperatures``.
        in_batch: whether the batch's other keys are negatives; unless told, only without a queue.
        similarity: see ``temperance.functional``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        statistics: whether to return ``(loss, LossStatistics)``.
        backend: see ``temperance.functional``.

    Example:
        >>> import torch
        >>> InfoNCE(temperature=0.5)(torch.eye(4), torch.eye(4))
        tensor(0.3408)
    """

    def __init__(
        self,
        temperature: Temperature = 0.07,
        *,
        in_batch: bool | None = None,
        similarity: Similarity = "cosine",
        reduction: Reduction = "mean",
        statistics: bool = False,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.in_batch = in_batch
        self.similarity = similarity
        self.reduction = reduction
        self.statistics = statistics
        self.backend = backend

    def forward(
        self,
        queries: Float[Tensor, "n d"],
        keys: Float[Tensor, "n d"],
        negatives: Float[Tensor, "k d"] | None = None,
        *,
        labels: Int[Tensor, " n"] | None = None,
        classes: Int[Tensor, " n"] | None = None,
        ids: Int[Tensor, " n"] | None = None,
        weights: Float[Tensor, " n"] | None = None,
    ) -> Loss:
        """The loss of one batch; arguments as of ``temperance.functional.info_nce``."""
        return functional.info_nce(
            queries,
            keys,
            negatives,
            temperature=self.temperature,
            in_batch=self.in_batch,
            similarity=self.similarity,
            reduction=self.reduction,
            statistics=self.statistics,
            backend=self.backend,
            labels=labels,
            classes=classes,
            ids=ids,
            weights=weights,
        )


class InstanceSoftmax(nn.Module):
    r"""InstDisc's softmax over a memory bank; see ``temperance.functional.instance_softmax``.

    .. math:: L_i = -\log \frac{e^{s(q_i, v_i)/\tau}}{\sum_j e^{s(q_i, v_j)/\tau}}

    Args:
        temperature: τ > 0, or a rule of ``temperance.temperatures``.
        similarity: see ``temperance.functional``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        statistics: whether to return ``(loss, LossStatistics)``.
        backend: see ``temperance.functional``; not over ranks.

    Example:
        >>> import torch
        >>> InstanceSoftmax(temperature=0.5)(torch.eye(4)[:2], torch.eye(4), torch.tensor([0, 1]))
        tensor(0.3408)
    """

    def __init__(
        self,
        temperature: Temperature = 0.07,
        *,
        similarity: Similarity = "cosine",
        reduction: Reduction = "mean",
        statistics: bool = False,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.similarity = similarity
        self.reduction = reduction
        self.statistics = statistics
        self.backend = backend

    def forward(
        self,
        queries: Float[Tensor, "n d"],
        bank: Float[Tensor, "k d"],
        ids: Int[Tensor, " n"],
        *,
        weights: Float[Tensor, " n"] | None = None,
    ) -> Loss:
        """The loss of one batch; arguments as of ``temperance.functional.instance_softmax``."""
        return functional.instance_softmax(
            queries,
            bank,
            ids,
            temperature=self.temperature,
            similarity=self.similarity,
            reduction=self.reduction,
            statistics=self.statistics,
            backend=self.backend,
            weights=weights,
        )


class NTXent(nn.Module):
    r"""NT-Xent over two views of a batch; see ``temperance.functional.nt_xent``.

    .. math:: L_i = -\log \frac{e^{s(z_i, z_{j(i)})/\tau}}{\sum_{k \neq i} e^{s(z_i, z_k)/\tau}}

    Args:
        temperature: τ > 0, or a rule of ``temperance.temperatures``.
        similarity: see ``temperance.functional``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        statistics: whether to return ``(loss, LossStatistics)``.
        backend: see ``temperance.functional``.

    Example:
        >>> import torch
        >>> NTXent(temperature=0.5)(torch.eye(4), torch.eye(4))
        tensor(0.5944)
    """

    def __init__(
        self,
        temperature: Temperature = 0.1,
        *,
        similarity: Similarity = "cosine",
        reduction: Reduction = "mean",
        statistics: bool = False,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.similarity = similarity
        self.reduction = reduction
        self.statistics = statistics
        self.backend = backend

    def forward(
        self,
        view_a: Float[Tensor, "n d"],
        view_b: Float[Tensor, "n d"],
        *,
        classes: Int[Tensor, " n"] | None = None,
        ids: Int[Tensor, " n"] | None = None,
        weights: Float[Tensor, " m"] | None = None,
    ) -> Loss:
        """The loss of one batch; arguments as of ``temperance.functional.nt_xent``."""
        return functional.nt_xent(
            view_a,
            view_b,
            temperature=self.temperature,
            similarity=self.similarity,
            reduction=self.reduction,
            statistics=self.statistics,
            backend=self.backend,
            classes=classes,
            ids=ids,
            weights=weights,
        )


class DCL(nn.Module):
    r"""Decoupled contrastive loss over two views of a batch; see ``temperance.functional.decoupled``.

    .. math:: L_i = -s(z_i, z_{j(i)})/\tau + \log \sum_{k \neq i, j(i)} e^{s(z_i, z_k)/\tau}

    Args:
        temperature: τ > 0, or a rule of ``temperance.temperatures``.
        similarity: see ``temperance.functional``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        statistics: whether to return ``(loss, LossStatistics)``.
        backend: see ``temperance.functional``.

    Example:
        >>> import torch
        >>> DCL(temperature=0.5)(torch.eye(4), torch.eye(4))
        tensor(-0.2082)
    """

    def __init__(
        self,
        temperature: Temperature = 0.1,
        *,
        similarity: Similarity = "cosine",
        reduction: Reduction = "mean",
        statistics: bool = False,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.similarity = similarity
        self.reduction = reduction
        self.statistics = statistics
        self.backend = backend

    def forward(
        self,
        view_a: Float[Tensor, "n d"],
        view_b: Float[Tensor, "n d"],
        *,
        classes: Int[Tensor, " n"] | None = None,
        weights: Float[Tensor, " m"] | None = None,
    ) -> Loss:
        """The loss of one batch; arguments as of ``temperance.functional.decoupled``."""
        return functional.decoupled(
            view_a,
            view_b,
            temperature=self.temperature,
            similarity=self.similarity,
            reduction=self.reduction,
            statistics=self.statistics,
            backend=self.backend,
            classes=classes,
            weights=weights,
        )


class CLIPLoss(nn.Module):
    r"""The symmetric loss of CLIP; see ``temperance.functional.clip``.

    .. math:: L_i = -\tfrac12 \log \frac{e^{s_{ii}/\tau}}{\sum_k e^{s_{ik}/\tau}}
                    -\tfrac12 \log \frac{e^{s_{ii}/\tau}}{\sum_k e^{s_{ki}/\tau}}

    Args:
        temperature: τ > 0, or a rule of ``temperance.temperatures``.
        similarity: see ``temperance.functional``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        statistics: whether to return ``(loss, LossStatistics)``.
        backend: see ``temperance.functional``.

    Example:
        >>> import torch
        >>> CLIPLoss(temperature=0.5)(torch.eye(4), torch.eye(4))
        tensor(0.3408)
    """

    def __init__(
        self,
        temperature: Temperature = 0.07,
        *,
        similarity: Similarity = "cosine",
        reduction: Reduction = "mean",
        statistics: bool = False,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.similarity = similarity
        self.reduction = reduction
        self.statistics = statistics
        self.backend = backend

    def forward(
        self,
        image: Float[Tensor, "n d"],
        text: Float[Tensor, "n d"],
        *,
        weights: Float[Tensor, " n"] | None = None,
    ) -> Loss:
        """The loss of one batch; arguments as of ``temperance.functional.clip``."""
        return functional.clip(
            image,
            text,
            temperature=self.temperature,
            similarity=self.similarity,
            reduction=self.reduction,
            statistics=self.statistics,
            backend=self.backend,
            weights=weights,
        )


class SupCon(nn.Module):
    r"""SupCon: all others of the anchor's class are positives; see ``temperance.functional.sup_con``.

    .. math:: L_i = -\frac{1}{|P|} \sum_{p \in P} \log \frac{e^{s_p/\tau}}{\sum_{a \neq i} e^{s_a/\tau}}

    Args:
        temperature: τ > 0, or a rule of ``temperance.temperatures``.
        inside: whether the sum over positives stands inside the logarithm.
        similarity: see ``temperance.functional``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        backend: see ``temperance.functional``.

    Example:
        >>> import torch
        >>> SupCon(temperature=0.5)(torch.eye(4)[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 1]))
        tensor(0.2395)
    """

    def __init__(
        self,
        temperature: Temperature = 0.1,
        *,
        inside: bool = False,
        similarity: Similarity = "cosine",
        reduction: Reduction = "mean",
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.inside = inside
        self.similarity = similarity
        self.reduction = reduction
        self.backend = backend

    def forward(
        self,
        embeddings: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"],
        *,
        weights: Float[Tensor, " n"] | None = None,
    ) -> Loss:
        """The loss of one batch; arguments as of ``temperance.functional.sup_con``."""
        return functional.sup_con(
            embeddings,
            labels,
            temperature=self.temperature,
            inside=self.inside,
            similarity=self.similarity,
            reduction=self.reduction,
            backend=self.backend,
            weights=weights,
        )


class HardContrastive(nn.Module):
    r"""InfoNCE over the hardest negatives alone; see ``temperance.functional.hard_contrastive``.

    .. math:: L_i = -\log \frac{e^{s_{ii}/\tau}}
                              {e^{s_{ii}/\tau} + \sum_{s_{ik} \geq s_\alpha} e^{s_{ik}/\tau}}

    Args:
        temperature: τ > 0, or a rule of ``temperance.temperatures``.
        share: α, the share of the negatives that are hard, in (0, 1].
        in_batch: whether the batch's other keys are negatives; unless told, only without a queue.
        similarity: see ``temperance.functional``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        statistics: whether to return ``(loss, LossStatistics)``.
        backend: see ``temperance.functional``.

    Example:
        >>> import torch
        >>> HardContrastive(temperature=0.5, share=0.3)(torch.eye(4), torch.eye(4))
        tensor(0.3408)
    """

    def __init__(
        self,
        temperature: Temperature = 0.3,
        *,
        share: float = 0.08,
        in_batch: bool | None = None,
        similarity: Similarity = "cosine",
        reduction: Reduction = "mean",
        statistics: bool = False,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.share = share
        self.in_batch = in_batch
        self.similarity = similarity
        self.reduction = reduction
        self.statistics = statistics
        self.backend = backend

    def forward(
        self,
        queries: Float[Tensor, "n d"],
        keys: Float[Tensor, "n d"],
        negatives: Float[Tensor, "k d"] | None = None,
        *,
        weights: Float[Tensor, " n"] | None = None,
    ) -> Loss:
        """The loss of one batch; arguments as of ``temperance.functional.hard_contrastive``."""
        return functional.hard_contrastive(
            queries,
            keys,
            negatives,
            temperature=self.temperature,
            share=self.share,
            in_batch=self.in_batch,
            similarity=self.similarity,
            reduction=self.reduction,
            statistics=self.statistics,
            backend=self.backend,
            weights=weights,
        )


class SimpleContrastive(nn.Module):
    r"""The limit of InfoNCE as τ → ∞: all negatives alike; see ``temperance.functional.simple_contrastive``.

    .. math:: L_i = -s_{ii} + \lambda \sum_k s_{ik}

    Args:
        weight: λ; unless told, one over the number of negatives in the sum.
        hardest: the share of the negatives that are summed; None for all.
        in_batch: whether the batch's other keys are negatives; unless told, only without a queue.
        similarity: see ``temperance.functional``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        backend: see ``temperance.functional``.

    Example:
        >>> import torch
        >>> SimpleContrastive()(torch.eye(4), torch.eye(4))
        tensor(-1.)
    """

    def __init__(
        self,
        *,
        weight: float | None = None,
        hardest: float | None = None,
        in_batch: bool | None = None,
        similarity: Similarity = "cosine",
        reduction: Reduction = "mean",
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.weight = weight
        self.hardest = hardest
        self.in_batch = in_batch
        self.similarity = similarity
        self.reduction = reduction
        self.backend = backend

    def forward(
        self,
        queries: Float[Tensor, "n d"],
        keys: Float[Tensor, "n d"],
        negatives: Float[Tensor, "k d"] | None = None,
    ) -> Loss:
        """The loss of one batch; arguments as of ``temperance.functional.simple_contrastive``."""
        return functional.simple_contrastive(
            queries,
            keys,
            negatives,
            weight=self.weight,
            hardest=self.hardest,
            in_batch=self.in_batch,
            similarity=self.similarity,
            reduction=self.reduction,
            backend=self.backend,
        )


class SigmoidLoss(nn.Module):
    r"""The sigmoid loss of SigLIP; see ``temperance.functional.sigmoid``.

    .. math:: L_i = -\sum_j \log \sigma\big(z_{ij} (s_{ij}/\tau + b)\big)

    Args:
        temperature: τ > 0, or a rule of ``temperance.temperatures``.
        bias: b; a learnable one is an ``nn.Parameter``.
        similarity: see ``temperance.functional``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import torch
        >>> SigmoidLoss(temperature=1.0, bias=0.0)(torch.eye(2), torch.eye(2))
        tensor(1.0064)
    """

    def __init__(
        self,
        temperature: Temperature = 0.1,
        *,
        bias: float | Float[Tensor, ""] = -10.0,
        similarity: Similarity = "cosine",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.bias = bias
        self.similarity = similarity
        self.reduction = reduction

    def forward(
        self,
        image: Float[Tensor, "n d"],
        text: Float[Tensor, "n d"],
    ) -> Loss:
        """The loss of one batch; arguments as of ``temperance.functional.sigmoid``."""
        return functional.sigmoid(
            image,
            text,
            temperature=self.temperature,
            bias=self.bias,
            similarity=self.similarity,
            reduction=self.reduction,
        )
