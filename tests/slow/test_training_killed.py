"""A training killed at twenty random moments ends as one that was left alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# Forks instead of starting anew, so that most of a life is training and not importing.
SCRIPT = """
import json, os, random, signal, sys, time
from pathlib import Path
import torch
import temperance.cli.train, temperance.methods.watching as watching
from temperance.cli import main
from temperance.methods import TrainingConfig
from temperance.methods.checkpoints import steps_kept
from temperance.runs.config import read_config
from temperance.search import TrainConfig

folder, moments = Path(sys.argv[1]), random.Random(0)
noted = os.open(folder / "step", os.O_RDWR | os.O_CREAT)

def live(out):
    child = os.fork()
    if child:
        return child
    look = watching.Record._look
    def note(self, trainer, module):
        os.pwrite(noted, b"%8d" % trainer.global_step, 0)
        look(self, trainer, module)
    watching.Record._look = note
    for stream in (1, 2):
        os.dup2(os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    main(["train", "digits", "--epochs", "6", "--batch-size", "128", "--method", "moco-v2",
          "--save-every", "1e-9", "--out", str(out)])

begun = time.monotonic()
assert os.waitpid(live(folder / "whole"), 0)[1] == 0
lasts = time.monotonic() - begun
steps = int(os.pread(noted, 8, 0))
kills, runs, lives, during = 0, 0, [], 0
while kills < 20 or lives:
    out = folder / f"killed{runs}"
    last = out / "checkpoints" / "last.ckpt"
    begun, before = time.monotonic(), lives[-1] if lives else 0
    os.pwrite(noted, b"%8d" % 0, 0)
    child = live(out)
    ended = 0
    if kills < 20 and before < steps:  # what is trained is measured in peace, and another begins
        ends = begun + moments.uniform(0.05, 0.5) * lasts
        while not ended and time.monotonic() < ends:
            ended, status = os.waitpid(child, os.WNOHANG)
            time.sleep(0.005)
        if not ended:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
    else:
        _, status = os.waitpid(child, 0)
        ended = child
    if ended:
        assert status == 0, (folder / "said").read_text()
        runs, lives = runs + 1, []
        continue
    kills += 1
    kept = 0
    if last.exists():
        settings = read_config(out / "config.yaml", TrainConfig)
        kept = steps_kept(last, settings.at(settings.temperature, settings.seed))
    reached = int(os.pread(noted, 8, 0))
    during += 0 < reached < steps
    assert kept >= max(before, reached - 1), (kept, before, reached)
    lives.append(kept)
print(json.dumps({"runs": runs, "during": during}))
"""


def test_a_training_killed_at_twenty_random_moments_ends_as_if_it_had_not_been(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["during"] >= 3  # moments of training, not only of beginning and measuring
    whole = tmp_path / "whole"
    for number in range(told["runs"]):
        run = tmp_path / f"killed{number}"
        assert (run / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
        ours, theirs = (json.loads((x / "results.json").read_text()) for x in (run, whole))
        for results in (ours, theirs):
            del results["runs"][0]["seconds"], results["runs"][0]["folder"]
        assert ours == theirs
        assert sorted(x.name for x in (run / "checkpoints").iterdir()) == ["last.ckpt"]
        assert "Traceback" not in (tmp_path / "said").read_text()
