"""How weights follow the gradient: AdamW, SGD or LARS, warmed up and then let down along a cosine."""

import math

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn

from temperance.errors import InputError
from temperance.methods.config import TrainingConfig

WARM_UP = 0.05
MOMENTUM = 0.9


def optimisation(
    encoder: nn.Module, others: list[nn.Parameter], config: TrainingConfig, steps: int
) -> OptimizerLRScheduler:
    """The optimiser, and the course of its learning rate over the run.

    Args:
        encoder: its weights are decayed.
        others: what the loss learns, such as τ; not decayed.
        config: which optimiser, at what rate.
        steps: of the whole run.

    Raises:
        InputError: if LARS is asked for and timm, which has it, is missing.
    """
    if config.optimizer == "lars":
        optimizer = _lars(encoder, others, config)
    else:
        groups = [
            {"params": list(encoder.parameters()), "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        if config.optimizer == "sgd":
            optimizer = torch.optim.SGD(groups, lr=config.learning_rate, momentum=MOMENTUM)
        else:
            optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
    warm_up = max(1, round(WARM_UP * steps))

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _lars(
    encoder: nn.Module, others: list[nn.Parameter], config: TrainingConfig
) -> torch.optim.Optimizer:
    """As in SimCLR: biases and normalisation are neither decayed nor adapted (You et al. 2017)."""
    try:
        from timm.optim.lars import Lars
    except ImportError as error:
        raise InputError(
            "LARS comes with timm; install it with: pip install 'temperance[timm]', or give another optimizer"
        ) from error
    matrices = [p for p in encoder.parameters() if p.ndim > 1]
    vectors = [p for p in encoder.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": [*vectors, *others], "weight_decay": 0.0},
    ]
    optimizer: torch.optim.Optimizer = Lars(
        groups, lr=config.learning_rate, momentum=MOMENTUM, nesterov=False
    )
    return optimizer
