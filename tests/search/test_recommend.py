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


def test_a_real_peak_is_not_called_flat() -> None:
    shapes = [
        choose(
            METRIC, TAUS, measured(peak(0.15, 0.05), images=800, noise=0.005, seed=seed), "x"
        ).shape
        for seed in range(20)
    ]
    assert shapes.count("flat") <= 6


def test_flat_is_said_of_noise_about_as_often_as_promised() -> None:
    level = np.full(8, 0.9)
    shapes = [
        choose(METRIC, TAUS, measured(level, images=400, noise=0.01, seed=seed), "x").shape
        for seed in range(60)
    ]
    assert 60 - shapes.count("flat") <= 9  # 3 expected


def test_with_few_temperatures_the_interval_reaches_to_the_neighbours() -> None:
    taus = np.array([0.05, 0.2, 1.0])
    inside = 0
    for seed in range(20):
        level = 0.9 - 0.2 * np.log10(taus / 0.14) ** 2
        choice = choose(METRIC, taus, measured(level, seed=seed), "x")
        assert choice.temperature in taus
        inside += choice.interval[0] <= 0.14 <= choice.interval[1]
    assert inside >= 18


def test_temperatures_close_together_are_fitted_too() -> None:
    taus = np.array([0.1, 0.1001, 0.1002, 0.1003, 0.1004, 0.9])
    choice = choose(METRIC, taus, measured(np.full(6, 0.9)), "x")
    assert 0.1 <= choice.temperature <= 0.9


def test_a_constant_curve_has_its_best_in_the_middle() -> None:
    choice = choose(METRIC, TAUS, np.full((8, 3, 50), 0.5), "x")
    assert choice.shape == "flat"
    assert 0.1 < choice.temperature < 0.3


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
