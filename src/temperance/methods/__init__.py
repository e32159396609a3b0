"""How is an extractor trained? InstDisc, MoCo, SimCLR, supervised contrastive and pairs, on Lightning."""

from temperance.methods.checkpoints import Terminated
from temperance.methods.config import Recipe, TrainingConfig
from temperance.methods.method import views_of
from temperance.methods.registry import METHODS
from temperance.methods.training import (
    Devices,
    Training,
    check_recipe,
    is_first_process,
    train,
    untrained,
)
from temperance.methods.watching import Look

__all__ = [
    "METHODS",
    "Devices",
    "Look",
    "Recipe",
    "Terminated",
    "Training",
    "TrainingConfig",
    "check_recipe",
    "is_first_process",
    "train",
    "untrained",
    "views_of",
]
