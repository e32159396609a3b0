"""What turns an image into a vector? The default encoder, and extractors kept as files."""

from temperance.encoders.convnet import Encoder, EncoderSpec
from temperance.encoders.embed import Embeddings, embed
from temperance.encoders.files import load_encoder, save_encoder
from temperance.encoders.maps import FeatureMaps
from temperance.encoders.onnx import export_onnx
from temperance.encoders.weights import weights_for

__all__ = [
    "Embeddings",
    "Encoder",
    "EncoderSpec",
    "FeatureMaps",
    "embed",
    "export_onnx",
    "load_encoder",
    "save_encoder",
    "weights_for",
]
