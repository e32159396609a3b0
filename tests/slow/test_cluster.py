"""Sweeps on a real Ray cluster of two nodes: as on this machine, whatever is lost on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-c", "from temperance.cli import main; main()", "sweep", "digits"]
SMALL = ["--temperatures", "0.05,0.2,1", "--seeds", "2", "--epochs", "4"]
LONG = ["--temperatures", "0.05,0.2", "--seeds", "2", "--epochs", "12"]
# Ray's workers give way to whatever else runs here unless told otherwise.
EAGER = os.environ | {"RAY_worker_niceness": "0"}
# Two nodes of one CPU each, as if they were two machines; it stands until its input ends.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
print("address", cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


class Running(NamedTuple):
    """The environment of whoever works on the cluster, and the session of its processes."""

    env: dict[str, str]
    session: int

    def tasks(self) -> list[int]:
        """The processes that train members; Ray names them so."""
        command = ["pgrep", "-s", str(self.session), "-f", "^ray::_member"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return [int(number) for number in done.stdout.split()]


@pytest.fixture(scope="module")
def on_ray() -> Iterator[Running]:
    pytest.importorskip("ray")
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=EAGER,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        address = next(line.split()[1] for line in process.stdout if line.startswith("address"))
        yield Running(os.environ | {"RAY_ADDRESS": address}, process.pid)
        process.stdin.close()


def sweep(out: Path, *options: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    command = [*COMMAND, *options, "--out", str(out), "--json"]
    command += ["--executor", "ray"] if env else []
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def timeless(results: dict[str, Any]) -> dict[str, Any]:
    """Results without timings and without where they were made."""
    kept = json.loads(json.dumps(results))
    for run in kept["runs"]:
        del run["seconds"]
    for trial in (kept["search"] or {"trials": []})["trials"]:
        del trial["seconds"]
    if kept["search"]:
        del kept["search"]["seconds"]
    del kept["environment"]
    return kept


def weights(out: Path) -> dict[str, bytes]:
    return {p.parent.name: p.read_bytes() for p in out.glob("members/*/encoder.safetensors")}


def test_a_sweep_on_ray_is_the_same_to_the_last_bit(tmp_path: Path, on_ray) -> None:
    here = sweep(tmp_path / "here", *SMALL)
    there = sweep(tmp_path / "there", *SMALL, env=on_ray.env)
    assert timeless(there) == timeless(here)
    assert there["environment"]["executor"] == "ray"
    assert there["environment"]["workers"] == 2
    assert len(weights(tmp_path / "here")) == 6
    assert weights(tmp_path / "there") == weights(tmp_path / "here")
    assert (tmp_path / "there" / "report.html").exists()


def test_so_is_a_search_within_a_budget(tmp_path: Path, on_ray) -> None:
    options = ("--budget", "2x", "--epochs", "8")
    here = sweep(tmp_path / "here", *options)
    there = sweep(tmp_path / "there", *options, env=on_ray.env)
    assert timeless(there) == timeless(here)
    assert weights(tmp_path / "there") == weights(tmp_path / "here")


def test_runs_of_killed_workers_are_begun_again_and_no_other(tmp_path: Path, on_ray) -> None:
    here, out = sweep(tmp_path / "here", *LONG), tmp_path / "there"
    with begun(out, on_ray.env) as process:
        first = wait_for(lambda: list(out.glob("members/*/member.json")))
        written = {path: path.stat().st_mtime_ns for path in first}
        for worker in wait_for(on_ray.tasks):
            os.kill(worker, signal.SIGKILL)
        printed, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    assert timeless(json.loads(printed)) == timeless(here)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert not list(out.rglob("*.partial"))


def test_ctrl_c_ends_the_tasks_and_says_that_nothing_is_lost(tmp_path: Path, on_ray) -> None:
    with begun(tmp_path / "run", on_ray.env) as process:
        wait_for(on_ray.tasks)
        os.killpg(process.pid, signal.SIGINT)
        _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on with it" in printed
    assert "Traceback" not in printed
    wait_for(lambda: not on_ray.tasks())


@contextmanager
def begun(
    out: Path, env: dict[str, str], options: list[str] = LONG
) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [*COMMAND, *options, "--executor", "ray", "--json", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(found: Any) -> Any:
    for _ in range(1200):
        if answer := found():
            return answer
        time.sleep(0.1)
    raise TimeoutError


def test_without_a_cluster_one_is_started_and_ended(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    options = ["--temperatures", "0.2", "--seeds", "1", "--epochs", "1", "--workers", "1"]
    env = EAGER | {"RAY_ADDRESS": "local"}
    with begun(tmp_path / "run", env, options) as process:
        printed, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    assert json.loads(printed)["environment"]["workers"] == 1
    left = subprocess.run(["pgrep", "-s", str(process.pid)], capture_output=True, check=False)
    assert left.stdout == b""


def test_a_cluster_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    done = subprocess.run(
        [*COMMAND, *SMALL, "--executor", "ray", "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"RAY_ADDRESS": "127.0.0.1:1"},
    )
    assert done.returncode == 2
    assert "no Ray cluster can be reached" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_two_sweeps_on_one_study_never_run_one_point_twice(tmp_path: Path, on_ray) -> None:
    optuna = pytest.importorskip("optuna")
    url = f"sqlite:///{tmp_path / 'study.db'}"
    command = [*COMMAND, "--budget", "3x", "--epochs", "16", "--storage", url]
    ends = {"here": ["--executor", "local", "--workers", "1"], "there": ["--executor", "ray"]}
    both = [
        subprocess.Popen(
            [*command, *options, "--out", str(tmp_path / name)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=on_ray.env,
        )
        for name, options in ends.items()
    ]
    said = [process.communicate(timeout=240)[1] for process in both]
    # One of them trains the last in full; the other says where that is.
    assert sorted(process.returncode for process in both) == [0, 2], said
    (name,) = optuna.get_all_study_names(url)
    trials = optuna.load_study(study_name=name, storage=url).get_trials()
    finished = [t for t in trials if t.state.name == "COMPLETE"]
    counts = Counter(tuple(trial.user_attrs["point"]) for trial in finished)
    assert set(counts.values()) == {1}
    measured = [line for text in said for line in text.splitlines() if line.startswith("τ = ")]
    assert len(measured) == len(counts)  # every training that was begun counts
