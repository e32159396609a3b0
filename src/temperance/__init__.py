"""Temperance: train feature extractors by contrastive learning, and find the temperature that serves.

>>> import torch
>>> from temperance import NTXent
>>> loss = NTXent(temperature=0.2)
>>> view_a, view_b = torch.randn(8, 32), torch.randn(8, 32)
>>> loss(view_a, view_b).shape
torch.Size([])
"""

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from temperance.diagnosis import diagnose

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
    "diagnose",
    "load_encoder",
]


def __getattr__(name: str) -> Any:
    """Load the diagnosis when it is asked for: its results are checked by pydantic, which takes its time."""
    if name == "diagnose":
        from temperance.diagnosis import diagnose

        return diagnose
    raise AttributeError(f"module 'temperance' has no attribute {name!r}")
