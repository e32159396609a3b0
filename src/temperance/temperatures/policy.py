"""What a temperature knows of the batch it is asked for, and what every temperature is."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from temperance.contrast import Candidates, Elementwise, Layout, lengths_over_ranks, of_all_ranks
from temperance.errors import InputError


@dataclass(frozen=True, eq=False)
class Batch:
    """The vectors a loss compares, without gradient.

    Attributes:
        anchors: ``(n, d)``; their dot products with candidates are similarities.
        candidates: m in all.
        layout: which candidates are negatives.
        positives: ``(n,)`` similarity of each anchor and its positive.
        ids: ``(n,)`` which instance of the whole data set each anchor is, or None where nobody said.
        over_ranks: whether the ranks share the temperature, as they share a batch.
        travels: whether the first part of the candidates is that of all ranks; a queue is each rank's own.
    """

    anchors: Float[Tensor, "n d"]
    candidates: Candidates
    layout: Layout
    positives: Float[Tensor, " n"]
    ids: Int[Tensor, " n"] | None = None
    over_ranks: bool = False
    travels: bool = False

    @property
    def negatives(self) -> int:
        """How many each anchor has."""
        left_out = (self.layout.own is not None) + (self.layout.itself is not None)
        first = self.candidates.parts[0]
        others = sum(lengths_over_ranks(first)) - len(first) if self.travels else 0
        return len(self.candidates) + others - left_out

    def everyone(self) -> "Batch":
        """The same with the candidates of all ranks, where those are negatives."""
        if not self.travels:
            return self
        candidates, layout = of_all_ranks(self.candidates, self.layout)
        return replace(self, candidates=candidates, layout=layout, travels=False)


class Policy(nn.Module):
    """A rule for the temperature; usable in every loss wherever a number is.

    Its parameters and its state are the module's: a loss that holds it is saved and trained with it.

    Attributes:
        name: as on the command line and in a log.
        looks_at_batch: whether it needs the vectors of the batch, and not their type alone.
        link: what makes a similarity a logit, where the temperature is a function of the similarity; None
            for similarities divided by the temperature.
        tempers: whether each anchor has a temperature that its own similarities tell. Where a loss has them
            all at hand it then asks ``tempering`` instead of the rule itself.
        last: the temperature of the last batch, its mean where it has many; nan before the first where that
            is not known.
    """

    name = "policy"
    looks_at_batch = True
    link: Elementwise | None = None

    def __init__(self) -> None:
        super().__init__()
        self.last = float("nan")

    @property
    def tempers(self) -> bool:
        """See above."""
        return False

    def forward(self, batch: Batch) -> Float[Tensor, ""] | Float[Tensor, " n"]:
        """The temperature for a batch.

        Raises:
            InputError: if it is not positive and finite.
        """
        tau = self.temperature(batch)
        self.note(tau)
        return tau

    def tempering(self, batch: Batch) -> "Tempering":
        """What finds the temperatures of anchors in the pass of a loss, if the rule ``tempers``."""
        raise NotImplementedError

    def note(self, tau: Tensor) -> None:
        """Keep the temperature as the last one.

        Raises:
            InputError: if it is not positive and finite.
        """
        mean = float(tau.detach().mean())
        if not 0 < mean < float("inf"):
            raise InputError(
                f"the temperature of {self.name} has become {mean:g}; lower its learning rate, "
                "or look for nan in the embeddings"
            )
        self.last = mean

    def temperature(self, batch: Batch) -> Float[Tensor, ""] | Float[Tensor, " n"]:
        """The temperature for a batch, as the rule has it."""
        raise NotImplementedError

    def log_line(self) -> str:
        """What it is doing, in a few words."""
        return f"{self.name}: τ = {self.last:.4g}"

    def _scalar(self, batch: Batch, value: float) -> Tensor:
        return torch.full((), value, dtype=batch.anchors.dtype, device=batch.anchors.device)


class Tempering:
    """Finds the temperatures of anchors while a loss has their similarities at hand.

    It costs no matrix product of its own then.

    Attributes:
        tau: ``(n,)`` those found.
    """

    tau: Float[Tensor, " n"]

    def __call__(
        self, rows: slice, block: Float[Tensor, "h m"]
    ) -> tuple[Float[Tensor, " h"], Float[Tensor, " h"]]:
        """See ``temperance.contrast.layout.Temper``."""
        raise NotImplementedError

    def done(self) -> None:
        """Let the rule know what was found."""
        raise NotImplementedError


def checked(name: str, value: float, low: float, high: float, example: str) -> float:
    """The value, if it lies between low and high.

    Raises:
        InputError: if not.
    """
    if not low <= value <= high:
        raise InputError(f"{name} {value:g} is not between {low:g} and {high:g}; give {example}")
    return float(value)


def checked_range(low: float, high: float) -> tuple[float, float]:
    """Two temperatures, the first the lower one.

    Raises:
        InputError: if they are not.
    """
    if not 0 < low < high < float("inf"):
        raise InputError(
            f"temperatures {low:g} and {high:g} are no range; give a positive one and a higher one, "
            "such as 0.1 and 1"
        )
    return float(low), float(high)
