"""A budget is kept to, and no point of a search is run twice."""

import math
import multiprocessing
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from temperance import InputError
from temperance.search import SearchConfig, plan
from temperance.search.budget import _measured, _study, ranked, spread

CONFIG = SearchConfig(data="digits", fingerprint="0", budget=2, epochs=16, lowest=0.05, highest=1)
POINTS = [(t, 4) for t in spread(0.05, 1.0, 6)]
pytestmark = pytest.mark.filterwarnings("ignore:.*experimental")


@pytest.mark.parametrize("epochs", [8, 12, 22, 32, 50, 200])
@pytest.mark.parametrize("budget", [1.5, 2, 3, 6])
def test_a_plan_keeps_to_its_budget_and_compares_temperatures(epochs: int, budget: float) -> None:
    rungs = plan(epochs, budget)
    assert sum(rung.count * rung.epochs for rung in rungs) + epochs <= budget * epochs
    assert all(rung.count >= 2 for rung in rungs)
    counts = [rung.count for rung in rungs]
    assert counts == sorted(counts, reverse=True)


def test_too_short_a_training_is_refused() -> None:
    with pytest.raises(InputError, match="more --epochs or a larger --budget"):
        plan(epochs=4, budget=1.5)


def test_a_database_that_cannot_be_opened_is_one_line() -> None:
    with pytest.raises(InputError, match="cannot be opened") as error:
        _study(CONFIG, "sqlite:////no/such/folder/search.db")
    assert "\n" not in str(error.value)


def test_what_failed_is_run_again_and_what_is_finished_is_not(tmp_path: Path) -> None:
    study = _study(CONFIG, f"sqlite:///{tmp_path / 'search.db'}")
    seen: list[tuple[float, int]] = []

    def run(point: tuple[float, int]) -> tuple[float, float]:
        if len(seen) == 3:
            seen.append((0.0, 0))
            raise RuntimeError("stopped")
        seen.append(point)
        return 1 - point[0], 0.0

    with pytest.raises(RuntimeError, match="stopped"):
        _measured(CONFIG, study, POINTS, run, jobs=1)
    again = _study(CONFIG, f"sqlite:///{tmp_path / 'search.db'}")
    values = _measured(CONFIG, again, POINTS, run, jobs=1)
    assert values == {point: 1 - point[0] for point in POINTS}
    assert Counter(seen) == Counter([*POINTS, (0.0, 0)])


def _share(url: str, log: Path, gate: threading.Event) -> None:
    def run(point: tuple[float, int]) -> tuple[float, float]:
        with log.open("a") as file:
            file.write(f"{point[0]}\n")
        time.sleep(0.1)
        return point[0], 0.0

    study = _study(CONFIG, url)
    gate.wait()
    assert len(_measured(CONFIG, study, POINTS, run, jobs=2)) == len(POINTS)


def test_processes_on_one_study_share_its_points(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    url, log, gate = f"sqlite:///{tmp_path / 'search.db'}", tmp_path / "log", context.Event()
    _study(CONFIG, url)
    processes = [context.Process(target=_share, args=(url, log, gate)) for _ in range(3)]
    for process in processes:
        process.start()
    gate.set()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert Counter(map(float, log.read_text().split())) == Counter([t for t, _ in POINTS])


def test_a_far_temperature_must_be_better_by_more() -> None:
    far = 0.2 * math.e
    assert ranked({far: 0.919, 0.2: 0.9}) == [0.2, far]
    assert ranked({far: 0.921, 0.2: 0.9}) == [far, 0.2]
    assert ranked({0.2 / math.e**2: 0.979, 0.2: 0.9})[0] == 0.2
