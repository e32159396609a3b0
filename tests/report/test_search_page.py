"""The report of a search within a budget says what was tried, let go, and paid."""

import re

import pytest

from temperance.data import load_images, split
from temperance.geometry import Geometry
from temperance.report.search import search_page
from temperance.runs.results import (
    Accuracies,
    Baseline,
    Baselines,
    Choice,
    Recommendation,
    Results,
    Run,
    Search,
    Spaces,
    Trial,
)
from temperance.search import SearchConfig
from temperance.search.sweep import about, environment

HOSTILE = "<img src=x onerror=alert(1)>"


def spaces(level: float) -> Spaces:
    each = Accuracies(
        knn_accuracy=level, linear_accuracy=level + 0.01, few_shot_accuracy=level - 0.3
    )
    return Spaces(features=each, projection=each)


@pytest.fixture(scope="module")
def html() -> str:
    images = load_images("digits")
    config = SearchConfig(data=HOSTILE, fingerprint="0", budget=2, epochs=16)
    trials = [
        Trial(temperature=t, epochs=epochs, value=value, seconds=epochs)
        for epochs, t, value in (
            (2, 0.1, 0.70),
            (2, 0.2, 0.80),
            (2, 0.3, 0.60),
            (4, 0.1, 0.85),
            (4, 0.2, 0.82),
            (16, 0.1, 0.95),
        )
    ]
    metric = "features.linear_accuracy"
    choice = {
        "temperature": 0.1,
        "interval": None,
        "metric": metric,
        "shape": "edge-low",
        "reason": f"{HOSTILE} led.",
        "best_per_seed": {"0": 0.1},
        "ties": [],
        "curve": None,
    }
    measured = Baseline(validation=spaces(0.6), test=spaces(0.61))
    run = Run(
        temperature=0.1,
        seed=0,
        epochs=16,
        seconds=9,
        folder="t0.1-s0",
        losses=[1.0] * 16,
        validation=spaces(0.94),
        test=spaces(0.93),
        geometry=Geometry(0.1, -2.0, 0.5, 9.0, 0.2, 0.9, 0.5, 0.4, 0.6, 8.0, 0.7),
    )
    results = Results(
        command="sweep",
        config=config.model_dump(mode="json"),
        environment=environment(),
        data=about(images, split(images)).model_copy(update={"name": HOSTILE}),
        baselines=Baselines(raw_pixels=measured, untrained=measured),
        runs=[run],
        recommendation=Recommendation(
            **choice, command="temperance train", by_metric={metric: Choice(**choice)}
        ),
        search=Search(budget=2, spent=1.875, seconds=30, trials=trials),
    )
    return search_page(results, "search").split('<div data-tab="explorer">')[0]


def test_what_was_spent_and_what_was_let_go_stand_in_a_table(html: str) -> None:
    assert "1.88 of 2 trainings of 16 epochs, 30 s" in html
    assert "3 temperatures were tried, 2 of them never in full" in html
    rows = {
        name: re.findall(r"<td>(.*?)</td>", cells)
        for name, cells in re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', html)
    }
    assert rows["2 epochs"] == ["3", "0.38", "6"]
    assert rows["4 epochs"] == ["2", "0.50", "8"]
    assert rows["16 epochs"] == ["1", "1.00", "16"]
    assert rows["0.1"] == ["70.0", "85.0", "95.0"]
    assert rows["0.3"] == ["60.0", "–", "–"]


def test_the_figure_has_a_line_for_each_length(html: str) -> None:
    (numbers,) = re.findall(r"<metadata>(.*?)</metadata>", html, re.DOTALL)
    assert {line.split(",")[-6] for line in numbers.splitlines()[1:]} == {
        "2 epochs",
        "4 epochs",
        "16 epochs",
        "chosen τ = 0.1",
    }
    assert "1 seed" in html


def test_names_from_outside_are_text(html: str) -> None:
    assert HOSTILE not in html
    assert "&lt;img src=x" in html


def test_the_extractor_stands_beside_what_needs_no_training(html: str) -> None:
    for name, linear in (("τ = 0.1", "94.0"), ("raw pixels", "62.0"), ("untrained", "62.0")):
        assert re.search(rf'<th scope="row">{name}</th><td>{linear}</td>', html)
