"""The extractor for runtimes without PyTorch."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from temperance.encoders.convnet import Encoder
from temperance.errors import InputError
from temperance.runs import write_atomic


def export_onnx(encoder: Encoder, path: Path) -> None:
    """Write an encoder as ONNX: from ``images`` in [0, 1], any number, to ``features`` and ``projection``.

    Args:
        encoder: on the CPU; exported in evaluation mode, and left in the mode it is in.
        path: the file, whose folder exists.

    Raises:
        InputError: if onnx or onnxscript is missing, or the file cannot be written.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            "ONNX is written by onnx and onnxscript; install them with: pip install 'temperance[onnx]'"
        ) from error
    spec, training = encoder.spec, encoder.training
    images = torch.zeros(2, spec.channels, spec.size, spec.size)
    try:
        program = torch.onnx.export(
            _Both(encoder).eval(),
            (images,),
            input_names=["images"],
            output_names=["features", "projection"],
            dynamic_shapes={"images": {0: torch.export.Dim("n", min=1)}},
            dynamo=True,
            verbose=False,
        )
    finally:
        encoder.train(training)
    assert program is not None
    write_atomic(path, program.model_proto.SerializeToString())


class _Both(nn.Module):
    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self, images: Float[Tensor, "n c h w"]
    ) -> tuple[Float[Tensor, "n f"], Float[Tensor, "n p"]]:
        features = self.encoder(images)
        return features, self.encoder.project(features)
