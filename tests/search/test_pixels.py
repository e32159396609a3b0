"""Whether features beat raw pixels is said with the uncertainty of the seeds."""

import pytest

from temperance.search.pixels import AgainstPixels, pixels_in_words


def compared(metric: str, learned: float, error: float, pixels: float = 0.8) -> AgainstPixels:
    return AgainstPixels(metric, 0.2, learned, error, pixels)


@pytest.mark.parametrize(
    ("learned", "error", "verdict"),
    [
        (0.9, 0.01, "better"),
        (0.82, 0.01, "level"),
        (0.785, 0.01, "level"),
        (0.7, 0.01, "worse"),
        (0.81, float("nan"), "better"),
    ],
)
def test_better_means_more_than_two_standard_errors(learned, error, verdict) -> None:
    assert compared("knn_accuracy", learned, error).verdict == verdict


def test_every_verdict_is_said_in_words() -> None:
    words = pixels_in_words(
        [
            compared("knn_accuracy", 0.9, 0.01),
            compared("linear_accuracy", 0.8, 0.01),
            compared("few_shot_accuracy", 0.7, 0.01),
        ]
    )
    assert "level with raw pixels, within the noise of seeds, by the linear probe" in words
    assert "beat raw pixels on test images by kNN (90.0 % against 80.0 %)" in words
    assert "do not beat raw pixels by five labels a class (70.0 % against 80.0 %)" in words
    assert pixels_in_words([]) == ""
