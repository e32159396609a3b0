"""The step size apart from the temperature."""

from typing import Any

from torch import Tensor, nn

from temperance.errors import InputError
from temperance.losses.inputs import fault_of
from temperance.temperatures import Policy


class Rescaled(nn.Module):
    r"""A loss multiplied by :math:`\tau/\tau_0`, so that its gradient does not grow as τ falls.

    The push of InfoNCE on its embeddings is :math:`(1 - P)/\tau` (Wang & Liu, CVPR 2021, arXiv 2012.09740):
    at one learning rate, plain SGD takes larger steps at a lower τ, and a sweep mixes the temperature with
    the step. Adam and its kin divide a constant factor out again; there this changes nothing. SupContrast's
    ``base_temperature`` is τ₀. No gradient flows through the factor.

    Args:
        loss: a module of ``temperance.losses``, with one temperature and without statistics.
        base_temperature: τ₀ > 0, at which the loss is as it was.

    Raises:
        InputError: where the loss has no single temperature, or τ₀ is not positive and finite.

    Example:
        >>> import torch
        >>> from temperance import NTXent
        >>> plain, z = NTXent(temperature=0.5), torch.eye(4)
        >>> Rescaled(plain, base_temperature=0.1)(z, z) / plain(z, z)
        tensor(5.)
    """

    def __init__(self, loss: nn.Module, base_temperature: float = 0.1) -> None:
        super().__init__()
        fault = fault_of(base_temperature)
        if fault is not None:
            raise InputError(f"base temperature {base_temperature:g} {fault}; give one such as 0.1")
        if not hasattr(loss, "temperature") or getattr(loss, "statistics", False):
            raise InputError(
                f"{type(loss).__name__} with these options has no one value and temperature to scale; "
                "give a loss with a temperature, without statistics"
            )
        self.loss = loss
        self.base_temperature = base_temperature

    def forward(self, *inputs: Tensor, **options: Any) -> Tensor:
        """The loss of one batch, scaled; arguments as of the loss."""
        value: Tensor = self.loss(*inputs, **options)
        rule = self.loss.temperature
        tau = rule.last if isinstance(rule, Policy) else _number(rule)
        return value * (tau / self.base_temperature)


def _number(temperature: Any) -> float:
    if isinstance(temperature, Tensor) and temperature.ndim:
        raise InputError("there is a temperature for each anchor; give a loss with one number")
    return float(temperature.detach() if isinstance(temperature, Tensor) else temperature)
