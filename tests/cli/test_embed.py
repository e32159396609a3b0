"""``temperance embed``: what it writes and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from temperance.cli import main
from temperance.data import load_images
from temperance.encoders import Encoder, EncoderSpec, embed, load_encoder, save_encoder


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.fixture
def extractor(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_encoder(Encoder(EncoderSpec(1, 8, (0.3,), (0.3,))), tmp_path, {})
    return tmp_path


def test_vectors_are_the_extractors(extractor: Path, capsys) -> None:
    out = extractor / "new" / "features.npy"
    assert run("embed", str(extractor), "digits", "--out", str(out), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "out": str(out),
        "rows": 1797,
        "width": 256,
        "space": "features",
    }
    images = torch.from_numpy(load_images("digits").images)
    np.testing.assert_array_equal(
        np.load(out), embed(load_encoder(extractor), images).features.numpy()
    )


def test_parquet_has_paths_and_labels(extractor: Path, tmp_path: Path, capsys) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "pictures"
    for i in range(30):
        path = folder / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 20), 5 * i).save(path)
    out = tmp_path / "features.parquet"
    command = ("embed", str(extractor), str(folder), "--out", str(out), "--space", "projection")
    assert run(*command) == 0
    assert "30 × 64 projection" in capsys.readouterr().out
    table = parquet.read_table(out).to_pydict()
    assert table["path"] == sorted(str(p) for p in folder.glob("*/*.png"))
    assert table["label"] == ["a"] * 15 + ["b"] * 15
    images = torch.from_numpy(load_images(str(folder), size=8).images)
    wanted = embed(load_encoder(extractor), images).projection.numpy()
    np.testing.assert_array_equal(np.array(table["feature"], np.float32), wanted)


def test_grey_images_go_through_a_colour_encoder(tmp_path: Path) -> None:
    save_encoder(Encoder(EncoderSpec(3, 8, (0.3,) * 3, (0.3,) * 3)), tmp_path, {})
    assert run("embed", str(tmp_path), "digits", "--out", str(tmp_path / "x.npy")) == 0
    assert np.load(tmp_path / "x.npy").shape == (1797, 256)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digits", "--out", "x.csv"), "ends in neither of .npy, .parquet"),
        (("digits", "--out", "x.npy", "--space", "pixels"), "--space pixels is unknown"),
        (("glyphs", "--out", "x.npy"), "takes grey images of 8 × 8, and those of glyphs are grey"),
        (("glpyhs", "--out", "x.npy"), "did you mean 'glyphs'"),
    ],
)
def test_what_does_not_fit_is_refused(
    extractor: Path, capsys, arguments: tuple[str, ...], message: str
) -> None:
    assert run("embed", str(extractor), *arguments) == 2
    assert message in capsys.readouterr().err
    assert not Path("x.npy").exists()
