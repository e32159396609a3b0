"""What do I train with? Contrastive losses, as functions and as thin modules over them."""

from temperance.losses import functional
from temperance.losses.caching import cached_backward
from temperance.losses.modules import (
    DCL,
    CLIPLoss,
    HardContrastive,
    InfoNCE,
    InstanceSoftmax,
    NTXent,
    SigmoidLoss,
    SimpleContrastive,
    SupCon,
)
from temperance.losses.nce import NCE
from temperance.losses.rescaled import Rescaled
from temperance.losses.statistics import LossStatistics

__all__ = [
    "DCL",
    "NCE",
    "CLIPLoss",
    "HardContrastive",
    "InfoNCE",
    "InstanceSoftmax",
    "LossStatistics",
    "NTXent",
    "Rescaled",
    "SigmoidLoss",
    "SimpleContrastive",
    "SupCon",
    "cached_backward",
    "functional",
]
