"""The exact loss and its gradients over tiles of the similarity matrix."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import softplus

# Entries of one tile: 4 MiB of float32, which stays in a core's cache or next to it.
TILE = 1 << 20
# A tile as wide as this leaves the rows long enough for an efficient matrix product.
COLUMNS = 2048


def contrast(
    anchors: Float[Tensor, "n d"],
    positives: Float[Tensor, "n d"],
    candidates: Float[Tensor, "m d"],
    temperature: Float[Tensor, ""],
    excluded: Int[Tensor, "n e"] | None = None,
) -> Float[Tensor, " n"]:
    r"""The loss of each anchor, as ``dense_contrast`` defines it, without the ``n × m`` matrix.

    .. math:: L_i = \mathrm{softplus}\Big(\log \sum_{k \notin X_i} e^{s_{ik}/\tau} - s^+_i/\tau\Big)

    The forward pass keeps one number for each anchor (the log-sum over its negatives); the backward pass
    computes each tile again. Memory beyond inputs and gradients is a few tiles, whatever n and m are.

    The gradients are those of Wang & Liu (CVPR 2021, arXiv 2012.09740): with
    :math:`P_{ik} = e^{s_{ik}/\tau}/(e^{s^+_i/\tau} + \sum_j e^{s_{ij}/\tau})`, the push on a negative is
    :math:`P_{ik}/\tau`, the pull on the positive is their sum, and
    :math:`\partial L_i/\partial\tau = (s^+_i - \sum_k P_{ik} s_{ik} - P_{i+} s^+_i)/\tau^2`.

    Args:
        anchors: ``(n, d)``, float16 to float64; half precision is computed in float32.
        positives: ``(n, d)``; row i is the positive of anchor i.
        candidates: ``(m, d)``; the pool of negatives that all anchors share, m ≥ 1.
        temperature: τ > 0, a scalar tensor, which receives a gradient if it asks for one.
        excluded: ``(n, e)`` column numbers of candidates that are no negatives of anchor i. An anchor
            with no negative left has loss 0 and no gradient.

    Returns:
        ``(n,)`` losses in nats, each ≥ 0; float32 for half-precision inputs.

    Raises:
        RuntimeError: on double backward, which is not supported.

    Example:
        >>> import torch
        >>> a = torch.eye(2)
        >>> own = torch.tensor([[0], [1]])
        >>> contrast(a, a, a, torch.tensor(1.0), own)
        tensor([0.3133, 0.3133])
    """
    losses: Tensor = _Contrast.apply(anchors, positives, candidates, temperature, excluded)
    return losses


class _Contrast(torch.autograd.Function):
    """Two passes over the tiles: log-sums forward, gradients backward."""

    @staticmethod
    def forward(
        ctx: Any,
        anchors: Tensor,
        positives: Tensor,
        candidates: Tensor,
        temperature: Tensor,
        excluded: Tensor | None,
    ) -> Tensor:
        a, p, c = (_computable(x) for x in (anchors, positives, candidates))
        tau = temperature.to(a.dtype)
        positive = (a * p).sum(dim=1)
        log_sum = torch.full_like(positive, float("-inf"))
        # Mixed precision may lower the encoder's products, never those of the logits.
        with torch.autocast(a.device.type, enabled=False):
            for rows, _, logits in _tiles(a, c, tau, excluded):
                log_sum[rows] = torch.logaddexp(log_sum[rows], logits.logsumexp(dim=1))
        margin = log_sum - positive / tau
        ctx.save_for_backward(
            anchors, positives, candidates, temperature, excluded, log_sum, positive
        )
        return softplus(margin, threshold=40.0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # set by create_graph=True
            raise RuntimeError(
                "contrast has no second derivatives; use dense_contrast where create_graph=True is needed"
            )
        anchors, positives, candidates, temperature, excluded, log_sum, positive = ctx.saved_tensors
        a, p, c = (_computable(x) for x in (anchors, positives, candidates))
        tau = temperature.to(a.dtype)
        # The share of the softmax that lies on the negatives, 1 - P(positive): the strength of the pull.
        pull = torch.sigmoid(log_sum - positive / tau) * grad / tau
        grad_a = -pull[:, None] * p
        grad_p = -pull[:, None] * a
        grad_c = torch.zeros_like(c)
        mean_similarity = torch.zeros_like(positive)
        # An anchor without negatives has log-sum -inf; 0 in its place keeps exp(-inf - 0) = 0.
        finite_log_sum = torch.where(log_sum.isinf(), torch.zeros_like(log_sum), log_sum)
        with torch.autocast(a.device.type, enabled=False):
            for rows, columns, logits in _tiles(a, c, tau, excluded):
                shares = torch.exp(logits - finite_log_sum[rows, None])
                # An excluded logit is -inf, its share 0: their product must count as 0, not as nan.
                mean_similarity[rows] += (shares * logits.clamp_min_(_LOWEST)).sum(dim=1) * tau
                shares *= pull[rows, None]
                grad_a[rows] += shares @ c[columns]
                grad_c[columns] += shares.T @ a[rows]
        grad_tau = (pull * (positive - mean_similarity)).sum() / tau
        return (
            grad_a.to(anchors.dtype),
            grad_p.to(positives.dtype),
            grad_c.to(candidates.dtype),
            grad_tau.to(temperature.dtype),
            None,
        )


_LOWEST = torch.finfo(torch.float32).min


def _computable(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _tiles(
    anchors: Tensor, candidates: Tensor, tau: Tensor, excluded: Tensor | None
) -> Iterator[tuple[slice, slice, Tensor]]:
    """The matrix of logits, tile by tile, with excluded entries at -inf."""
    n, m = len(anchors), len(candidates)
    width = min(m, COLUMNS)
    height = max(1, min(n, TILE // width))
    for top in range(0, n, height):
        rows = slice(top, min(top + height, n))
        for left in range(0, m, width):
            columns = slice(left, min(left + width, m))
            logits = (anchors[rows] @ candidates[columns].T).div_(tau)
            if excluded is not None:
                _exclude(logits, excluded[rows] - left)
            yield rows, columns, logits


def _exclude(logits: Tensor, excluded: Tensor) -> None:
    inside = (excluded >= 0) & (excluded < logits.shape[1])
    row, entry = inside.nonzero(as_tuple=True)
    logits[row, excluded[row, entry]] = float("-inf")
