"""The effect of the temperature is not the effect of the step."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from temperance import InfoNCE, InputError, NTXent
from temperance.losses import Rescaled
from temperance.methods import TrainingConfig
from temperance.methods.simclr import SimCLR
from temperance.methods.training import untrained
from temperance.temperatures import Learnable

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 1, 8, 8), np.uint8)
STEPS = 6


class Times(nn.Module):
    """A loss times a number: the gradient that another step size would see."""

    def __init__(self, loss: nn.Module, factor: float) -> None:
        super().__init__()
        self.loss, self.factor = loss, factor
        self.temperature = loss.temperature

    def forward(self, a: Tensor, b: Tensor, **options) -> Tensor:
        return self.loss(a, b) * self.factor


def trained(temperature: float, factor: float, sgd: bool = False) -> Tensor:
    """Where a few steps of the method's own optimiser, or of SGD, lead."""
    torch.manual_seed(0)
    config = TrainingConfig(temperature=temperature, epochs=1, batch_size=64)
    module = SimCLR(untrained(IMAGES, 0), config, STEPS, len(IMAGES))
    module.loss = Times(module.loss, factor)
    optimizer = module.configure_optimizers()["optimizer"]
    if sgd:
        optimizer = torch.optim.SGD(module.encoder.parameters(), lr=0.05, momentum=0.9)
    module.encoder.train()
    module.__dict__["_trainer"] = None
    batch = torch.from_numpy(IMAGES), torch.arange(len(IMAGES))
    for step in range(STEPS):
        optimizer.zero_grad()
        views = module.views.pair(batch[0], step)
        a, b = module.encoder.project(module.encoder(torch.cat(views))).chunk(2)
        module.loss(a, b).backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in module.encoder.parameters()])


def apart(x: Tensor, y: Tensor) -> float:
    return float((x - y).norm())


def test_the_default_optimiser_tells_temperature_from_step() -> None:
    begun = torch.cat([p.detach().flatten() for p in untrained(IMAGES, 0).parameters()])
    plain, scaled = trained(0.1, 1.0), trained(0.1, 10.0)
    other = trained(1.0, 1.0)
    way = apart(plain, begun)
    # Ten times the gradient leads to the same place; a tenth of the 1/τ in the loss leads elsewhere.
    assert apart(plain, scaled) < 0.1 * way
    assert apart(plain, other) > 5 * apart(plain, scaled)
    # Under SGD the same factor is the step.
    assert apart(trained(0.1, 1.0, sgd=True), trained(0.1, 10.0, sgd=True)) > 0.2 * way


def test_a_rescaled_loss_pulls_alike_at_every_temperature() -> None:
    a = torch.randn(32, 8, dtype=torch.float64, requires_grad=True)
    b = torch.randn(32, 8, dtype=torch.float64)
    for tau in (0.05, 0.5, 5.0):
        (plain,) = torch.autograd.grad(NTXent(tau)(a, b), a)
        (scaled,) = torch.autograd.grad(Rescaled(NTXent(tau), 0.1)(a, b), a)
        torch.testing.assert_close(scaled, plain * tau / 0.1)
    learned = Rescaled(InfoNCE(Learnable(0.2)), 0.1)
    torch.testing.assert_close(learned(a, b), 2 * InfoNCE(0.2)(a, b))
    learned(a, b).backward()
    assert learned.loss.temperature.log_scale.grad is not None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rescaled(NTXent(0.1), 0.0), "base temperature 0 is not positive"),
        (lambda: Rescaled(NTXent(0.1, statistics=True)), "no one value"),
        (lambda: Rescaled(nn.Identity()), "Identity with these options"),
        (
            lambda: Rescaled(InfoNCE(torch.full((4,), 0.1)))(torch.eye(4), torch.eye(4)),
            "a temperature for each anchor",
        ),
    ],
)
def test_what_has_no_one_temperature_is_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
