"""Backbones of timm: built for the images, kept as files, begun with weights of a file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from temperance import InputError, load_encoder
from temperance.encoders import Encoder, EncoderSpec, save_encoder

timm = pytest.importorskip("timm")
SPEC = EncoderSpec(3, 32, (0.5,) * 3, (0.2,) * 3, backbone="timm:resnet18")


def grey(size: int = 32, backbone: str = "timm:resnet18") -> EncoderSpec:
    return EncoderSpec(1, size, (0.5,), (0.2,), backbone=backbone)


def test_the_stem_is_made_for_small_images() -> None:
    net = Encoder(grey()).eval()
    assert net.backbone.conv1.kernel_size == (3, 3)
    assert net.backbone.conv1.stride == (1, 1)
    assert isinstance(net.backbone.maxpool, nn.Identity)
    features = net(torch.rand(2, 1, 32, 32))
    assert features.shape == (2, 512) == (2, net.spec.features)
    large = Encoder(grey(64)).backbone
    assert large.conv1.kernel_size == (7, 7)
    assert isinstance(large.maxpool, nn.MaxPool2d)


@pytest.mark.parametrize(
    "name",
    ["mobilenetv3_small_050", "resnet10t", "convnext_atto", "resnetv2_18", "vit_tiny_patch16_224"],
)
def test_families_give_features_and_projections(name: str) -> None:
    net = Encoder(grey(32, f"timm:{name}")).eval()
    features = net(torch.rand(2, 1, 32, 32))
    assert features.shape == (2, net.spec.features)
    assert net.project(features).shape == (2, 64)


def test_files_bring_back_the_same_extractor(tmp_path: Path) -> None:
    net, images = Encoder(replace(SPEC, head="linear")).eval(), torch.rand(2, 3, 32, 32)
    save_encoder(net, tmp_path, {})
    again = load_encoder(tmp_path)
    torch.testing.assert_close(again(images), net(images), rtol=0, atol=0)
    assert isinstance(again.head, nn.Linear)
    card = json.loads((tmp_path / "encoder.json").read_text())
    assert card["timm"].startswith("timm.create_model('resnet18', num_classes=0, in_chans=3)")
    assert card["stem"].startswith("below 64 pixels: 3 × 3 first convolution")


def test_large_ones_are_plain_timm(tmp_path: Path) -> None:
    net, images = Encoder(grey(64)).eval(), torch.rand(2, 1, 64, 64)
    save_encoder(net, tmp_path, {})
    plain = timm.create_model("resnet18", num_classes=0, in_chans=1).eval()
    weights = load_file(tmp_path / "encoder.safetensors")
    plain.load_state_dict(
        {n.removeprefix("backbone."): x for n, x in weights.items() if n.startswith("backbone.")}
    )
    torch.testing.assert_close(plain((images - 0.5) / 0.2), net(images))


def test_weights_of_a_file_without_classifier_and_stem(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = timm.create_model("resnet18", num_classes=7)
    save_file(whole.state_dict(), tmp_path / "w.safetensors")
    net = Encoder(SPEC)
    before = net.backbone.conv1.weight.clone()
    net.load_pretrained(tmp_path / "w.safetensors")
    assert torch.equal(net.backbone.layer4[1].conv2.weight, whole.layer4[1].conv2.weight)
    assert torch.equal(net.backbone.conv1.weight, before)
    large = Encoder(replace(SPEC, size=64))
    large.load_pretrained(tmp_path / "w.safetensors")
    assert torch.equal(large.backbone.conv1.weight, whole.conv1.weight)
    with pytest.raises(InputError, match=r"holds no .* of the right shape; give weights of timm"):
        Encoder(replace(SPEC, backbone="timm:resnet26")).load_pretrained(tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="cannot be read"):
        net.load_pretrained(tmp_path / "w.safetensors")


def test_weights_that_cannot_be_fetched_are_said(monkeypatch) -> None:
    net = Encoder(SPEC)

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no net")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(InputError, match=r"no net\); give a file of weights"):
        net.load_pretrained()


def test_what_is_unknown_is_refused() -> None:
    with pytest.raises(InputError, match="no model 'resnet19'; the nearest are resnet"):
        Encoder(grey(backbone="timm:resnet19"))
    with pytest.raises(InputError, match="no model 'zzz'; see timm"):
        Encoder(grey(backbone="timm:zzz"))
    with pytest.raises(InputError, match="backbone 'resnet18' is unknown; give 'small', or timm"):
        Encoder(grey(backbone="resnet18"))
    with pytest.raises(InputError, match="head 'deep' is unknown"):
        Encoder(replace(SPEC, head="deep"))
    with pytest.raises(InputError, match="no pretrained weights of 'small'"):
        Encoder(grey(backbone="small")).load_pretrained()
