"""What a person sees of a training that runs: the bar of a terminal, and TensorBoard."""

import io

import pytest
from rich.console import Console

from temperance.cli import main
from temperance.cli.given import progress
from temperance.cli.train import _told
from temperance.methods import Look

FIGURES = {"temperature/tau": 0.2, "temperature/effective_negatives": 324.4}


@pytest.mark.parametrize("width", [60, 80, 160])
def test_a_narrow_terminal_shows_time_left_and_all_figures(width: int) -> None:
    written = io.StringIO()
    output = Console(file=written, force_terminal=True, width=width, color_system=None)
    look = Look(60, 120, 3, 4.699, 737.4, FIGURES)
    with progress(output, "step {task.completed} of {task.total}", "{task.fields[told]}") as bar:
        task = bar.add_task("training", total=look.steps, told="")
        bar.update(task, completed=look.step, told=_told(look))
    *_, first, second, _ = written.getvalue().splitlines()
    assert "training" in first
    assert "step 60 of 120" in first
    assert "left" in first
    assert "…" not in first + second
    assert second.startswith("loss 4.699 · 737 images/s · τ 0.2 · 324 effective negatives")


def test_tensorboard_gets_the_figures_of_a_run(tmp_path, capsys) -> None:
    command = ["train", "digits", "--epochs", "4", "--batch-size", "64", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert not ended.value.code
    (events,) = (tmp_path / "logs").glob("events.out.tfevents.*")
    kept = events.read_bytes()
    for name in ("loss", "learning_rate", "images_per_second", "temperature/tau"):
        assert name.encode() in kept, name
    assert b"temperature/effective_negatives" in kept
