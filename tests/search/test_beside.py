"""Sweeps beside a sweep: of other lengths, of the hardest negatives, and the grid of a search."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from temperance.data import ImageSet, Splits, split
from temperance.errors import InputError
from temperance.runs.results import Results, read_results, write_results
from temperance.search import (
    Executor,
    SearchConfig,
    SweepConfig,
    by_budget,
    grid_in_words,
    in_epochs,
    known_grid,
    sweep,
    with_hardest,
)
from temperance.search.grid import against_grid
from temperance.search.member import measure_baselines, run_member


class Inline:
    """Workers that are this process, and remember what they were asked for."""

    epochs_finished = 0

    def __init__(self, images: ImageSet, parts: Splits, asked: list) -> None:
        self.data, self.asked = (images, parts), asked

    def member(self, config, folder):
        self.asked.append((config.epochs, config.temperature))
        return finished(run_member(*self.data, config, folder))

    def baselines(self, recipe, seeds):
        return finished(measure_baselines(*self.data, recipe, seeds))


def finished(result) -> Future:
    future: Future = Future()
    future.set_result(result)
    return future


class Silent:
    def begin(self, *_) -> None: ...
    def epochs(self, *_) -> None: ...
    def run(self, *_) -> None: ...


@pytest.fixture
def made(tmp_path: Path):
    """A function that makes the sweep in a folder, and the trainings that it asked for."""
    random = np.random.default_rng(0)
    labels = np.arange(100) % 2
    pixels = random.integers(0, 150, (100, 1, 8, 8)) + 100 * labels[:, None, None, None]
    images = ImageSet(
        name="blobs", images=pixels.astype(np.uint8), labels=labels, classes=("a", "b")
    )
    asked: list[tuple[int, float]] = []

    @contextmanager
    def begin(count: int, images: ImageSet, parts: Splits) -> Iterator[Inline]:
        yield Inline(images, parts, asked)

    def make(
        epochs: int,
        budgets: tuple[int, ...] = (),
        folder: str = "run",
        *,
        rules: tuple[str, ...] = (),
        losses: bool = False,
    ) -> Results:
        config = SweepConfig(
            data="blobs",
            fingerprint=images.fingerprint,
            temperatures=(0.1, 1.0),
            rules=rules,
            losses=losses,
            seeds=1,
            epochs=epochs,
            batch_size=32,
        )
        here = Executor("local", 1, begin)
        where = tmp_path / folder
        return sweep(config, images, split(images), where, here, Silent(), budgets)

    make.asked = asked
    return make


def timeless(results: Results) -> dict:
    kept = results.model_dump()
    for run in kept["runs"]:
        del run["seconds"]
    return kept


def test_each_length_is_a_sweep_of_its_own_and_is_made_once(made, tmp_path: Path) -> None:
    results = made(3, (1, 2))
    assert made.asked == [(n, t) for n in (1, 2, 3) for t in (0.1, 1.0)]
    assert results.budgets == [1, 2]
    assert read_results(tmp_path / "run") == results
    found = by_budget(tmp_path / "run", results)
    assert list(found) == [1, 2, 3]
    for epochs, found_there in found.items():
        assert [run.epochs for run in found_there.runs] == [epochs] * 2
        assert in_epochs(epochs) in found_there.recommendation.reason
    assert timeless(found[2]) == timeless(made(2, folder="alone"))

    made.asked.clear()
    assert made(3, (1, 2)) == results
    assert made.asked == []


def test_lengths_may_be_added_to_a_finished_sweep(made, tmp_path: Path) -> None:
    alone = made(2)
    assert by_budget(tmp_path / "run", alone) == {2: alone}
    made.asked.clear()
    results = made(2, (1,))
    assert {epochs for epochs, _ in made.asked} == {1}
    assert results == alone.model_copy(update={"budgets": [1]})


def test_one_stopped_before_its_own_length_goes_on(made, tmp_path: Path, monkeypatch) -> None:
    def stopped(self, config, folder):
        if config.epochs == 2:
            folder.mkdir()
            for place in (folder, tmp_path / "run"):  # as one killed while it wrote leaves them
                (place / ".figures.4194999.partial").write_text("half of a ta")
            raise KeyboardInterrupt
        return member(self, config, folder)

    member = Inline.member
    monkeypatch.setattr(Inline, "member", stopped)
    with pytest.raises(KeyboardInterrupt):
        made(2, (1,))
    monkeypatch.setattr(Inline, "member", member)
    made.asked.clear()
    assert made(2, (1,)).budgets == [1]
    assert {epochs for epochs, _ in made.asked} == {2}
    assert not list(tmp_path.rglob("*.partial"))


def test_the_hardest_negatives_are_a_sweep_of_their_own_and_made_once(made, tmp_path: Path) -> None:
    results = made(2, rules=("learnable",), losses=True)
    hard = with_hardest(tmp_path / "run", results)
    assert (results.config["losses"], hard.config["losses"]) == (True, False)
    assert list(hard.by_rule()) == ["simple"]
    assert list(results.by_rule()) == ["learnable", "simple"]
    again = SweepConfig.model_validate(results.config)  # as --config reads it
    assert again.rules == ("learnable", "simple")
    assert hard.runs[0].losses != results.runs[0].losses
    assert "--set hardest=0.08" in hard.recommendation.command
    made.asked.clear()
    assert made(2, rules=("learnable",), losses=True) == results
    assert made.asked == []
    assert with_hardest(tmp_path / "run", made(2, folder="without")) is None


def test_a_length_that_is_gone_is_named(made, tmp_path: Path) -> None:
    results = made(2, (1,))
    (tmp_path / "run" / "budgets" / "1" / "results.json").unlink()
    with pytest.raises(InputError, match=r"budgets/1/results\.json"):
        by_budget(tmp_path / "run", results)


def beside(results: Results, **changed: object) -> SearchConfig:
    recipe = {
        name: results.config[name] for name in ("data", "fingerprint", "epochs", "batch_size")
    }
    return SearchConfig(**{**recipe, "budget": 2, "lowest": 0.1, "highest": 1.0, **changed})


def test_a_search_is_held_against_the_grid_on_test_images(made, tmp_path: Path) -> None:
    results = made(2)
    grid = known_grid(tmp_path / "run", beside(results))
    shifted = [
        run.model_copy(
            update={
                "test": run.test.model_copy(
                    update={
                        "features": run.test.features.model_copy(update={"linear_accuracy": value})
                    }
                )
            }
        )
        for run, value in zip(results.runs, (0.6, 0.9), strict=True)
    ]
    assert grid == results
    metric = "features.linear_accuracy"
    found = against_grid(
        grid.model_copy(update={"runs": shifted}), tmp_path / "run", metric, 10**-0.75
    )
    assert (found.temperature, found.best, found.trainings) == (1.0, 0.9, 2)
    assert found.chosen == pytest.approx(0.675)  # a quarter of the way over log τ
    assert "22.5 points less" in grid_in_words(10**-0.75, found)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"fingerprint": "other"}, "is of other images"),
        ({"epochs": 3}, "was trained with epochs = 2, this search with 3"),
        ({"hardest": 0.5}, "was trained with hardest = None, this search with 0.5"),
        ({"lowest": 0.05}, "reaches from τ = 0.1 to 1, this search from 0.05 to 1"),
    ],
)
def test_a_grid_of_something_else_is_refused(made, tmp_path: Path, changed, words: str) -> None:
    results = made(2)
    with pytest.raises(InputError, match=words):
        known_grid(tmp_path / "run", beside(results, **changed))


def test_a_folder_without_a_full_sweep_is_no_grid(made, tmp_path: Path) -> None:
    results = made(2)
    config = beside(results)
    with pytest.raises(InputError, match=r"nowhere/results\.json"):
        known_grid(tmp_path / "nowhere", config)
    searched = results.model_copy(update={"config": config.model_dump(mode="json")})
    write_results(tmp_path / "run", searched)
    with pytest.raises(InputError, match="holds no full sweep"):
        known_grid(tmp_path / "run", config)
