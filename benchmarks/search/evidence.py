"""What can be said of a trained space without labels: the raw material of rules that choose τ."""

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score, silhouette_score
from torch import Tensor

from temperance.data import Views
from temperance.encoders import Encoder, embed
from temperance.geometry import (
    alignment,
    anisotropy,
    effective_rank,
    hardness,
    hubness,
    tolerance,
    uniformity,
)
from temperance.transfer import linear_probe

SPACES = ("features", "projection")
ROWS = 512
NEIGHBOURS = 10
CLUSTERS = 16
VIEWS = 8
# At which the push is shared out besides the member's own temperature, so that members can be compared.
REFERENCE = 0.1

Spaces = dict[str, Tensor]


class Evidence:
    """Measures of encoders on the same images and the same views of them.

    Args:
        train: ``(n, channels, size, size)`` bytes that the encoders were trained on.
        held_out: bytes that they were not.
    """

    def __init__(self, train: Tensor, held_out: Tensor) -> None:
        self.train, self.held_out = train[:ROWS], held_out[:ROWS]
        views = Views(train.shape[1], train.shape[2])
        self.train_views = views.pair(self.train, 0)
        self.views = [
            view for number in range(VIEWS // 2) for view in views.pair(self.held_out, number)
        ]
        self.turned = [
            torch.cat([torch.rot90(x, turns, (2, 3)) for turns in range(4)])
            for x in (self.train, self.held_out)
        ]

    def of(self, encoder: Encoder, temperature: float) -> tuple[dict[str, float], Tensor]:
        """The measures by name, and the nearest neighbours of each held-out image (on the features)."""
        plain = _spaces(encoder, self.held_out)
        views = [_spaces(encoder, x) for x in self.views]
        seen = [_spaces(encoder, x) for x in self.train_views]
        turned = [_spaces(encoder, x) for x in self.turned]
        found: dict[str, float] = {}
        for space in SPACES:
            several = [v[space] for v in views]
            measures = _spread(plain[space], several, temperature)
            measures |= _clusters(plain[space], several)
            trained = hardness(seen[0][space], seen[1][space], temperature)
            measures["pretext_gap"] = float(trained.hits.mean()) - measures["pretext_accuracy"]
            separation = trained.positive_similarity.mean() - trained.top_similarity.mean()
            measures["separation_gap"] = float(separation) - measures["local_separation"]
            measures["rotation"] = _rotation(turned[0][space], turned[1][space])
            found |= {f"{space}.{name}": value for name, value in measures.items()}
        return found, neighbours(plain["features"])


def neighbours(points: Tensor) -> Tensor:
    """``(n, k)`` row numbers of the nearest by cosine."""
    unit = torch.nn.functional.normalize(points)
    similarity = (unit @ unit.T).fill_diagonal_(-2)
    return similarity.topk(NEIGHBOURS, dim=1).indices


def overlap(first: Tensor, second: Tensor) -> float:
    """The share of neighbours that two lists ``(n, k)`` have in common, mean over rows."""
    return float((first[:, :, None] == second[:, None]).any(dim=2).float().mean())


def consensus(lists: list[Tensor]) -> list[float]:
    """How far each member's neighbours are those that the other members agree on."""
    return [
        float(np.mean([overlap(mine, other) for j, other in enumerate(lists) if j != i]))
        for i, mine in enumerate(lists)
    ]


def _spaces(encoder: Encoder, images: Tensor) -> Spaces:
    both = embed(encoder, images)
    # A dead feature row has no direction; a speck lets every measure stand.
    return {
        "features": both.features + 1e-6,
        "projection": both.projection,
    }


def _spread(plain: Tensor, views: list[Tensor], temperature: float) -> dict[str, float]:
    own, reference = (hardness(views[0], views[1], tau) for tau in (temperature, REFERENCE))
    singular = torch.linalg.svdvals(plain - plain.mean(dim=0)).double().square()
    singular = singular[singular > singular[0] * 1e-9]
    order = torch.arange(1, len(singular) + 1).double().log()
    decay = -np.polyfit(order.numpy(), singular.log().numpy(), 1)[0]
    positive, hardest = own.positive_similarity.mean(), own.top_similarity.mean()
    return {
        "alignment": alignment(views[0], views[1]),
        "uniformity": uniformity(plain),
        "anisotropy": anisotropy(plain),
        "hubness": hubness(plain),
        "rankme": effective_rank(plain),
        "stable_rank": float(singular.sum() / singular[0]),
        "alpha_req": float(decay),
        "lidar": _lidar(views),
        "intrinsic_dimension": _two_nn(plain),
        "positive_similarity": float(positive),
        "top10_similarity": float(hardest),
        "local_separation": float(positive - hardest),
        "pretext_accuracy": float(own.hits.mean()),
        "effective_share": float(own.effective_negatives.mean()) / (len(plain) - 1),
        "effective_share_at_reference": float(reference.effective_negatives.mean())
        / (len(plain) - 1),
        "neighbour_consistency": overlap(neighbours(views[0]), neighbours(views[1])),
    }


def _lidar(views: list[Tensor]) -> float:
    """Rank of the spread between instances, in units of that within them (arXiv 2312.04000)."""
    x = torch.stack(views).double()
    means = x.mean(dim=0)
    within = (x - means).flatten(0, 1)
    covariance = within.T @ within / len(within)
    covariance += 1e-4 * torch.eye(x.shape[2]) * covariance.diagonal().mean()
    values, vectors = torch.linalg.eigh(covariance)
    whiten = vectors / values.sqrt()
    between = torch.linalg.svdvals((means - means.mean(dim=0)) @ whiten).square()
    share = between / between.sum()
    return float(torch.special.entr(share).sum().exp())


def _two_nn(points: Tensor) -> float:
    """Intrinsic dimension from the ratio of the two nearest distances (Facco et al. 2017)."""
    distance = torch.cdist(points, points).fill_diagonal_(float("inf"))
    near = distance.topk(2, dim=1, largest=False).values.clamp_min(1e-9)
    return float(1 / (near[:, 1] / near[:, 0]).log().mean().clamp_min(1e-6))


def _clusters(plain: Tensor, views: list[Tensor]) -> dict[str, float]:
    unit, first, second = (
        torch.nn.functional.normalize(x).numpy() for x in (plain, views[0], views[1])
    )
    means = KMeans(CLUSTERS, n_init=2, random_state=0).fit(unit)
    label = torch.from_numpy(means.labels_.astype(np.int64))
    near = neighbours(plain)
    votes = torch.nn.functional.one_hot(label[near], CLUSTERS).sum(dim=1)
    within = tolerance(plain, label)
    return {
        "cluster_tolerance": within,
        "cluster_contrast": within - anisotropy(plain),
        "cluster_silhouette": float(silhouette_score(unit, means.labels_, metric="cosine")),
        "cluster_stability": float(
            normalized_mutual_info_score(means.predict(first), means.predict(second))
        ),
        "cluster_learnability": float((votes.argmax(dim=1) == label).float().mean()),
    }


def _rotation(train: Tensor, held_out: Tensor) -> float:
    """How well a linear probe tells by how many quarter turns an image was turned."""
    turns = [np.repeat(np.arange(4), len(x) // 4) for x in (train, held_out)]
    return float(linear_probe().fit(train.numpy(), turns[0]).score(held_out.numpy(), turns[1]))
