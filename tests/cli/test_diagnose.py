"""``temperance diagnose`` as a person gives it."""

import csv
import json
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from temperance.cli import main
from temperance.diagnosis.results import json_schema

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(90, 6)).astype(np.float32)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    np.save("y.npy", X + 0.3 * RANDOM.normal(size=X.shape).astype(np.float32))
    Path("labels.txt").write_text("".join(f"kind {i % 3}\n" for i in range(90)))
    Path("texts.txt").write_text("".join(f"=text {i}\n" for i in range(90)))
    return tmp_path


def test_the_committed_schema_is_that_of_the_code() -> None:
    text = (resources.files("temperance.diagnosis") / "results.schema.json").read_text("utf-8")
    assert json.loads(text) == json_schema()


def test_everything_that_is_written_agrees(capsys) -> None:
    command = [
        "diagnose",
        "x.npy",
        "--pairs",
        "y.npy",
        "--labels",
        "labels.txt",
        "--texts",
        "texts.txt",
    ]
    assert run(*command, "--logit-scale", "10", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    jsonschema.validate(told, json_schema())
    folder = Path("runs/diagnose-x")
    assert json.loads((folder / "results.json").read_text()) == told
    assert told["temperature"] == 0.1
    assert told["data"]["classes"] == ["kind 0", "kind 1", "kind 2"]
    assert told["verdicts"][0]["sentence"] in (folder / "report.html").read_text().replace(
        "&#x27;", "'"
    )
    with (folder / "hard_negatives.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 900
    assert rows[0]["suspected_false"] == "1"
    assert rows[0]["anchor_label"] == rows[0]["negative_label"]
    assert rows[0]["anchor_text"].startswith("'=text")  # no spreadsheet runs it


def test_what_is_printed_says_what_was_done(capsys) -> None:
    assert run("diagnose", "x.npy", "--out", "seen[/]", "--temperature", "0.1") == 0
    printed = capsys.readouterr()
    assert "x.npy: 90 × 6, 90 anchors against 89 negatives each at τ = 0.1" in printed.out
    assert "they were brought to length 1" in printed.out
    assert "seen[/]/report.html" in printed.out
    assert printed.err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no EMBEDDINGS given"),
        (["none.npy"], "there is no file none.npy"),
        (["x.npy", "--temperature", "0"], "temperature 0 is not positive"),
        (["x.npy", "--temperature", "1e-5"], "is not between 0.001 and 100"),
        (["x.npy", "--logit-scale", "-3"], "scale -3 is not positive"),
        (["x.npy", "--logit-scale", "9", "--temperature", "1"], "are both given"),
        (["x.npy", "--labels", "none.txt"], "x.npy is one array and has no column 'none.txt'"),
        (["x.npy", "--pair-column", "b"], "--pair-column needs --column"),
        (["x.npy", "--memory", "0"], "--memory 0 is not positive"),
        (["x.npy", "--anchors", "91"], "91 anchors cannot be drawn from 90 rows"),
        (["x.npy", "--texts", "one.txt"], "--texts has 1 entries and the embeddings 90 rows"),
        (["x.npy", "--images", "."], "holds no images"),
        (["x.npy", "--pairs", "short.npy"], "give one partner of the same width for each row"),
        (["nan.npy"], "2 of 90 rows of nan.npy hold nan or infinity (rows 4, 50)"),
        (["x.npy", "--demo"], "--demo takes no file"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: list[str], message: str, capsys) -> None:
    np.save("short.npy", X[:80])
    bad = X.copy()
    bad[[4, 50], 0] = np.nan, np.inf
    np.save("nan.npy", bad)
    Path("one.txt").write_text("only\n")
    assert run("diagnose", *arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not Path("runs").exists()
