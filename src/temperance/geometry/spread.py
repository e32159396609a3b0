"""How the embeddings lie on the sphere: alignment, uniformity, tolerance, rank, hubs."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from temperance.errors import InputError
from temperance.geometry.vectors import blocks, unit


def alignment(
    view_a: Float[Tensor, "n d"], view_b: Float[Tensor, "n d"], exponent: float = 2.0
) -> float:
    r"""How far apart the two views of an instance lie, :math:`E\,\|f(x) - f(x^+)\|^a`; 0 is perfect.

    Wang & Isola, ICML 2020, arXiv 2005.10242. For exponent 2 it is 2 - 2·(mean positive cosine), in
    [0, 4].

    Args:
        view_a: ``(n, d)``, one view of each instance.
        view_b: ``(n, d)``, the other, in the same order.
        exponent: the power a.

    Raises:
        InputError: on shapes that differ or rows without a direction.

    Example:
        >>> import torch
        >>> alignment(torch.eye(2), torch.eye(2))
        0.0
    """
    if view_a.shape != view_b.shape:
        raise InputError(
            f"the views have shapes {tuple(view_a.shape)} and {tuple(view_b.shape)}; "
            "give two views of the same instances"
        )
    return float((unit(view_a) - unit(view_b)).norm(dim=1).pow(exponent).mean())


def uniformity(embeddings: Float[Tensor, "n d"], t: float = 2.0) -> float:
    r"""How evenly the embeddings fill the sphere, :math:`\log E_{x \neq y}\, e^{-t\|f(x)-f(y)\|^2}`.

    Wang & Isola, ICML 2020, arXiv 2005.10242. 0 is collapse to a point; lower is more uniform, down to
    about -3.94 at t = 2 on the 127-sphere. Pairs of a row with itself are left out. Wang & Liu (2021)
    plot the negative of it.

    Args:
        embeddings: ``(n, d)``; a few hundred rows at least, or the figure says little.
        t: sharpness of the Gaussian kernel.

    Raises:
        InputError: on fewer than two rows or rows without a direction.

    Example:
        >>> import torch
        >>> round(uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])), 4)
        -8.0
    """
    z = unit(embeddings)
    n = len(z)
    partial = []
    for rows in blocks(n, n):
        # ||x - y||² = 2 - 2 x·y on the sphere.
        exponent = (2 * t) * (z[rows] @ z.T - 1)
        exponent.diagonal(offset=rows.start).fill_(float("-inf"))
        partial.append(exponent.double().logsumexp(dim=(0, 1)))
    return float(torch.stack(partial).logsumexp(dim=0)) - math.log(n * (n - 1))


def tolerance(embeddings: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> float:
    r"""How close members of one class stay: the mean cosine of distinct pairs of the same class.

    Wang & Liu, CVPR 2021, arXiv 2012.09740, as their table reports it (the mean over same-class pairs,
    not over all pairs). In [-1, 1]; higher is more tolerant of semantic neighbours. Computed in closed
    form from class sums: :math:`\sum_c (\|S_c\|^2 - n_c) / \sum_c n_c(n_c - 1)`.

    Args:
        embeddings: ``(n, d)``.
        labels: ``(n,)`` class numbers.

    Raises:
        InputError: if no class has two members, or a row has no direction.

    Example:
        >>> import torch
        >>> tolerance(torch.eye(4), torch.tensor([0, 0, 1, 1]))
        0.0
    """
    z = unit(embeddings).double()
    _, members, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    pairs = int((counts * (counts - 1)).sum())
    if pairs == 0:
        raise InputError("no class has two members; tolerance needs pairs of one class")
    sums = z.new_zeros(len(counts), z.shape[1]).index_add_(0, members, z)
    return float((sums.square().sum() - len(z)) / pairs)


def effective_rank(embeddings: Float[Tensor, "n d"]) -> float:
    r"""How many dimensions the embeddings use: :math:`\exp H(\sigma / \sum \sigma)`, in [1, min(n, d)].

    σ are the singular values of the matrix of unit vectors (RankMe: Garrido et al. 2023, arXiv
    2210.02885). Near 1 means collapse.

    Args:
        embeddings: ``(n, d)``.

    Raises:
        InputError: on fewer than two rows or rows without a direction.

    Example:
        >>> import torch
        >>> round(effective_rank(torch.eye(3)), 4)
        3.0
    """
    z = unit(embeddings).double()
    # The squares of the singular values, in a fraction of the time.
    gram = z.T @ z if len(z) > z.shape[1] else z @ z.T
    singular = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    share = singular / singular.sum()
    return float(torch.special.entr(share).sum().exp())


def anisotropy(embeddings: Float[Tensor, "n d"]) -> float:
    r"""The mean cosine of two different rows: :math:`(\|\sum_i f(x_i)\|^2 - n) / (n(n-1))`.

    Near 0 where the embeddings point in all directions, near 1 where they share a narrow cone (Ethayarajh,
    EMNLP
    2019, arXiv 1909.00512).

    Args:
        embeddings: ``(n, d)``.

    Raises:
        InputError: on fewer than two rows or rows without a direction.

    Example:
        >>> import torch
        >>> anisotropy(torch.tensor([[1.0, 0.0], [1.0, 0.0], [2.0, 0.0]]))
        1.0
    """
    z = unit(embeddings).double()
    n = len(z)
    return float((z.sum(dim=0).square().sum() - n) / (n * (n - 1)))


def modality_gap(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    r"""How far apart the two kinds of embeddings lie: :math:`\|E f(x) - E g(y)\|`, in [0, 2].

    Liang et al., NeurIPS 2022, arXiv 2203.02053. Vectors are normalised before their means are taken.

    Args:
        x: ``(n, d)`` of one kind, such as pictures.
        y: ``(m, d)`` of the other, such as texts.

    Raises:
        InputError: on fewer than two rows or rows without a direction.

    Example:
        >>> import torch
        >>> modality_gap(torch.tensor([[1.0, 0.0]] * 2), torch.tensor([[-1.0, 0.0]] * 2))
        2.0
    """
    return float((unit(x).mean(dim=0) - unit(y).mean(dim=0)).norm())


def hubness(embeddings: Float[Tensor, "n d"], neighbours: int = 10) -> float:
    """Skewness of how often a row is among the nearest neighbours of others; 0 if all are so alike.

    Radovanović et al., JMLR 2010. Above about 1, a few hubs are near to everything. It grows with the
    dimension
    and with n: compare it with that of random vectors of the same shape.

    Args:
        embeddings: ``(n, d)``.
        neighbours: how many nearest neighbours of each row count; at most n - 1 do.

    Raises:
        InputError: on fewer than two rows or rows without a direction.

    Example:
        >>> import torch
        >>> hubness(torch.eye(3), neighbours=2)
        0.0
    """
    n = len(embeddings)
    counts = torch.zeros(n, dtype=torch.float64)
    for nearest in _nearest(unit(embeddings), neighbours):
        counts += torch.bincount(nearest.flatten(), minlength=n)
    spread = counts.std(correction=0)
    if float(spread) == 0:
        return 0.0
    return float(((counts - counts.mean()) / spread).pow(3).mean())


def neighbour_consistency(
    view_a: Float[Tensor, "n d"], view_b: Float[Tensor, "n d"], neighbours: int = 10
) -> Float[Tensor, " n"]:
    r"""Of each instance, what share of its neighbours in one view are so in the other, in [0, 1].

    .. math:: c_i = \frac{1}{k} \left| N_k(a_i) \cap N_k(b_i) \right|

    Where augmentation moves an instance among its neighbours, their order means little. Chance has it at
    k / (n - 1).

    Args:
        view_a: ``(n, d)`` of one augmented view of each instance.
        view_b: ``(n, d)`` of the other; row i is of the same instance.
        neighbours: k, how many nearest neighbours count, by cosine; at most n - 1 do.

    Raises:
        InputError: on fewer than two rows or rows without a direction.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
        >>> neighbour_consistency(x, x[[0, 2, 1, 3]], neighbours=1)
        tensor([0., 0., 0., 0.])
        >>> neighbour_consistency(x, 2 * x, neighbours=1)
        tensor([1., 1., 1., 1.])
    """
    pairs = zip(_nearest(unit(view_a), neighbours), _nearest(unit(view_b), neighbours), strict=True)
    shares = [(a[:, :, None] == b[:, None]).any(dim=2).float().mean(dim=1) for a, b in pairs]
    return torch.cat(shares)


def _nearest(z: Float[Tensor, "n d"], neighbours: int) -> Iterator[Int[Tensor, "b k"]]:
    """Row numbers of the nearest rows of each row but itself, block after block."""
    n = len(z)
    for rows in blocks(n, n):
        similarity = z[rows] @ z.T
        similarity.diagonal(offset=rows.start).fill_(float("-inf"))
        yield similarity.topk(min(neighbours, n - 1), dim=1).indices
