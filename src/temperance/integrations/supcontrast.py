"""In place of ``losses.SupConLoss`` of the paper's own repository (HobbitLong/SupContrast)."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from temperance.contrast import Layout
from temperance.errors import InputError
from temperance.integrations.conversion import step_factor
from temperance.losses.inputs import check_vectors, checked_temperature, symmetric_logits

Mode = Literal["all", "one"]
# Positives that weigh less, all together, are none.
SMALLEST = 1e-6


class SupConLoss(nn.Module):
    r"""SupCon with the sum outside, on views that stand in one tensor.

    With m the mask of positives (the instances of the anchor's class; without labels and mask the anchor's
    own other views), over all anchors i of :math:`V n` rows,

    .. math:: L = \frac{\tau}{\tau_0} \cdot \frac{1}{Vn} \sum_i -\frac{1}{\sum_{p \neq i} m_{ip}}
                  \sum_{p \neq i} m_{ip} \log
                  \frac{e^{z_i \cdot z_p/\tau}}{\sum_{a \neq i} e^{z_i \cdot z_a/\tau}}

    (Khosla et al. 2020, arXiv 2004.11362). Features are not normalised here, as they are not there. Anchors
    without a positive count as 0 in the mean. The factor τ/τ₀ changes the step of plain gradient descent
    with τ: where temperatures are compared, give ``base_temperature=temperature``.

    Args:
        temperature: τ > 0.
        contrast_mode: whether the rows of ``"all"`` views are anchors, or those of ``"one"``, the first.
        base_temperature: τ₀ > 0.

    Raises:
        InputError: on an unknown mode, both labels and mask, or shapes that do not fit; and on nan, infinity
            and temperatures as in ``temperance.functional``.

    Example:
        >>> import torch
        >>> views = torch.eye(4).repeat(2, 1, 1).transpose(0, 1)
        >>> SupConLoss(temperature=0.5, base_temperature=0.5)(views)
        tensor(0.5944)
    """

    def __init__(
        self,
        temperature: float = 0.07,
        contrast_mode: Mode = "all",
        base_temperature: float = 0.07,
    ) -> None:
        super().__init__()
        if contrast_mode not in get_args(Mode):
            raise InputError(f"contrast_mode {contrast_mode!r} is unknown; give 'all' or 'one'")
        self.temperature = temperature
        self.contrast_mode = contrast_mode
        self.base_temperature = base_temperature

    def forward(
        self,
        features: Float[Tensor, "n v ..."],
        labels: Int[Tensor, " n"] | None = None,
        mask: Float[Tensor, "n n"] | None = None,
    ) -> Float[Tensor, ""]:
        """The loss of one batch.

        Args:
            features: ``(n, v, ...)``, v views of n instances.
            labels: ``(n,)`` classes of the instances.
            mask: ``(n, n)``; row i says which instances are positives of instance i, by 1 or a weight.
        """
        if features.ndim < 3:
            raise InputError(f"features have shape {tuple(features.shape)}; give (n, views, d)")
        n, views = features.shape[:2]
        rows = features.flatten(2).transpose(0, 1).flatten(0, 1)  # one view below the other
        check_vectors("features", rows)
        tau = checked_temperature(self.temperature, rows, 0)
        space = symmetric_logits("dot", tau, {"features": rows}, "auto")
        z = space.anchors.view(views, n, -1)
        sums, counts = _positives(z.sum(dim=0), labels, mask)
        itself = z.new_ones(n) if mask is None else mask.to(z.dtype).diagonal()
        counts = counts * views - itself
        has = counts > SMALLEST
        mean = (sums - z * itself[:, None]) / counts.where(has, 1.0)[:, None]
        anchors = has.expand(views, n).clone()
        if self.contrast_mode == "one":
            anchors[1:] = False
        total = n if self.contrast_mode == "one" else n * views
        loss, _ = space.contrast(
            (z * mean).sum(dim=2).flatten(),
            Layout("symmetric", itself=torch.arange(n * views, device=z.device)),
            weights=anchors.flatten().to(z.dtype) / total,
            target_in_sum=False,
        )
        return loss * step_factor(self.temperature, self.base_temperature)


def _positives(
    instances: Float[Tensor, "n d"], labels: Tensor | None, mask: Tensor | None
) -> tuple[Float[Tensor, "n d"], Float[Tensor, " n"]]:
    """For each instance the sum over its positive instances, itself included, and their number."""
    n = len(instances)
    if mask is not None:
        if labels is not None:
            raise InputError("both labels and mask are given; give one of them")
        if mask.shape != (n, n):
            raise InputError(f"mask has shape {tuple(mask.shape)}; give ({n}, {n})")
        weights = mask.to(instances.dtype)
        return weights @ instances, weights.sum(dim=1)
    if labels is None:
        return instances, instances.new_ones(n)
    if labels.numel() != n:
        raise InputError(
            f"labels have shape {tuple(labels.shape)}; give one for each of the {n} instances"
        )
    groups, members = torch.unique(labels.flatten(), return_inverse=True, return_counts=True)[1:]
    sums = torch.zeros_like(instances[: len(members)]).index_add(0, groups, instances)
    return sums[groups], members[groups].to(instances.dtype)
