"""The pages of an evaluation, of a training and of a budgeted search, as a person opens them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from temperance.encoders import Encoder, EncoderSpec, save_encoder

pytestmark = pytest.mark.slow
expect = pytest.importorskip("playwright.sync_api").expect
pytest.importorskip("optuna")

COMMAND = [sys.executable, "-c", "from temperance.cli import main; main()"]


def searched(folder: Path) -> Path:
    options = ["--budget", "2x", "--epochs", "16", "--out", str(folder), "--workers", "1"]
    subprocess.run([*COMMAND, "sweep", "digits", *options], check=True, capture_output=True)
    return folder / "report.html"


def trained(folder: Path) -> Path:
    options = ["--epochs", "12", "--temperature", "cosine:0.1,1.0", "--out", str(folder)]
    subprocess.run([*COMMAND, "train", "digits", *options], check=True, capture_output=True)
    return folder / "report.html"


def evaluated(folder: Path) -> Path:
    for seed, temperature in enumerate((0.1, 0.5)):
        torch.manual_seed(seed)
        member = folder / "members" / f"t{temperature}-s0"
        member.mkdir(parents=True)
        save_encoder(
            Encoder(EncoderSpec(1, 8, (0.3,), (0.37,))),
            member,
            {"data": "digits", "temperature": temperature, "epochs": 1, "batch_size": 256},
        )
    options = ["--task", "knn,few-shot,linear", "--seeds", "2"]
    subprocess.run([*COMMAND, "evaluate", str(folder), *options], check=True, capture_output=True)
    return folder / "evaluation.html"


@pytest.fixture(
    scope="module", params=[searched, trained, evaluated], ids=["search", "training", "evaluation"]
)
def address(request, tmp_path_factory) -> str:
    return request.param(tmp_path_factory.mktemp("pages") / "run").as_uri()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 800, 1600])
def test_nothing_sticks_out_sideways_and_there_are_no_grave_faults(
    visit, without_faults, width, theme
) -> None:
    page = visit(width, theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (dark == "rgb(21, 23, 28)") == (theme == "dark")
    for folded in page.locator("details").all():
        folded.locator("summary").click()
        expect(folded.locator("table")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    without_faults(page)


def test_figures_are_saved_and_the_explorer_is_a_tab_away(visit) -> None:
    page = visit()
    for kind in ("SVG", "CSV"):
        with page.expect_download() as download:
            page.get_by_role("button", name=kind).first.click()
        assert Path(download.value.path()).stat().st_size > 100
    page.get_by_role("link", name="Explorer: move τ yourself").click()
    expect(page.locator("#explorer-temperature")).to_be_visible()
    page.get_by_role("link", name="Report", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
