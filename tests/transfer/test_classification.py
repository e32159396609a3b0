"""Heads against their rules, written out image by image."""

import numpy as np
import pytest
from sklearn.preprocessing import normalize

from temperance.transfer import METRICS, FewShot, correctness, knn

RANDOM = np.random.default_rng(0)
CENTRES = RANDOM.normal(size=(4, 6))
LABELS = np.repeat(np.arange(4), 25)
POINTS = (CENTRES[LABELS] + 0.8 * RANDOM.normal(size=(100, 6))).astype(np.float32)
QUERIES = (CENTRES[LABELS[::4]] + 0.8 * RANDOM.normal(size=(25, 6))).astype(np.float32)


def test_knn_votes_with_the_exponential_of_the_cosine() -> None:
    found = knn(5).fit(POINTS, LABELS).predict(QUERIES)
    similarity = normalize(QUERIES) @ normalize(POINTS).T
    for row, label in zip(similarity, found, strict=True):
        nearest = np.argsort(-row)[:5]
        votes = np.zeros(4)
        np.add.at(votes, LABELS[nearest], np.exp(row[nearest] / 0.07))
        assert label == votes.argmax()


def test_few_shot_takes_the_nearest_mean_of_the_shots() -> None:
    head = FewShot(shots=5, draws=3).fit(POINTS, LABELS)
    assert head.means_.shape == (3, 4, 6)
    found = head.predict(QUERIES)
    distance = np.linalg.norm(normalize(QUERIES)[None, :, None] - head.means_[:, None], axis=3)
    assert (found == distance.argmin(axis=2)).all()
    assert head.score(QUERIES, LABELS[::4]) == pytest.approx((found == LABELS[::4]).mean())


def test_few_shot_asks_every_extractor_the_same_questions() -> None:
    first = FewShot().fit(POINTS, LABELS).predict(QUERIES)
    second = FewShot().fit(2 * POINTS, LABELS).predict(2 * QUERIES)
    assert (first == second).all()


def test_a_class_with_fewer_images_than_shots_gives_all_it_has() -> None:
    labels = LABELS.copy()
    labels[labels == 3] = 2
    labels[-1] = 3
    head = FewShot(draws=2).fit(POINTS, labels)
    np.testing.assert_allclose(head.means_[:, 3], normalize(POINTS[-1:])[[0, 0]], rtol=1e-6)


def test_correctness_is_the_accuracy_image_by_image() -> None:
    right = correctness((POINTS, LABELS), {"test": (QUERIES, LABELS[::4])})["test"]
    assert set(right) == set(METRICS)
    assert set(np.unique(right["knn_accuracy"])) <= {0, 1}
    for metric in METRICS:
        assert right[metric].shape == (25,)
        assert right[metric].mean() > 0.6


def test_collapsed_embeddings_are_measured_not_fatal() -> None:
    same = np.ones((100, 6), np.float32)
    right = correctness((same, LABELS), {"test": (same[:25], LABELS[::4])})["test"]
    assert right["linear_accuracy"].mean() == pytest.approx(0.25, abs=0.05)
