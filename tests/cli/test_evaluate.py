"""``temperance evaluate``: what it measures, keeps, goes on with and refuses."""

import json
import shutil
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import torch
from PIL import Image

from temperance.cli import main
from temperance.cli.evaluate import _tasks
from temperance.data import scenes as room
from temperance.encoders import Encoder, EncoderSpec, save_encoder
from temperance.transfer.results import json_schema


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.fixture
def members(tmp_path: Path) -> Path:
    for seed, temperature in enumerate((0.1, 0.5)):
        torch.manual_seed(seed)
        folder = tmp_path / "members" / f"t{temperature}-s0"
        folder.mkdir(parents=True)
        origin = {"data": "digits", "temperature": temperature, "epochs": 1, "batch_size": 256}
        save_encoder(Encoder(EncoderSpec(1, 8, (0.3,), (0.37,))), folder, origin)
    return tmp_path


def test_finetune_stands_for_both_shares() -> None:
    assert _tasks("knn, finetune") == ["knn", "finetune-1", "finetune-10"]


def test_the_committed_schema_is_that_of_the_code() -> None:
    path = resources.files("temperance.transfer") / "evaluation.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == json_schema()


def test_a_sweeps_members_are_measured_once_beside_random_weights(members: Path, capsys) -> None:
    command = ("evaluate", str(members), "--task", "knn,few-shot", "--seeds", "2", "--json")
    assert run(*command) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    jsonschema.validate(found, json_schema())
    assert found == json.loads((members / "evaluation.json").read_text())
    assert len(found["parts"]) == 2 * 2 * 3
    assert found["settings"]["images"] == "digits"
    assert {p["temperature"] for p in found["parts"]} == {0.1, 0.5, None}
    page = (members / "evaluation.html").read_text()
    assert "Each task against τ" in page
    assert "<svg" in page
    assert "<svg" in (members / "evaluation.svg").read_text()
    assert run(*command) == 0
    again = capsys.readouterr()
    assert json.loads(again.out) == found
    assert again.err == ""
    assert run(*command, "--steps", "9") == 2
    assert "was measured with steps = None, not 9" in capsys.readouterr().err


def test_extractors_of_several_seeds_have_heads_and_random_weights_of_as_many(
    members: Path, capsys
) -> None:
    one = members / "members" / "t0.1-s0"
    description = json.loads((one / "encoder.json").read_text())
    for seed in (1, 2):
        other = shutil.copytree(one, members / "members" / f"t0.1-s{seed}")
        description["origin"] |= {"seed": seed, "figures": {"loss": seed}}
        (other / "encoder.json").write_text(json.dumps(description))
    assert run("evaluate", str(members), "--task", "few-shot", "--seeds", "2", "--json") == 0
    parts = json.loads(capsys.readouterr().out)["parts"]
    seeds = {
        name: [p["seed"] for p in parts if Path(p["extractor"]).name == name]
        for name in ("t0.1-s0", "t0.1-s1", "t0.1-s2", "t0.5-s0", "")
    }
    assert seeds == {
        "t0.1-s0": [0, 3],
        "t0.1-s1": [1, 4],
        "t0.1-s2": [2, 5],
        "t0.5-s0": [0, 1],
        "": [0, 1, 2, 3, 4, 5],
    }


def test_scenes_serve_every_task(members: Path, capsys, monkeypatch) -> None:
    pytest.importorskip("pycocotools")
    monkeypatch.setattr(room, "COUNTS", {"train": 8, "test": 6})
    one = members / "members" / "t0.1-s0"
    tasks = ("--task", "knn,detection", "--data", "digit-scenes")
    command = ("evaluate", str(one), *tasks, "--steps", "2", "--root", str(members / "cache"))
    assert run(*command, "--supervised") == 0
    table = capsys.readouterr().out
    assert "supervised" in table
    found = json.loads((one / "evaluation.json").read_text())
    page = (one / "evaluation.html").read_text()
    assert "What it says" in page
    for task in ("knn", "detection"):
        with Image.open(one / f"evaluation-{task}.png") as sheet:
            assert min(sheet.size) > 200
        assert page.count("data:image/png;base64,") == 2
    starts = ["pretrained", "random", "supervised"]
    assert [p["start"] for p in found["parts"]] == 2 * starts
    assert [p["task"] for p in found["parts"]] == ["knn"] * 3 + ["detection"] * 3
    assert found["settings"]["pictures"] == "digit-scenes"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "knn,dreams"), "--task 'dreams' is unknown; give some of knn, linear"),
        (("--task", "detection", "--data", "digits"), "--data digits has no boxes or masks"),
        (("--data", "glyphs"), "those of glyphs are 1 × 28 × 28"),
        (("--seeds", "0"), "--seeds 0 is not positive"),
    ],
)
def test_what_does_not_fit_is_refused(
    members: Path, capsys, arguments: tuple[str, ...], message: str
) -> None:
    assert run("evaluate", str(members), *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (members / "evaluation.json").exists()
