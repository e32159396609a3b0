"""Recommendations on curves whose answer is known."""

import numpy as np
import pytest

from temperance.search import choose
from temperance.search.recommend import settle

TAUS = np.geomspace(0.03, 1.0, 8)
METRIC = "features.linear_accuracy"


def measured(level, *, seeds: int = 3, images: int = 1500, noise: float = 0.003, seed: int = 0):
    """Right or wrong for each image, with the same hard images everywhere and noise of training."""
    random = np.random.default_rng(seed)
    difficulty = random.random((1, 1, images))
    accuracy = np.asarray(level)[:, None, None] + noise * random.normal(size=(len(level), seeds, 1))
    return (difficulty < accuracy).astype(np.float32)


def peak(best: float, height: float = 0.08):
    return 0.9 - height * np.log10(TAUS / best) ** 2


@pytest.mark.parametrize("best", [0.08, 0.15, 0.3])
def test_a_peak_is_found_within_its_interval(best: float) -> None:
    inside = 0
    for seed in range(10):
        choice = choose(METRIC, TAUS, measured(peak(best), seed=seed), "10 epochs")
        assert choice.shape == "peak"
        assert choice.interval[0] <= choice.temperature <= choice.interval[1]
        inside += choice.interval[0] <= best <= choice.interval[1]
    assert inside >= 7
    assert "longer training moves" in choice.reason


@pytest.mark.parametrize(
    ("slope", "shape", "side"), [(0.05, "edge-high", "upper"), (-0.05, "edge-low", "lower")]
)
def test_a_rising_or_falling_curve_says_widen_it(slope: float, shape: str, side: str) -> None:
    choice = choose(METRIC, TAUS, measured(0.8 + slope * np.log10(TAUS)), "10 epochs")
    assert choice.shape == shape
    assert choice.temperature == pytest.approx(TAUS[-1 if slope > 0 else 0], rel=0.01)
    assert f"at the {side} edge of the range" in choice.reason
    assert "widen it" in choice.reason


def test_noise_alone_is_called_flat() -> None:
    shapes = [
        choose(METRIC, TAUS, measured(np.full(8, 0.9), noise=0.006, seed=seed), "10 epochs").shape
        for seed in range(20)
    ]
    assert shapes.count("flat") >= 17
    flat = choose(METRIC, TAUS, measured(np.full(8, 0.9)), "10 epochs")
    assert flat.interval == (0.03, 1.0)
    assert "The curve is flat" in flat.reason


def test_more_noise_means_a_wider_interval() -> None:
    def width(noise: float) -> float:
        low, high = choose(METRIC, TAUS, measured(peak(0.15), noise=noise), "10 epochs").interval
        return high / low

    assert width(0.01) > width(0.001)


def test_ties_are_named() -> None:
    level = np.array([0.80, 0.84, 0.90, 0.90, 0.90, 0.84, 0.82, 0.80])
    choice = choose(METRIC, TAUS, measured(level), "10 epochs")
    assert set(choice.ties) & set(TAUS[2:5])
    assert not set(choice.ties) & {TAUS[0], TAUS[-1]}


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_few_temperatures_are_enough(count: int) -> None:
    taus = TAUS[:count]
    choice = choose(METRIC, taus, measured(peak(0.03, 0.2)[:count]), "10 epochs")
    assert choice.temperature == pytest.approx(0.03, rel=0.15)
    assert len(choice.curve.temperature) == len(choice.curve.value)


def test_one_temperature_recommends_nothing_else() -> None:
    choice = choose(METRIC, TAUS[:1], measured([0.9]), "10 epochs")
    assert (choice.temperature, choice.interval) == (0.03, None)
    assert "Only τ = 0.03 was tried" in choice.reason


def test_one_seed_is_said_to_be_one() -> None:
    choice = choose(METRIC, TAUS, measured(peak(0.15), seeds=1), "10 epochs")
    assert "One seed" in choice.reason
    assert list(choice.best_per_seed) == ["0"]


def test_the_same_measurements_give_the_same_recommendation() -> None:
    values = measured(peak(0.15))
    assert choose(METRIC, TAUS, values, "x") == choose(METRIC, TAUS, values, "x")


def test_a_flat_metric_leaves_the_choice_to_another_use() -> None:
    flat = choose(METRIC, TAUS, measured(np.full(8, 0.9)), "10 epochs")
    sharp = choose("projection.knn_accuracy", TAUS, measured(peak(0.15)), "10 epochs")
    settled = settle(flat, [flat, sharp])
    assert settled.temperature == sharp.temperature
    assert (settled.shape, settled.metric) == ("flat", METRIC)
    assert "so that is taken" in settled.reason
    assert settle(sharp, [flat]) == sharp
    assert settle(flat, [flat]) == flat
