"""Maps of an extractor: their sizes, and that they are what its features are made of."""

import pytest
import torch

from temperance import InputError
from temperance.encoders import Encoder, EncoderSpec, FeatureMaps


def test_the_last_map_pooled_is_the_features() -> None:
    encoder = Encoder(EncoderSpec(1, 28, (0.2,), (0.3,), widths=(4, 8, 8, 8))).eval()
    maps = FeatureMaps(encoder, 28)
    assert maps.strides == (2, 4, 7)
    assert maps.channels == (4, 8, 8)
    images = torch.rand(3, 1, 28, 28)
    pooled = torch.nn.functional.adaptive_avg_pool2d(maps(images)[-1], 2).flatten(1)
    torch.testing.assert_close(pooled, encoder(images))


@pytest.mark.parametrize(
    ("size", "strides", "channels"),
    [(28, (1, 2, 4, 8), (64, 128, 256, 512)), (96, (2, 4, 8, 16, 32), (64, 64, 128, 256, 512))],
)
def test_maps_of_a_backbone_of_timm(
    size: int, strides: tuple[int, ...], channels: tuple[int, ...]
) -> None:
    pytest.importorskip("timm")
    encoder = Encoder(EncoderSpec(3, size, (0.5,) * 3, (0.2,) * 3, backbone="timm:resnet18")).eval()
    maps = FeatureMaps(encoder, 64)
    assert maps.strides == strides
    assert maps.channels == channels
    assert [x.shape[-1] for x in maps(torch.rand(1, 3, 64, 64))] == [64 // s for s in strides]


def test_a_backbone_without_maps_is_refused() -> None:
    pytest.importorskip("timm")
    spec = EncoderSpec(3, 32, (0.5,) * 3, (0.2,) * 3, backbone="timm:vit_tiny_patch16_224")
    with pytest.raises(InputError, match="makes no maps of 128 × 128 images"):
        FeatureMaps(Encoder(spec), 128)
