"""Whether features beat raw pixels is said with the uncertainty of the seeds."""

import pytest

from temperance.search.pixels import AgainstPixels, pixels_in_words


def compared(metric: str, learned: float, error: float, pixels: float = 0.8) -> AgainstPixels:
    return AgainstPixels(metric, 0.2, learned, error, pixels)


@pytest.mark.parametrize(
    ("learned", "error", "beats"),
    [(0.9, 0.01, True), (0.82, 0.01, False), (0.7, 0.01, False), (0.81, float("nan"), True)],
)
def test_better_means_more_than_two_standard_errors(learned, error, beats) -> None:
    assert compared("knn_accuracy", learned, error).beats == beats


def test_both_kinds_are_said_in_words() -> None:
    words = pixels_in_words(
        [compared("knn_accuracy", 0.9, 0.01), compared("few_shot_accuracy", 0.7, 0.01)]
    )
    assert "beat raw pixels on test images by kNN (90.0 % against 80.0 %)" in words
    assert "do not beat raw pixels by five labels a class (70.0 % against 80.0 %)" in words
    assert pixels_in_words([]) == ""
