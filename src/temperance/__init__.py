"""Temperance: train feature extractors by contrastive learning, and find the temperature that serves.

>>> import torch
>>> from temperance import NTXent
>>> loss = NTXent(temperature=0.2)
>>> view_a, view_b = torch.randn(8, 32), torch.randn(8, 32)
>>> loss(view_a, view_b).shape
torch.Size([])
"""

from temperance.encoders import load_encoder
from temperance.errors import InputError
from temperance.losses import (
    DCL,
    CLIPLoss,
    HardContrastive,
    InfoNCE,
    NTXent,
    SigmoidLoss,
    SimpleContrastive,
    SupCon,
)

__version__ = "0.1.0"
__all__ = [
    "DCL",
    "CLIPLoss",
    "HardContrastive",
    "InfoNCE",
    "InputError",
    "NTXent",
    "SigmoidLoss",
    "SimpleContrastive",
    "SupCon",
    "__version__",
    "load_encoder",
]
