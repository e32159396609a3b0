"""Images in, features and projections out."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from temperance.encoders.convnet import Encoder

BATCH = 512


@dataclass(frozen=True)
class Embeddings:
    """The two spaces of an encoder, row by row.

    Attributes:
        features: ``(n, f)``, what downstream heads take.
        projection: ``(n, p)``, what the loss shapes and what retrieval uses.
    """

    features: Float[Tensor, "n f"]
    projection: Float[Tensor, "n p"]


@torch.no_grad()
def embed(
    encoder: Encoder, images: UInt8[Tensor, "n c h w"] | Float[Tensor, "n c h w"]
) -> Embeddings:
    """Features and projections of images, in batches and in evaluation mode.

    Args:
        encoder: left in the mode it is in.
        images: ``(n, channels, size, size)``, bytes 0 to 255 or floats 0 to 1.

    Example:
        >>> import torch
        >>> from temperance.encoders import EncoderSpec
        >>> encoder = Encoder(EncoderSpec(channels=1, size=8, mean=(0.2,), std=(0.3,)))
        >>> embed(encoder, torch.zeros(3, 1, 8, 8, dtype=torch.uint8)).features.shape
        torch.Size([3, 256])
    """
    training = encoder.training
    encoder.eval()
    try:
        features = []
        for batch in torch.split(images, BATCH):
            floats = batch.float() / 255 if batch.dtype == torch.uint8 else batch
            features.append(encoder(floats))
        joined = torch.cat(features)
        return Embeddings(joined, encoder.project(joined))
    finally:
        encoder.train(training)
