"""What do I train with? Contrastive losses, as functions and as thin modules over them."""

from temperance.losses import functional
from temperance.losses.modules import InfoNCE, NTXent

__all__ = ["InfoNCE", "NTXent", "functional"]
