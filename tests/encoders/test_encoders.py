"""The encoder and its files."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from temperance import InputError, load_encoder
from temperance.encoders import Encoder, EncoderSpec, embed, save_encoder


def encoder(size: int = 28, channels: int = 1) -> Encoder:
    torch.manual_seed(0)
    return Encoder(EncoderSpec(channels, size, (0.2,) * channels, (0.3,) * channels)).eval()


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (32, 3), (65, 3)])
def test_any_size_of_image_gives_features_and_projections(size: int, channels: int) -> None:
    found = embed(encoder(size, channels), torch.rand(5, channels, size, size))
    assert found.features.shape == (5, 256)
    assert found.projection.shape == (5, 64)


def test_bytes_and_floats_are_the_same_picture() -> None:
    images = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
    net = encoder().train()
    torch.testing.assert_close(
        embed(net, images).features, embed(net, images.float() / 255).features
    )
    assert net.training


def test_files_bring_back_the_same_extractor(tmp_path: Path) -> None:
    net, images = encoder(), torch.rand(4, 1, 28, 28)
    save_encoder(net, tmp_path, {"temperature": 0.2})
    for path in (tmp_path, tmp_path / "encoder.safetensors", str(tmp_path)):
        torch.testing.assert_close(load_encoder(path)(images), net(images), rtol=0, atol=0)
    assert json.loads((tmp_path / "encoder.json").read_text())["origin"] == {"temperature": 0.2}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["encoder.json", "encoder.safetensors"]


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no encoder\.json"):
        load_encoder(tmp_path)
    save_encoder(encoder(), tmp_path, {})
    weights = load_file(tmp_path / "encoder.safetensors")
    del weights["head.0.weight"]
    save_file(weights, tmp_path / "encoder.safetensors")
    with pytest.raises(InputError, match="does not fit"):
        load_encoder(tmp_path)
    (tmp_path / "encoder.safetensors").write_bytes(b"\x80\x04 a pickle, perhaps")
    with pytest.raises(InputError, match="does not fit"):
        load_encoder(tmp_path)
    (tmp_path / "encoder.safetensors").unlink()
    with pytest.raises(InputError, match=r"holds no encoder\.safetensors"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"spec": {}}', '{"spec": {"channels": "many"}}'])
def test_a_description_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "encoder.json").write_text(text)
    with pytest.raises(InputError, match=r"encoder\.json"):
        load_encoder(tmp_path)


def test_files_of_before_there_were_other_backbones_are_read(tmp_path: Path) -> None:
    net, images = encoder(), torch.rand(4, 1, 28, 28)
    save_encoder(net, tmp_path, {})
    about = json.loads((tmp_path / "encoder.json").read_text())
    del about["spec"]["backbone"], about["spec"]["head"]
    (tmp_path / "encoder.json").write_text(json.dumps(about))
    torch.testing.assert_close(load_encoder(tmp_path)(images), net(images), rtol=0, atol=0)
