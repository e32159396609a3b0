"""The report of a training, built by the command that trains."""

from pathlib import Path

import numpy as np
import pytest

from temperance.cli import main
from temperance.report.figures import course_figure
from temperance.runs.results import read_results
from temperance.search import member_arrays


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "<b>run"
    rule = ("--temperature", "linear:0.5,0.1")
    with pytest.raises(SystemExit) as ended:
        main(["train", "digits", *rule, "--epochs", "3", "--out", str(out)])
    assert not ended.value.code
    return out


def test_a_short_training_is_read_at_every_step(folder: Path) -> None:
    arrays = member_arrays(folder)
    steps = arrays["readings.step"]
    np.testing.assert_array_equal(steps, np.arange(1, len(steps) + 1))
    tau = arrays["readings.tau"]
    assert (np.diff(tau) < 0).all()
    assert 0.1 <= tau[-1] < 0.2 < tau[0] <= 0.5
    share = arrays["readings.effective_share"]
    assert ((share > 0) & (share <= 1)).all()


def test_the_page_says_what_was_reached_and_how(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    (run,) = read_results(folder).runs
    assert f"{100 * run.test.features.linear_accuracy:.1f} %</strong> of 359 test images" in page
    assert "τ by the rule linear:0.5,0.1" in page
    for title in ("loss (nats), mean of each epoch", "temperature τ", "effective negatives"):
        assert title in page
    assert "figure-course" in page
    assert page.count('class="case"') == 6
    assert '"explorer-cloud"' in page
    assert "<b>run" not in page


def test_the_course_is_drawn_from_the_losses_alone_where_nothing_was_read(folder: Path) -> None:
    (run,) = read_results(folder).runs
    drawn = course_figure(run, {})
    assert drawn.count("loss (nats)") >= 1
    assert "effective negatives" not in drawn


def test_without_labels_the_page_speaks_of_views(tmp_path: Path) -> None:
    from PIL import Image

    random = np.random.default_rng(0)
    for i in range(60):
        pixels = random.integers(0, 255, (16, 16, 3)).astype(np.uint8)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    out = tmp_path / "run"
    options = ("--image-size", "16", "--epochs", "1", "--batch-size", "16")
    with pytest.raises(SystemExit) as ended:
        main(["train", str(tmp_path / "images"), *options, "--out", str(out)])
    assert not ended.value.code
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "have their own other view nearest of all" in page
    assert "Accuracy on test images" not in page


def test_without_a_temperature_the_page_names_none(tmp_path: Path, capsys) -> None:
    loss = ("--temperature", "simple", "--set", "hardest=0.1")
    with pytest.raises(SystemExit) as ended:
        main(["train", "digits", *loss, "--epochs", "1", "--out", str(tmp_path / "run")])
    assert not ended.value.code
    assert "warning" not in capsys.readouterr().err
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    page = page.split('<div data-tab="explorer">')[0]
    assert "the simple loss, which has no temperature" in page
    assert "the hardest 10 % of the negatives pushed alike" in page
    assert "10000" not in page
    assert "1e+04" not in page
    assert "figure-push" not in page
