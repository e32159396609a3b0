"""``train --temperature auto``: a search and its winner in one run folder."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import temperance
from temperance.runs.results import json_schema

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-c", "from temperance.cli import main; main()"]


def train(out: Path, *more: str) -> dict[str, Any]:
    command = [*COMMAND, "train", "digits", "--epochs", "8", "--out", str(out), "--json", *more]
    # A search trains in one thread, and how many there are decides the last digits.
    one = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=one)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    jsonschema.validate(results, json_schema())
    return results


def test_the_winner_of_the_search_is_the_extractor_and_is_trained_once(tmp_path: Path) -> None:
    out = tmp_path / "run"
    results = train(out, "--temperature", "auto", "--budget", "2x", "--seed", "1")
    (run,), search = results["runs"], results["search"]
    assert results["config"]["temperature"] == "auto"
    assert run["seed"] == 1
    assert run["folder"] == "run"
    assert run["temperature"] == results["recommendation"]["temperature"]
    assert search["spent"] <= 2
    whole = [trial for trial in search["trials"] if trial["epochs"] == 8]
    assert [trial["temperature"] for trial in whole] == [run["temperature"]]
    assert not (out / "checkpoints").exists()  # it was not trained a second time
    (member,) = (out / "search" / "members").iterdir()
    weights = "encoder.safetensors"
    assert (out / weights).read_bytes() == (member / weights).read_bytes()
    assert temperance.load_encoder(out).spec.size == 8

    assert train(out, "--temperature", "auto", "--seed", "1") == results
    # By hand at that temperature, the same extractor comes out.
    by_hand = train(tmp_path / "hand", "--temperature", str(run["temperature"]), "--seed", "1")
    assert by_hand["runs"][0]["losses"] == run["losses"]
    assert by_hand["search"] is None
