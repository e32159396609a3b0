"""Weights under other tools' names: those names, those shapes, and the same features."""

import pytest
import torch

from temperance import InputError
from temperance.encoders import Encoder, EncoderSpec, weights_for

timm = pytest.importorskip("timm")
models = pytest.importorskip("torchvision.models")


def built(backbone: str, size: int = 64, channels: int = 3) -> Encoder:
    torch.manual_seed(0)
    spec = EncoderSpec(
        channels, size, (0.4,) * channels, (0.2,) * channels, backbone=f"timm:{backbone}"
    )
    return Encoder(spec).eval()


def test_torchvision_and_timm_make_the_same_features_of_them() -> None:
    encoder = built("resnet18")
    images = torch.rand(2, 3, 64, 64)
    standardised = (images - encoder.mean) / encoder.std
    theirs = models.resnet18()
    theirs.fc = torch.nn.Identity()
    theirs.load_state_dict(weights_for(encoder, "torchvision"))
    timms = timm.create_model("resnet18", num_classes=0)
    timms.load_state_dict(weights_for(encoder, "timm"))
    for model in (theirs, timms):
        torch.testing.assert_close(model.eval()(standardised), encoder(images))


def detectron2_names(blocks: tuple[int, ...], convolutions: int, widened: bool) -> dict[str, int]:
    """Names and output channels, as detectron2's ResNet makes them."""
    found = {"stem.conv1": 64}
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        out = 4 * width if convolutions == 3 else width
        for block in range(count):
            prefix = f"res{stage + 2}.{block}"
            for i in range(1, convolutions + 1):
                found[f"{prefix}.conv{i}"] = out if i == convolutions else width
            if block == 0 and (stage > 0 or widened):
                found[f"{prefix}.shortcut"] = out
    return found


@pytest.mark.parametrize(
    ("backbone", "blocks", "convolutions"),
    [("resnet18", (2, 2, 2, 2), 2), ("resnet50", (3, 4, 6, 3), 3)],
)
def test_names_and_shapes_are_detectron2s(
    backbone: str, blocks: tuple[int, ...], convolutions: int
) -> None:
    found = weights_for(built(backbone), "detectron2")
    wanted = detectron2_names(blocks, convolutions, widened=convolutions == 3)
    statistics = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert set(found) == {
        name
        for layer in wanted
        for name in (f"{layer}.weight", *(f"{layer}.norm.{x}" for x in statistics))
    }
    for layer, channels in wanted.items():
        assert found[f"{layer}.weight"].shape[0] == channels
        assert found[f"{layer}.norm.weight"].shape == (channels,)
    assert found["stem.conv1.weight"].shape == (64, 3, 7, 7)


def test_names_of_mmdetection_are_its_resnets() -> None:
    found = weights_for(built("resnet50"), "mmdetection")
    assert found.keys() == models.resnet50().state_dict().keys() - {"fc.weight", "fc.bias"}
    assert "layer1.0.downsample.1.running_var" in found


@pytest.mark.parametrize(
    ("backbone", "size", "channels", "tool", "message"),
    [
        ("resnet18", 32, 3, "torchvision", "was trained on images of 3 × 32 × 32"),
        ("resnet18", 64, 1, "detectron2", "was trained on images of 1 × 64 × 64"),
        ("mobilenetv3_small_050", 64, 3, "mmdetection", "no names here for timm:mobilenetv3"),
        ("resnet18", 64, 3, "caffe", "tool 'caffe' is unknown; give one of timm, torchvision"),
    ],
)
def test_what_has_no_names_there_is_refused(
    backbone: str, size: int, channels: int, tool: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        weights_for(built(backbone, size, channels), tool)
