"""Whole sweeps in worker processes: killed, gone on with, spread differently, without labels."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

import temperance
from temperance.runs.results import json_schema

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-c", "from temperance.cli import main; main()"]
SMALL = ["sweep", "digits", "--temperatures", "0.05,0.2,0.5,1", "--seeds", "2", "--epochs", "4"]


def sweep(out: Path, *more: str) -> dict[str, Any]:
    done = subprocess.run(
        [*COMMAND, *SMALL, "--out", str(out), "--json", *more],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def timeless(results: dict[str, Any]) -> dict[str, Any]:
    """Results without timings and without the number of workers."""
    kept = json.loads(json.dumps(results))
    for run in kept["runs"]:
        del run["seconds"]
    del kept["environment"]["workers"]
    return kept


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return sweep(tmp_path_factory.mktemp("whole") / "run", "--workers", "2")


def test_results_fit_the_schema_and_the_folder_is_whole(tmp_path: Path, uninterrupted) -> None:
    jsonschema.validate(uninterrupted, json_schema())
    assert len(uninterrupted["runs"]) == 8
    chosen = uninterrupted["recommendation"]
    assert chosen["metric"] == "features.linear_accuracy"
    assert chosen["command"].startswith("temperance train digits --temperature")
    assert set(chosen["by_metric"]) == {
        *(
            f"{s}.{m}_accuracy"
            for s in ("features", "projection")
            for m in ("knn", "linear", "few_shot")
        ),
        "geometry.neighbour_consistency",
    }


def test_the_number_of_workers_does_not_change_a_number(tmp_path: Path, uninterrupted) -> None:
    assert timeless(sweep(tmp_path / "run", "--workers", "1")) == timeless(uninterrupted)


@pytest.mark.parametrize("after", [4.0, 9.0, 13.0])
def test_a_killed_sweep_ends_as_if_it_had_not_been(
    tmp_path: Path, uninterrupted, after: float
) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        [*COMMAND, *SMALL, "--out", str(out), "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for_the_workers_of(process.pid)
    finished = {p: p.stat().st_mtime_ns for p in out.glob("members/*/member.json")}
    for path in finished:
        json.loads(path.read_text())
        temperance.load_encoder(path.parent)
    assert timeless(sweep(out, "--workers", "2")) == timeless(uninterrupted)
    assert {p: p.stat().st_mtime_ns for p in finished} == finished  # not trained again
    assert not list(out.rglob("*.partial"))


def wait_for_the_workers_of(group: int) -> None:
    """Workers notice that their parent is gone once they have started, which a busy machine delays."""
    for _ in range(600):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("workers outlive a killed sweep by more than a minute")


@pytest.mark.parametrize("after", [5.0, 8.0])  # while workers start, and while they work
def test_ctrl_c_says_that_nothing_is_lost(tmp_path: Path, after: float) -> None:
    process = subprocess.Popen(
        [*COMMAND, *SMALL, "--out", str(tmp_path / "run"), "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)
    _, printed = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on with it" in printed
    assert "Traceback" not in printed


def test_ctrl_c_ends_a_search_at_once_and_leaves_no_point_to_wait_for(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    out = tmp_path / "run"
    options = ["--budget", "2x", "--epochs", "4000", "--workers", "2"]
    process = subprocess.Popen(
        [*COMMAND, "sweep", "digits", *options, "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for _ in range(600):
        if len(workers_of(process.pid)) == 2:
            break
        time.sleep(0.1)
    time.sleep(8)  # both are at a training, which takes minutes
    os.killpg(process.pid, signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on with it" in printed
    assert "Traceback" not in printed
    url = f"sqlite:///{out / 'search.db'}"
    (name,) = optuna.get_all_study_names(url)
    states = {t.state.name for t in optuna.load_study(study_name=name, storage=url).get_trials()}
    assert states == {"FAIL", "WAITING"}  # none counts as being worked on


def test_an_interrupted_training_goes_on_where_it_was(tmp_path: Path) -> None:
    command = [*COMMAND, "train", "digits", "--temperature", "0.2", "--epochs", "200"]
    command += ["--out", str(tmp_path / "run")]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    for _ in range(300):
        if checkpoint.exists():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on with it" in printed
    assert "Traceback" not in printed
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    first = next(line for line in process.stderr if line.startswith("epoch "))
    process.kill()
    process.communicate()
    assert not first.startswith("epoch 1 ")


@pytest.mark.parametrize("after", [0.0, 1.0, 4.0])  # while it starts, and while it works
def test_a_worker_ended_from_outside_is_one_clear_line(tmp_path: Path, after: float) -> None:
    process = subprocess.Popen(
        [*COMMAND, *SMALL, "--out", str(tmp_path / "run"), "--workers", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    children: list[str] = []
    for _ in range(300):
        children = workers_of(process.pid)
        if children:
            break
        time.sleep(0.1)
    time.sleep(after)
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    try:
        _, printed = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 2
    assert "a worker process was ended from outside" in printed


def workers_of(process: int) -> list[str]:
    return subprocess.run(
        ["pgrep", "-P", str(process), "-f", "spawn_main"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()


@pytest.fixture(scope="module")
def colour_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of coloured shapes, 48 × 40."""
    folder = tmp_path_factory.mktemp("colour") / "shapes"
    random = np.random.default_rng(0)
    for label, hue in enumerate(([200, 40, 40], [40, 200, 40], [40, 40, 200])):
        (folder / f"class {label}").mkdir(parents=True)
        for i in range(60):
            pixels = np.clip(np.array(hue) + random.normal(0, 40, (40, 48, 3)), 0, 255)
            top, left = random.integers(0, 20, 2)
            pixels[top : top + 15, left : left + 15] = random.integers(0, 256, 3)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"class {label}" / f"{i}.png")
    return folder


def folder_sweep(folder: Path, out: Path) -> dict[str, Any]:
    arguments = [
        "sweep",
        str(folder),
        "--temperatures",
        "0.1,0.3,1",
        "--seeds",
        "2",
        "--epochs",
        "3",
    ]
    done = subprocess.run(
        [*COMMAND, *arguments, "--out", str(out), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    jsonschema.validate(results, json_schema())
    assert (out / "report.html").exists()
    return results


def test_a_folder_of_colour_pictures(colour_folder: Path, tmp_path: Path) -> None:
    results = folder_sweep(colour_folder, tmp_path / "run")
    assert results["data"]["channels"] == 3
    assert results["data"]["classes"] == ["class 0", "class 1", "class 2"]
    assert results["runs"][0]["test"]["features"]["knn_accuracy"] > 0.5
    assert f"'{colour_folder}'" in results["recommendation"]["command"] or " " not in str(
        colour_folder
    )


def test_a_folder_without_labels_says_what_it_cannot_know(
    colour_folder: Path, tmp_path: Path
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in colour_folder.glob("*/*.png"):
        (flat / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    results = folder_sweep(flat, tmp_path / "run")
    chosen = results["recommendation"]
    assert chosen["metric"] == "geometry.neighbour_consistency"
    assert "cannot know" in chosen["reason"]
    assert "chose as well as the constant τ = 0.2" in chosen["reason"]
    run = results["runs"][0]
    assert run["test"]["features"]["linear_accuracy"] is None
    assert run["geometry"]["tolerance"] is None
    assert run["geometry"]["uniformity"] < 0


def test_a_dry_run_says_what_it_would_take_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, *SMALL, "--dry-run"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "8 runs (4 temperatures × 2 seeds, 4 epochs each)" in done.stdout
    assert "MB" in done.stdout
    assert list(tmp_path.iterdir()) == []
