"""Temperatures that do not look at the batch: fixed, learned, scheduled."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from temperance.errors import InputError
from temperance.temperatures.policy import Batch, Policy, checked, checked_range

LOWEST, HIGHEST = 1e-6, 1e6


class Fixed(Policy):
    r"""One number: 0.07 in MoCo and InstDisc, 0.1 in SimCLR, 0.2 in MoCo v2.

    Args:
        value: τ > 0.

    Example:
        >>> from temperance import NTXent
        >>> NTXent(temperature=Fixed(0.5))(torch.eye(4), torch.eye(4))
        tensor(0.5944)
    """

    name = "fixed"
    looks_at_batch = False

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = checked("temperature", value, LOWEST, HIGHEST, "a number such as 0.1")
        self.last = self.value

    def temperature(self, batch: Batch) -> Float[Tensor, ""]:
        """The number."""
        return self._scalar(batch, self.value)


class Learnable(Policy):
    r"""A temperature that is learned with the encoder: :math:`\tau = e^{-t}`, with t the parameter.

    t is the logarithm of the logit scale 1/τ. CLIP (Radford et al. 2021, arXiv 2103.00020) begins at τ =
    0.07 and never lets the scale pass 100. What the optimiser makes of t beyond the bounds is taken back
    when the loss is next asked for.

    Args:
        initial: τ at the beginning.
        lowest: τ is never lower: 0.01 is a scale of 100.
        highest: τ is never higher.

    Example:
        >>> from temperance import CLIPLoss
        >>> loss = CLIPLoss(temperature=Learnable())
        >>> loss(torch.eye(4), torch.eye(4)).backward()
        >>> float(loss.temperature.log_scale.grad) < 0  # a lower scale would cost more here
        True
    """

    name = "learnable"
    looks_at_batch = False

    def __init__(
        self, initial: float = 0.07, *, lowest: float = 0.01, highest: float = 100.0
    ) -> None:
        super().__init__()
        self.lowest, self.highest = checked_range(lowest, highest)
        initial = checked("temperature", initial, lowest, highest, "one within the bounds")
        self.log_scale = nn.Parameter(torch.tensor(-math.log(initial)))
        self.last = initial

    def temperature(self, batch: Batch) -> Float[Tensor, ""]:
        """The parameter as a temperature, brought back into its bounds."""
        with torch.no_grad():
            self.log_scale.clamp_(-math.log(self.highest), -math.log(self.lowest))
        return torch.exp(-self.log_scale.to(batch.anchors.dtype))

    @property
    def at_bound(self) -> bool:
        """Whether the optimiser has pushed the temperature to one of its bounds."""
        t = float(self.log_scale.detach())
        slack = 1e-4
        return not -math.log(self.highest) + slack < t < -math.log(self.lowest) - slack

    def log_line(self) -> str:
        """The temperature, the logit scale, and whether it stands at a bound."""
        bound = ", at its bound" if self.at_bound else ""
        return f"{self.name}: τ = {self.last:.4g}, scale {1 / self.last:.4g}{bound}"


class Schedule(Policy):
    r"""A temperature that follows the progress of training, from 0 at its beginning to 1 at its end.

    Whoever trains says ``advance(progress)`` before each step; the progress is kept with the state, so that a
    run that is resumed goes on along the same curve.

    Args:
        curve: takes the progress in [0, 1], gives τ > 0.

    Example:
        >>> halved = Schedule(lambda progress: 0.2 if progress < 0.5 else 0.1)
        >>> halved.advance(0.75)
        >>> halved.log_line()
        'schedule: τ = 0.1, 75 % of the way'
    """

    name = "schedule"
    looks_at_batch = False
    progress: Tensor

    def __init__(self, curve: Callable[[float], float]) -> None:
        super().__init__()
        self.curve = curve
        self.register_buffer("progress", torch.zeros((), dtype=torch.float64))
        self.last = curve(0.0)

    def advance(self, progress: float) -> None:
        """Say how far training has come.

        Raises:
            InputError: if that is not between 0 and 1.
        """
        self.progress.fill_(checked("progress", progress, 0, 1, "0 at the beginning, 1 at the end"))
        self.last = self.curve(float(self.progress))

    def temperature(self, batch: Batch) -> Float[Tensor, ""]:
        """Where the curve is now."""
        value = self.curve(float(self.progress))
        return self._scalar(batch, checked("temperature", value, LOWEST, HIGHEST, "another curve"))

    def log_line(self) -> str:
        """The temperature, and how far training has come."""
        return f"{self.name}: τ = {self.last:.4g}, {float(self.progress):.0%} of the way".replace(
            "%", " %"
        )


class Cosine(Schedule):
    r"""A cosine between two temperatures (Kukleva et al. 2023, arXiv 2303.13664).

    .. math:: \tau = \tau^- + \tfrac12 (\tau^+ - \tau^-)(1 + \cos 2\pi c p)

    with p the progress and c the cycles: it begins at τ⁺, where groups form, and comes by τ⁻, where
    instances part, once in every cycle. Their cycle is 200 epochs; here it is the run.

    Args:
        lowest: τ⁻.
        highest: τ⁺.
        cycles: c, in the whole run.

    Example:
        >>> cosine = Cosine(0.1, 1.0)
        >>> [round(cosine.curve(p), 3) for p in (0.0, 0.25, 0.5, 1.0)]
        [1.0, 0.55, 0.1, 1.0]
    """

    name = "cosine"

    def __init__(self, lowest: float = 0.1, highest: float = 1.0, *, cycles: float = 1.0) -> None:
        low, high = checked_range(lowest, highest)
        turns = checked("cycles", cycles, 1e-3, 1e6, "how often in the run, such as 1")

        def curve(progress: float) -> float:
            return low + (high - low) * (1 + math.cos(2 * math.pi * turns * progress)) / 2

        super().__init__(curve)


class Linear(Schedule):
    r"""Straight from one temperature to another: :math:`\tau = \tau_0 + (\tau_1 - \tau_0)\,p`.

    Args:
        first: τ₀, at the beginning.
        last: τ₁, at the end.

    Example:
        >>> round(Linear(0.5, 0.1).curve(0.5), 3)
        0.3
    """

    name = "linear"

    def __init__(self, first: float, last: float) -> None:
        begin, end = (
            checked("temperature", x, LOWEST, HIGHEST, "a number such as 0.1")
            for x in (first, last)
        )
        super().__init__(lambda progress: begin + (end - begin) * progress)


class WarmUp(Schedule):
    r"""Straight from one temperature to another in the first part of training, and then held.

    Args:
        first: τ at the beginning.
        last: τ from the end of the warm-up on.
        share: of training that is warm-up, in (0, 1].

    Example:
        >>> warm = WarmUp(0.5, 0.1, share=0.2)
        >>> [round(warm.curve(p), 3) for p in (0.0, 0.1, 0.2, 1.0)]
        [0.5, 0.3, 0.1, 0.1]
    """

    name = "warm-up"

    def __init__(self, first: float, last: float, *, share: float = 0.1) -> None:
        straight = Linear(first, last).curve
        part = checked("share", share, 1e-6, 1, "the part of training that is warm-up, such as 0.1")
        super().__init__(lambda progress: straight(min(1.0, progress / part)))


class Steps(Schedule):
    r"""One temperature after another, each for an equal part of training.

    Args:
        values: each τ > 0, in their order.

    Example:
        >>> steps = Steps(0.5, 0.2, 0.1)
        >>> [steps.curve(p) for p in (0.0, 0.34, 1.0)]
        [0.5, 0.2, 0.1]
    """

    name = "steps"

    def __init__(self, *values: float) -> None:
        if not values:
            raise InputError("no temperatures given; give some, such as 0.5, 0.2, 0.1")
        kept = [checked("temperature", x, LOWEST, HIGHEST, "a number such as 0.1") for x in values]
        super().__init__(lambda progress: kept[min(len(kept) - 1, int(progress * len(kept)))])
