"""Classifiers on frozen embeddings, all with ``fit``, ``predict`` and ``score``."""

import warnings

import numpy as np
from jaxtyping import Float, Int64
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

NEIGHBOURS = 20
NEIGHBOUR_TEMPERATURE = 0.07


def knn(neighbours: int = NEIGHBOURS) -> KNeighborsClassifier:
    r"""Weighted nearest neighbours by cosine: each votes with weight :math:`e^{s/0.07}`.

    The rule of InstDisc (Wu et al. 2018, arXiv 1805.01978), with fewer neighbours than its 200, since the
    classes of a small data set have no more members than that.

    Args:
        neighbours: how many vote.
    """
    return KNeighborsClassifier(
        neighbours, weights=_cosine_weights, metric="cosine", algorithm="brute"
    )


def _cosine_weights(distance: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    return np.exp(-distance / NEIGHBOUR_TEMPERATURE)


def linear_probe() -> Pipeline:
    """Multinomial logistic regression on standardised embeddings, solved by L-BFGS.

    The ridge penalty (C = 0.01) is the one at which raw pixels do best, so that the baseline is a strong
    one.
    """
    return make_pipeline(StandardScaler(), _Logistic(C=0.01, max_iter=1000, tol=1e-3))


class _Logistic(LogisticRegression):  # type: ignore[misc]
    """Stops quietly where collapsed embeddings leave nothing to converge to."""

    def fit(self, x: Float[np.ndarray, "n d"], y: Int64[np.ndarray, " n"]) -> "_Logistic":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(x, y)
        return self


class FewShot:
    """Nearest class mean from a few labelled images a class, over many draws of those images.

    Args:
        shots: labelled images a class; a class with fewer gives all it has.
        draws: how many times they are drawn.
        seed: of the draws, so that every extractor is asked the same questions.
    """

    def __init__(self, shots: int = 5, draws: int = 20, seed: int = 0) -> None:
        self.shots = shots
        self.draws = draws
        self.seed = seed

    def fit(self, x: Float[np.ndarray, "n d"], y: Int64[np.ndarray, " n"]) -> "FewShot":
        """Draw the shots from embeddings ``(n, d)`` and labels ``(n,)``."""
        random = np.random.default_rng(self.seed)
        unit = normalize(x)
        self.classes_ = np.unique(y)
        members = [np.flatnonzero(y == label) for label in self.classes_]
        self.means_ = np.stack(
            [
                [unit[random.permutation(rows)[: self.shots]].mean(axis=0) for rows in members]
                for _ in range(self.draws)
            ]
        )
        return self

    def predict(self, x: Float[np.ndarray, "n d"]) -> Int64[np.ndarray, "draws n"]:
        """The classes of embeddings ``(n, d)`` in each draw."""
        # Nearest mean: ||x - m||² less the part that all classes share.
        score = normalize(x) @ self.means_.swapaxes(1, 2) - 0.5 * (self.means_**2).sum(
            axis=2, keepdims=True
        ).swapaxes(1, 2)
        classes: Int64[np.ndarray, "draws n"] = self.classes_[score.argmax(axis=2)]
        return classes

    def score(self, x: Float[np.ndarray, "n d"], y: Int64[np.ndarray, " n"]) -> float:
        """Mean accuracy over draws and images, in [0, 1]."""
        return float((self.predict(x) == y).mean())
