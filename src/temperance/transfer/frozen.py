"""Classification on frozen features: nearest neighbours, a linear probe, few labels."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import nn
from torch.nn.functional import normalize

from temperance.data import ImageSet
from temperance.encoders import Encoder, embed
from temperance.errors import InputError
from temperance.transfer.classification import NEIGHBOUR_TEMPERATURE, FewShot, linear_probe
from temperance.transfer.evaluator import Score

# Of InstDisc; a data set with fewer images lets them all vote.
NEIGHBOURS = 200
CHUNK = 1024


class NearestNeighbours:
    r"""Weighted nearest neighbours by cosine, as InstDisc has them (Wu et al. 2018, arXiv 1805.01978).

    Each of the 200 nearest votes with weight :math:`e^{s/0.07}`. Similarities are taken 1,024 queries at a
    time, so that the matrix of all of them is never held.

    Args:
        neighbours: how many vote; all, where there are no more.

    Example:
        >>> x, y = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0), np.repeat([0, 1], 3)
        >>> NearestNeighbours(2).fit(x, y).predict(x[::3]).tolist()
        [0, 1]
    """

    def __init__(self, neighbours: int = NEIGHBOURS) -> None:
        self.neighbours = neighbours

    def fit(self, x: Float32[np.ndarray, "n d"], y: Int64[np.ndarray, " n"]) -> "NearestNeighbours":
        """Keep embeddings ``(n, d)`` and their classes ``(n,)``."""
        self.known_ = normalize(torch.from_numpy(x), dim=1)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        self.numbers_ = torch.from_numpy(numbers)
        return self

    def predict(self, x: Float32[np.ndarray, "m d"]) -> Int64[np.ndarray, " m"]:
        """The classes of embeddings ``(m, d)``."""
        found = []
        count = min(self.neighbours, len(self.known_))
        for queries in torch.split(torch.from_numpy(x), CHUNK):
            similarity, rows = (normalize(queries, dim=1) @ self.known_.T).topk(count, dim=1)
            weights = ((similarity - similarity[:, :1]) / NEIGHBOUR_TEMPERATURE).exp()
            votes = torch.zeros(len(queries), len(self.classes_))
            votes.scatter_add_(1, self.numbers_[rows], weights)
            found.append(votes.argmax(1))
        classes: Int64[np.ndarray, " m"] = self.classes_[torch.cat(found).numpy()]
        return classes


class Frozen:
    """A classifier on the frozen features of an extractor.

    ``"knn"`` is ``NearestNeighbours``, ``"linear"`` a logistic regression, ``"few-shot"`` the nearest mean of
    five images a class, over 20 draws.

    Args:
        encoder: the extractor; images must be of its size.
        head: one of those above.
        seed: of the few-shot draws.
    """

    def __init__(self, encoder: Encoder, head: str = "linear", seed: int = 0) -> None:
        heads: dict[str, Any] = {
            "knn": NearestNeighbours(),
            "linear": linear_probe(),
            "few-shot": FewShot(seed=seed),
        }
        if head not in heads:
            raise InputError(f"head {head!r} is unknown; give one of {', '.join(heads)}")
        self.encoder, self.head = encoder, heads[head]

    def fit(self, data: ImageSet) -> "Frozen":
        """Learn from labelled images."""
        self.head.fit(self._features(data), labels_of(data))
        return self

    def predict(self, data: ImageSet) -> Int64[np.ndarray, "..."]:
        """Class numbers of images ``(n,)``; of few-shot, in each draw ``(draws, n)``."""
        found: Int64[np.ndarray, ...] = self.head.predict(self._features(data))
        return found

    def score(self, data: ImageSet) -> Score:
        """Accuracy, and that of each class."""
        return accuracy(self.predict(data), data)

    def _features(self, data: ImageSet) -> Float32[np.ndarray, "n d"]:
        found: Float32[np.ndarray, "n d"] = embed(
            self.encoder, torch.from_numpy(data.images)
        ).features.numpy()
        return found


class Classifier:
    """What classifiers of images, once fitted, have in common.

    Attributes:
        model_: from images in [0, 1] to a score for each class.
    """

    model_: nn.Module

    @torch.no_grad()
    def predict(self, data: ImageSet) -> Int64[np.ndarray, " n"]:
        """Class numbers of images."""
        images = torch.from_numpy(data.images)
        found = [self.model_(some.float() / 255).argmax(1) for some in torch.split(images, CHUNK)]
        return np.asarray(torch.cat(found).numpy(), np.int64)

    def score(self, data: ImageSet) -> Score:
        """Accuracy, and that of each class."""
        return accuracy(self.predict(data), data)


def labels_of(data: ImageSet) -> Int64[np.ndarray, " n"]:
    """The labels.

    Raises:
        InputError: if there are none.
    """
    if data.labels is None:
        raise InputError(f"{data.name} has no labels; give images in sub-folders, one a class")
    return data.labels


def accuracy(found: Int64[np.ndarray, "..."], data: ImageSet) -> Score:
    """Share of right answers over images (and draws), and for each class that occurs.

    Args:
        found: class numbers, ``(n,)`` or ``(draws, n)``.
        data: labelled.
    """
    labels = labels_of(data)
    right = np.atleast_2d(found == labels).mean(axis=0)
    return Score(
        {"accuracy": float(right.mean())},
        {data.classes[k]: float(right[labels == k].mean()) for k in np.unique(labels).tolist()},
    )
