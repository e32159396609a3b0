"""How is an extractor trained? SimCLR today, on Lightning."""

from temperance.methods.config import TrainingConfig
from temperance.methods.training import Training, train, untrained

__all__ = ["Training", "TrainingConfig", "train", "untrained"]
