"""Contrastive losses as functions of embeddings and a temperature."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from temperance.contrast import contrast
from temperance.errors import InputError

Reduction = Literal["mean", "sum", "none"]
Similarity = Literal["cosine", "dot"]


def info_nce(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "n d"],
    negatives: Float[Tensor, "k d"] | None = None,
    *,
    temperature: float | Float[Tensor, ""] = 0.07,
    in_batch: bool | None = None,
    similarity: Similarity = "cosine",
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    r"""InfoNCE: tell the positive key of each query from all other keys.

    .. math:: L_i = -\log \frac{e^{s(q_i, k_i)/\tau}}{e^{s(q_i, k_i)/\tau} + \sum_{j} e^{s(q_i, c_j)/\tau}}

    Without ``negatives`` the candidates :math:`c_j` are the other keys of the batch (van den Oord et al.
    2018, arXiv 1807.03748). With ``negatives`` (a queue) they are those alone, the form of MoCo
    (He et al. 2020, arXiv 1911.05722); ``in_batch=True`` adds the batch to them.

    Args:
        queries: ``(n, d)``.
        keys: ``(n, d)``; row i is the positive of query i.
        negatives: ``(k, d)`` further keys, shared by all queries.
        temperature: τ > 0. A scalar tensor receives its gradient.
        in_batch: whether the other keys of the batch are negatives; unless told, only where there are no
            ``negatives``.
        similarity: ``"cosine"`` (vectors are normalised here) or ``"dot"`` (taken as they are).
        reduction: ``"mean"`` or ``"sum"`` over queries, or ``"none"``.

    Returns:
        A scalar in nats, or ``(n,)`` with ``reduction="none"``; float32 for half-precision inputs.

    Raises:
        InputError: on shapes that do not fit, τ that is not positive and finite, vectors with nan or
            infinity, a zero vector under cosine similarity, or no candidate at all.

    Example:
        >>> import torch
        >>> q, k = torch.eye(4), torch.eye(4)
        >>> info_nce(q, k, temperature=0.5)
        tensor(0.3408)
        >>> queue = torch.eye(4)[1:3]
        >>> info_nce(q[:1], k[:1], queue, temperature=0.5)
        tensor(0.2395)
    """
    _check_pair("queries", queries, "keys", keys)
    tau = _temperature(temperature, queries)
    q = _vectors("queries", queries, similarity)
    k = _vectors("keys", keys, similarity)
    own = None
    if negatives is None or in_batch:
        candidates = k
        own = torch.arange(len(k), device=k.device)[:, None]
    if negatives is not None:
        if negatives.ndim != 2 or negatives.shape[1] != queries.shape[1]:
            raise InputError(
                f"negatives have shape {tuple(negatives.shape)}; give (k, {queries.shape[1]}), as wide as "
                "the queries"
            )
        extra = _vectors("negatives", negatives, similarity)
        candidates = torch.cat([k, extra]) if in_batch else extra
    elif in_batch is False:
        raise InputError("in_batch=False leaves no candidates; give negatives too")
    return _reduce(contrast(q, k, candidates, tau, own), reduction)


def nt_xent(
    view_a: Float[Tensor, "n d"],
    view_b: Float[Tensor, "n d"],
    *,
    temperature: float | Float[Tensor, ""] = 0.1,
    similarity: Similarity = "cosine",
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    r"""NT-Xent, the loss of SimCLR: every view of the batch is an anchor.

    With z the 2n rows of both views and j(i) the other view of row i,

    .. math:: L_i = -\log \frac{e^{s(z_i, z_{j(i)})/\tau}}{\sum_{k \neq i} e^{s(z_i, z_k)/\tau}}

    so that each anchor has one positive and 2n - 2 negatives (Chen et al. 2020, arXiv 2002.05709).

    Args:
        view_a: ``(n, d)``, one view of each instance.
        view_b: ``(n, d)``, the other view, in the same order.
        temperature: τ > 0. A scalar tensor receives its gradient.
        similarity: ``"cosine"`` (vectors are normalised here) or ``"dot"`` (taken as they are).
        reduction: ``"mean"`` or ``"sum"`` over the 2n anchors, or ``"none"``.

    Returns:
        A scalar in nats, or ``(2n,)`` (all of ``view_a``, then all of ``view_b``) with
        ``reduction="none"``; float32 for half-precision inputs.

    Raises:
        InputError: as ``info_nce``.

    Example:
        >>> import torch
        >>> nt_xent(torch.eye(4), torch.eye(4), temperature=0.5)
        tensor(0.5944)
    """
    _check_pair("view_a", view_a, "view_b", view_b)
    tau = _temperature(temperature, view_a)
    z = torch.cat([_vectors("view_a", view_a, similarity), _vectors("view_b", view_b, similarity)])
    n = len(view_a)
    rows = torch.arange(2 * n, device=z.device)
    other_view = rows.roll(n)
    losses = contrast(z, z.roll(n, 0), z, tau, torch.stack([rows, other_view], dim=1))
    return _reduce(losses, reduction)


def _check_pair(name_a: str, a: Tensor, name_b: str, b: Tensor) -> None:
    for name, x in ((name_a, a), (name_b, b)):
        if x.ndim != 2 or 0 in x.shape:
            raise InputError(f"{name} have shape {tuple(x.shape)}; give (n, d), one vector a row")
        if not x.is_floating_point():
            raise InputError(f"{name} are {x.dtype}; give floating-point vectors")
    if a.shape != b.shape:
        raise InputError(
            f"{name_b} have shape {tuple(b.shape)} and {name_a} {tuple(a.shape)}; "
            "give one positive for each row"
        )


def _vectors(name: str, x: Tensor, similarity: Similarity) -> Tensor:
    """The rows as the similarity takes them; refuses rows on which it is not defined."""
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    norms = x.detach().norm(dim=1)
    if not bool(torch.isfinite(norms).all()):
        row = int((~torch.isfinite(norms)).nonzero()[0])
        raise InputError(f"row {row} of {name} holds nan or infinity; look at what made it")
    if similarity == "dot":
        return x
    if similarity != "cosine":
        raise InputError(f"similarity {similarity!r} is unknown; give 'cosine' or 'dot'")
    if not bool((norms > 0).all()):
        row = int((norms == 0).nonzero()[0])
        raise InputError(
            f"row {row} of {name} is the zero vector, which has no cosine; leave it out"
        )
    return normalize(x, dim=1, eps=0.0)


def _temperature(temperature: float | Tensor, like: Tensor) -> Tensor:
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    tau = torch.as_tensor(temperature, dtype=dtype, device=like.device)
    if tau.ndim != 0:
        raise InputError(f"temperature has shape {tuple(tau.shape)}; give one number")
    value = float(tau.detach())
    if not (math.isfinite(value) and value > 0):
        raise InputError(
            f"temperature {value:g} is not positive and finite; give a number such as 0.1"
        )
    return tau


def _reduce(losses: Tensor, reduction: Reduction) -> Tensor:
    match reduction:
        case "mean":
            return losses.mean()
        case "sum":
            return losses.sum()
        case "none":
            return losses
    raise InputError(f"reduction {reduction!r} is unknown; give 'mean', 'sum' or 'none'")
