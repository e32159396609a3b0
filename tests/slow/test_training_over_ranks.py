"""Two processes that share each batch train the extractor that one would."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

SCRIPT = """
import json, sys, torch
from pathlib import Path
import temperance.methods.watching as watching
from temperance.data import load_images
from temperance.methods import METHODS, Devices, TrainingConfig, is_first_process, train

out, method, processes, exchange, batch, epochs = sys.argv[1:]
watching.LOOK_EVERY = 0
digits, losses, held = load_images("digits"), [], {}
for name, kind in list(METHODS.items()):
    class Kept(kind):
        def on_train_end(self):
            held.update(rank=self.global_rank, queue=getattr(self, "queue", None),
                        bank=getattr(self, "bank", None))
    METHODS[name] = Kept
config = TrainingConfig(
    method=method, epochs=int(epochs), batch_size=int(batch), norm="group", precision="64-true",
    queue=200, noise=32,
)
training = train(
    digits.images[:320], config, labels=digits.labels[:320],
    devices=Devices("cpu", int(processes), exchange=exchange), on_look=lambda look: losses.append(look.loss),
)
kept = held["queue"] or held["bank"]
state = {name: x.tolist() for name, x in kept.state_dict().items()} if kept else {}
name = f"{out}-{held['rank']}.json"
Path(name).write_text(json.dumps({"losses": losses, "means": training.losses, "state": state}))
"""


def trained(
    folder: Path, method: str, processes: int, exchange: str, batch: int, epochs: int
) -> list:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    out = folder / f"{method}-{processes}-{exchange}"
    asked = [method, str(processes), exchange, str(batch), str(epochs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, script, out, *asked],
        check=True,
        timeout=400,
        env=environment,
        stderr=subprocess.PIPE,
    )
    return [json.loads(Path(f"{out}-{rank}.json").read_text()) for rank in range(processes)]


@pytest.mark.parametrize("exchange", ["gather", "ring"])
def test_simclr_has_the_losses_of_one_process_over_50_steps(exchange: str, tmp_path: Path) -> None:
    ((one,), two) = (trained(tmp_path, "simclr", n, exchange, 64, 10) for n in (1, 2))
    assert len(one["losses"]) == 50
    for rank in two:
        assert rank["losses"] == pytest.approx(one["losses"], rel=0, abs=1e-8)


@pytest.mark.parametrize("method", ["moco-v2", "instdisc-softmax"])
def test_queue_and_bank_are_the_same_on_both_ranks_and_those_of_one_process(
    method: str, tmp_path: Path
) -> None:
    ((one,), (first, second)) = (trained(tmp_path, method, n, "gather", 32, 10) for n in (1, 2))
    assert len(one["losses"]) == 100
    assert first["state"] == second["state"]
    for name, held in one["state"].items():
        ours, theirs = torch.tensor(held), torch.tensor(first["state"][name])
        assert torch.allclose(ours.double(), theirs.double(), rtol=0, atol=1e-6), name
    assert first["losses"] == pytest.approx(one["losses"], rel=0, abs=1e-6)


def processes_of(command: str) -> list[int]:
    found = subprocess.run(["pgrep", "-f", command], capture_output=True, text=True, check=False)
    return [int(number) for number in found.stdout.split()]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A run by two processes that has kept a state: the first, and the number of the other."""
    command = [sys.executable, "-m", "temperance", "train", "digits", "--devices", "2"]
    command += ["--epochs", "2000", "--save-every", "0.01", "--batch-size", "64"]
    command += ["--out", str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    try:
        for _ in range(1200):
            if last.exists():
                break
            time.sleep(0.2)
        assert last.exists(), "no checkpoint within four minutes"
        (other,) = [pid for pid in processes_of(str(tmp_path / "run")) if pid != run.pid]
        yield run, other
        for _ in range(200):
            if not processes_of(str(tmp_path / "run")):
                break
            time.sleep(0.1)
        assert not processes_of(str(tmp_path / "run")), "a process has outlived the run"
        torch.load(last, weights_only=True)
    finally:
        for pid in processes_of(str(tmp_path / "run")):
            os.kill(pid, signal.SIGKILL)


def complaints(told: str) -> list[str]:
    return [line for line in told.splitlines() if not line.startswith("epoch ")]


@pytest.mark.parametrize("killed", ["first", "other"])
def test_a_killed_rank_ends_the_run_with_one_line_and_the_run_can_be_gone_on_with(
    killed: str, running: tuple[subprocess.Popen[str], int]
) -> None:
    run, other = running
    os.kill(run.pid if killed == "first" else other, signal.SIGKILL)
    _, told = run.communicate(timeout=120)  # until both have let go of the error stream
    assert run.returncode == (-signal.SIGKILL if killed == "first" else 2)
    (line,) = complaints(told)
    assert line.startswith("temperance: another process of this run has ended")
    assert "the same command goes on with it" in line


@pytest.mark.parametrize("asked", ["first", "both"])
def test_a_run_that_is_told_to_end_says_so_once(
    asked: str, running: tuple[subprocess.Popen[str], int]
) -> None:
    run, other = running
    for pid in (run.pid, other)[: 1 if asked == "first" else 2]:
        os.kill(pid, signal.SIGTERM)
    _, told = run.communicate(timeout=120)
    assert run.returncode == 143
    assert complaints(told) == [
        "temperance: told to end; what was finished is kept: the same command goes on with it"
    ]
