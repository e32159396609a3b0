"""What `train` says of data, weights and states that are not what they should be, and what it leaves."""

import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from temperance.cli import main
from temperance.runs.results import read_results

RANDOM = np.random.default_rng(0)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(x) for x in arguments])
    return int(ended.value.code or 0)


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(RANDOM.integers(0, 256, (height, width, 3), np.uint8))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Sixty pictures of many sizes, no two sides alike."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(60):
        picture(9 + i, 40 - i // 2).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for i in range(60):
            content = io.BytesIO()
            picture(16, 16).save(content, "PNG")
            entry = tarfile.TarInfo(f"{i}.png")
            entry.size = content.tell()
            content.seek(0)
            tar.addfile(entry, content)
    return path


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that is said, with nothing beside it."""
    assert run("train", *arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("temperance: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    return printed.err


SHORT = ("--temperature", "0.2", "--epochs", "1", "--set", "widths=4,8")


def test_pictures_of_many_sizes_are_made_squares_of_one(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run("train", pictures, *SHORT, "--image-size", "16", "--out", out) == 0
    images = read_results(out).data
    assert (images.channels, images.size) == (3, 16)


def test_a_batch_larger_than_the_data_is_all_of_them(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = (pictures, *SHORT, "--image-size", "16", "--batch-size", "4096", "--out", out)
    assert run("train", *command) == 0
    assert np.isfinite(read_results(out).runs[0].losses).all()


def test_a_shard_cut_short_is_named(shard: Path, tmp_path: Path, capsys) -> None:
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2 + 100])
    said = refused(capsys, shard, *SHORT, "--out", tmp_path / "run")
    assert "a.tar is damaged" in said
    assert not (tmp_path / "run").exists()


def test_images_in_a_shard_that_cannot_be_read_are_left_out(
    shard: Path, tmp_path: Path, capsys
) -> None:
    content = shard.read_bytes()
    at = content.index(b"IDAT", content.index(b"7.png"))
    shard.write_bytes(content[:at] + b"\0" * 64 + content[at + 64 :])
    assert run("train", shard, *SHORT, "--out", tmp_path / "run") == 0
    assert "skipped 1 of 60 images" in capsys.readouterr().err


def test_weights_that_do_not_fit_are_named(pictures: Path, tmp_path: Path, capsys) -> None:
    weights = tmp_path / "w.safetensors"
    save_file({"conv1.weight": torch.zeros(3, 3)}, weights)
    asked = ("--image-size", "16", "--backbone", "timm:resnet10t", "--out", tmp_path / "run")
    said = refused(capsys, pictures, *asked, "--weights", weights)
    assert "w.safetensors holds no" in said
    weights.write_bytes(pickle.dumps({"conv1.weight": 0}))
    said = refused(capsys, pictures, *asked, "--weights", weights)
    assert "w.safetensors cannot be read" in said
    assert not (tmp_path / "run").exists()


def test_no_state_is_unpickled_and_one_cut_short_is_refused(tmp_path: Path, capsys) -> None:
    out, trap = tmp_path / "run", tmp_path / "trap"
    command = ("digits", *SHORT, "--out", out)
    assert run("train", *command) == 0
    (out / "member.json").unlink()
    state = out / "checkpoints" / "last.ckpt"
    whole = state.read_bytes()

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(trap),)

    capsys.readouterr()
    for content in (pickle.dumps(Trap()), whole[: len(whole) // 2]):
        state.write_bytes(content)
        assert "start over with --no-resume" in refused(capsys, *command)
        assert state.read_bytes() == content
    assert not trap.exists()


def test_a_loss_that_is_no_number_stops_and_says_which_batch(tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    said = refused(capsys, "digits", *SHORT, "--set", "learning_rate=1e30", "--out", out)
    assert "batch 2 of epoch 1: embeddings are nan or infinite; lower the learning rate" in said
    assert not (out / "results.json").exists()
