"""What is exported computes what PyTorch computes."""

from pathlib import Path

import pytest
import torch

from temperance.encoders import Encoder, EncoderSpec, export_onnx

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings("ignore")  # of the exporter
@pytest.mark.parametrize("backbone", ["small", "timm:resnet18"])
def test_onnx_agrees_with_torch(backbone: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    for needed in ("onnx", "onnxscript", "timm"):
        pytest.importorskip(needed)
    torch.manual_seed(0)
    encoder = Encoder(EncoderSpec(3, 32, (0.5,) * 3, (0.2,) * 3, backbone=backbone))
    for _ in range(3):
        encoder.project(encoder(torch.rand(8, 3, 32, 32)))  # statistics worth exporting
    export_onnx(encoder, tmp_path / "encoder.onnx")
    assert encoder.training
    assert [p.name for p in tmp_path.iterdir()] == ["encoder.onnx"]
    session = runtime.InferenceSession(tmp_path / "encoder.onnx")
    encoder.eval()
    for n in (1, 5):
        images = torch.rand(n, 3, 32, 32)
        features, projection = session.run(["features", "projection"], {"images": images.numpy()})
        with torch.no_grad():
            wanted = encoder(images)
            torch.testing.assert_close(torch.tensor(features), wanted, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(
                torch.tensor(projection), encoder.project(wanted), rtol=1e-4, atol=1e-4
            )
