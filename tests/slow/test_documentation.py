"""What the README and the pages tell people to type can be typed.

Blocks of Python run, page by page. Commands that take seconds run on small files; those that train for
minutes, or read what a page only imagines, are held against the options that the commands have.
"""

import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from temperance.cli.app import app
from temperance.encoders import Encoder, EncoderSpec, save_encoder

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = {"convert", "diagnose", "explain"}


def blocks(language: str, page: Path) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    shown = [block for page in PAGES for block in blocks("sh", page)]
    lines = "\n".join(shown).replace("\\\n", " ").splitlines()
    return sorted({line.split(" #")[0].strip() for line in lines if line.startswith("temperance ")})


@pytest.mark.parametrize(
    "page", [p for p in PAGES if blocks("python", p)], ids=lambda page: page.name
)
def test_blocks_of_python_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = EncoderSpec(1, 28, (0.5,), (0.3,))
    colour = EncoderSpec(3, 64, (0.5,) * 3, (0.3,) * 3, backbone="timm:resnet18")
    for folder, spec in {
        "runs/sweep-glyphs/members/t0.135-s0": small,
        "runs/train-glyphs": small,
        "runs/train-photos": colour,
    }.items():
        if any(folder in block for block in blocks("python", page)):
            Path(folder).mkdir(parents=True)
            save_encoder(Encoder(spec), Path(folder), {})
    x = torch.randn(200, 16)
    given = {"x": x, "y": x + torch.randn(200, 16), "labels": [0, 1] * 100, "step": 1, "steps": 4}
    given["Trainer"] = lambda callbacks: callbacks
    for block in blocks("python", page):
        exec(
            compile(block, page.name, "exec"), given
        )  # in the order of the page, as a reader would


def test_imports_that_take_a_librarys_place_are_there():
    lines = re.findall(
        r"`(from temperance\.integrations\.\S+ import [\w, ]+)`",
        (ROOT / "docs/libraries.md").read_text(),
    )
    assert len(lines) == 6
    for line in lines:
        exec(line, {})


@pytest.mark.parametrize("command", commands())
def test_commands_have_the_options_that_are_shown(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)[1:]
    if words[0] in RUN and "parquet" not in command and "--images" not in command:
        vectors = np.random.default_rng(0).normal(size=(2, 300, 16)).astype(np.float32)
        for name, rows in zip(("embeddings", "images", "texts"), vectors[[0, 0, 1]], strict=True):
            np.save(f"{name}.npy", rows)
        Path("labels.txt").write_text("a\nb\nc\n" * 100)
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    else:
        group = typer.main.get_command(app)
        group.commands[words[0]].make_context(words[0], words[1:])  # unknown options raise


def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(ROOT / "docs/notebook.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": tmp_path}}).execute()
    counts = eval(notebook.cells[5].outputs[0]["data"]["text/plain"])
    assert counts[0.02] < counts[0.1] < counts[0.5]


def test_the_example_shows_the_dilemma(capsys):
    runpy.run_path(str(ROOT / "examples/temperature_by_hand.py"), run_name="__main__")
    rows = np.array([line.split() for line in capsys.readouterr().out.splitlines()[1:]], float)
    assert (np.diff(rows[:, 1]) < 0).all()  # evenness falls as τ rises
    assert (np.diff(rows[:, 2]) > 0).all()  # tolerance rises
