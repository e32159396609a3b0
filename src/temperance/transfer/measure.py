"""Every classifier on one space, image by image."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from temperance.transfer.classification import NEIGHBOURS, FewShot, knn, linear_probe

# By metric, a fresh classifier for so many embeddings.
HEADS: dict[str, Callable[[int], Any]] = {
    "knn_accuracy": lambda n: knn(min(NEIGHBOURS, n)),
    "linear_accuracy": lambda n: linear_probe(),
    "few_shot_accuracy": lambda n: FewShot(),
}
METRICS = tuple(HEADS)


def correctness(
    train: tuple[np.ndarray, Int64[np.ndarray, " n"]],
    held_out: Mapping[str, tuple[np.ndarray, Int64[np.ndarray, " m"]]],
    metrics: Sequence[str] = METRICS,
) -> dict[str, dict[str, Float32[np.ndarray, " m"]]]:
    """How often each held-out image is classified rightly, by each classifier.

    Args:
        train: embeddings ``(n, d)`` and labels ``(n,)`` that the heads learn from.
        held_out: by name of the split, embeddings ``(m, d)`` and labels ``(m,)``.
        metrics: which classifiers.

    Returns:
        By split and metric, ``(m,)`` in [0, 1]: 0 or 1 for kNN and the linear probe, the share of draws
        for few-shot. The mean over images is the accuracy.

    Example:
        >>> import numpy as np
        >>> x, y = np.repeat(np.eye(2), 30, axis=0), np.repeat([0, 1], 30)
        >>> right = correctness((x, y), {"test": (x[::10], y[::10])})
        >>> float(right["test"]["knn_accuracy"].mean())
        1.0
    """
    x, y = train
    heads = {metric: HEADS[metric](len(x)).fit(x, y) for metric in metrics}
    return {
        split: {
            metric: np.atleast_2d(heads[metric].predict(points) == labels)
            .mean(axis=0)
            .astype(np.float32)
            for metric in metrics
        }
        for split, (points, labels) in held_out.items()
    }
