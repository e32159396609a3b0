"""The equation written out, for tests and for reading: it holds the whole matrix of similarities."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import softplus


def dense_contrast(
    anchors: Float[Tensor, "n d"],
    positives: Float[Tensor, "n d"],
    candidates: Float[Tensor, "m d"],
    temperature: Float[Tensor, ""],
    excluded: Int[Tensor, "n e"] | None = None,
) -> Float[Tensor, " n"]:
    r"""The loss of each anchor, by the definition and by plain automatic differentiation.

    With :math:`s^+_i = a_i \cdot p_i` and :math:`s_{ik} = a_i \cdot c_k`,

    .. math:: L_i = -\log \frac{e^{s^+_i/\tau}}{e^{s^+_i/\tau} + \sum_{k \notin X_i} e^{s_{ik}/\tau}}
                  = \mathrm{softplus}\Big(\log \sum_{k \notin X_i} e^{s_{ik}/\tau} - s^+_i/\tau\Big)

    The second form keeps its digits on separated pairs, where the first subtracts two numbers that are
    almost equal; in float64 it is the oracle that the fast path is held against.

    Args:
        anchors: ``(n, d)``.
        positives: ``(n, d)``; row i is the positive of anchor i.
        candidates: ``(m, d)``; the pool of negatives that all anchors share.
        temperature: τ > 0, a scalar tensor.
        excluded: ``(n, e)`` column numbers of candidates that are no negatives of anchor i (itself, its
            positive).

    Returns:
        ``(n,)`` losses in nats, each ≥ 0.

    Example:
        >>> import torch
        >>> a = torch.eye(2, dtype=torch.float64)
        >>> own = torch.tensor([[0], [1]])
        >>> dense_contrast(a, a, a, torch.tensor(1.0, dtype=torch.float64), own).round(decimals=4)
        tensor([0.3133, 0.3133], dtype=torch.float64)
    """
    logits = (anchors @ candidates.T) / temperature
    if excluded is not None:
        # After the division: -inf / τ has no gradient in τ, only nan.
        logits = logits.scatter(1, excluded, float("-inf"))
    positive = (anchors * positives).sum(dim=1) / temperature
    return softplus(logits.logsumexp(dim=1) - positive, threshold=_NO_THRESHOLD)


# softplus(x) returns x itself above its threshold: exact only where e^-x is below the rounding of x.
_NO_THRESHOLD = 40.0
