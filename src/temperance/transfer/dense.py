"""What detection and segmentation share: a head on a copy of the extractor's maps, and its training."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import ClassVar, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor, nn

from temperance.data.annotated import VOID, AnnotatedSet, Sample
from temperance.data.augment import blend, resample
from temperance.encoders import Encoder, FeatureMaps
from temperance.errors import InputError

BATCH = 8
RATE = 2e-3
WEIGHT_DECAY = 1e-4
WARM_UP = 0.05
SIDE = 128
# In training pictures are moved by so much of their side, scaled and lit by factors in these ranges.
MOVED, SCALED, LIGHT = 0.1, (0.8, 1.25), 0.4
# Of what the move leaves of an object, in pixels, for it to teach.
LEAST_SIDE = 4

OnStep = Callable[[int], None]
Task = TypeVar("Task", bound="DenseTask")


class DenseTask(ABC):
    """A head on the maps of an extractor, trained with it on annotated pictures.

    Args:
        encoder: the extractor; a copy of it is trained, or frozen.
        steps: of training, ``batch`` pictures each; None for as many as the task is wont to take.
        frozen: train the head only.
        side: pictures are scaled so that their longer side is this many pixels.
        seed: of the head's weights and the order of pictures.
        on_step: called with the number of finished steps.
    """

    default_steps: ClassVar[int]
    batch: ClassVar[int] = BATCH
    rate: ClassVar[float] = RATE
    needed: ClassVar[tuple[str, ...]]
    model_: nn.Module

    def __init__(
        self,
        encoder: Encoder,
        *,
        steps: int | None = None,
        frozen: bool = False,
        side: int = SIDE,
        seed: int = 0,
        on_step: OnStep = lambda step: None,
    ) -> None:
        self.encoder, self.frozen = encoder, frozen
        self.steps = self.default_steps if steps is None else steps
        self.side, self.seed, self.on_step = side, seed, on_step

    def fit(self: Task, data: AnnotatedSet) -> Task:
        """Train on pictures; what is ignored in them teaches nothing.

        Raises:
            InputError: if a library is missing, the data lack what is to be learned, or training comes to
                nan.
        """
        need(*self.needed)
        self.check(data)
        self.classes_ = data.classes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            maps = _copied_maps(self.encoder, self.side, frozen=self.frozen)
            self.model_ = self.built(maps, len(data.classes)).train()
            if self.frozen:  # its batch normalisation keeps its statistics
                maps.eval()
            run_steps(
                [p for p in self.model_.parameters() if p.requires_grad],
                shuffled(len(data), min(self.batch, len(data)), self.steps, self.seed),
                lambda rows: self.loss(jitter(self.samples(data, rows.tolist()))),
                self.steps,
                rate=self.rate,
                on_step=self.on_step,
            )
        self.model_.eval()
        return self

    def samples(self, data: AnnotatedSet, rows: Iterable[int]) -> list[Sample]:
        """Some pictures of a set as the head takes them."""
        return [data.sample(row, self.encoder.spec.channels, self.side) for row in rows]

    @abstractmethod
    def check(self, data: AnnotatedSet) -> None:
        """Refuse data that lack what is to be learned."""

    @abstractmethod
    def built(self, maps: FeatureMaps, classes: int) -> nn.Module:
        """The head on the maps."""

    @abstractmethod
    def loss(self, batch: list[Sample]) -> Float[Tensor, ""]:
        """Of a batch, by ``model_``."""


def _copied_maps(encoder: Encoder, side: int, *, frozen: bool) -> FeatureMaps:
    """The maps of a copy of an extractor, which trains with the head, or does not."""
    own = copy.deepcopy(encoder).requires_grad_(not frozen)
    # What the contrastive loss alone needs would only ask for gradients that never come.
    own.head.requires_grad_(False)
    return FeatureMaps(own, side)


def jitter(samples: Sequence[Sample]) -> list[Sample]:
    """Squares at other sizes and places and in other light, drawn anew by torch's random numbers.

    What is beyond the picture is black before the light changes, and void in its class map. Boxes of which
    little is left go. Without it a head learns two thousand pictures by heart.
    """
    count, side = len(samples), samples[0].image.shape[-1]
    scale = torch.empty(count).uniform_(*SCALED)
    moved = torch.empty(count, 2).uniform_(-MOVED, MOVED) * side
    # A map says where a pixel of the new square was in the old: p = (q - move) / scale, from the middle.
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0] = maps[:, 1, 1] = 1 / scale
    maps[:, :, 2] = -2 * moved / side / scale[:, None]
    images = resample(as_images([s.image for s in samples]), maps, outside="zeros")
    kinds = torch.randint(2, (count,))
    for kind in (kinds, 1 - kinds):  # brightness first, or contrast
        images = blend(images, kind, torch.empty(count).uniform_(1 - LIGHT, 1 + LIGHT))
    pixels = (images * 255).round_().byte().numpy()
    return [
        _moved(*case) for case in zip(samples, pixels, scale.tolist(), moved.numpy(), strict=True)
    ]


def _moved(
    sample: Sample, image: UInt8[np.ndarray, "c s s"], scale: float, move: Float32[np.ndarray, "2"]
) -> Sample:
    """A sample of a moved image: its boxes and its class map go with it."""
    middle, side = image.shape[-1] / 2, image.shape[-1]
    corners = (sample.boxes.reshape(-1, 2, 2) - middle) * scale + middle + move
    corners = corners.clip(0, side)
    left = (corners[:, 1] - corners[:, 0]).min(axis=1) >= LEAST_SIDE
    class_map = sample.class_map
    if class_map is not None:
        columns, rows = (
            np.rint((np.arange(side) + 0.5 - middle - by) / scale + middle - 0.5).astype(int)
            for by in move
        )
        # One more row and column of void, for all that comes from beyond.
        framed = np.pad(class_map, (0, 1), constant_values=VOID)
        rows, columns = (np.where((x >= 0) & (x < side), x, side) for x in (rows, columns))
        class_map = framed[rows[:, None], columns]
    return Sample(
        image,
        corners.reshape(-1, 4)[left].astype(np.float32),
        sample.labels[left],
        sample.ignored[left],
        class_map,
    )


def need(*libraries: str) -> None:
    """Refuse to begin what would end in a library that is not installed.

    Raises:
        InputError: names those that are missing.
    """
    missing = [x for x in libraries if find_spec(x) is None]
    if missing:
        raise InputError(
            f"{', '.join(missing)} is missing; install with: pip install 'temperance[detection]'"
        )


def as_images(pictures: Sequence[UInt8[np.ndarray, "c s s"]]) -> Float[Tensor, "n c s s"]:
    """Bytes as the extractor takes them."""
    return torch.from_numpy(np.stack(pictures)).float() / 255


def in_batches(count: int, size: int) -> Iterator[range]:
    """Row numbers, in their order."""
    for begin in range(0, count, size):
        yield range(begin, min(count, begin + size))


def shuffled(count: int, size: int, steps: int, seed: int) -> Iterator[Int64[np.ndarray, " b"]]:
    """Row numbers of each step's batch: epoch after epoch in a new order, as long as there are steps."""
    random = np.random.default_rng(seed)
    rows = np.zeros(0, np.int64)
    for _ in range(steps):
        while len(rows) < size:
            rows = np.concatenate([rows, random.permutation(count)])
        yield rows[:size]
        rows = rows[size:]


def run_steps(
    parameters: Sequence[nn.Parameter],
    batches: Iterator[Int64[np.ndarray, " b"]],
    loss: Callable[[Int64[np.ndarray, " b"]], Float[Tensor, ""]],
    steps: int,
    *,
    rate: float = RATE,
    on_step: OnStep = lambda step: None,
) -> None:
    """AdamW with warm-up and a cosine, one step for each batch.

    Args:
        parameters: what is trained.
        batches: row numbers.
        loss: of a batch.
        steps: how many there will be, for the schedule.
        rate: the highest learning rate.
        on_step: called with the number of finished steps.

    Raises:
        InputError: if the loss comes to nan.
    """
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=WEIGHT_DECAY)
    warm_up = max(1, round(WARM_UP * steps))

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for done, rows in enumerate(batches, 1):
        value = loss(rows)
        if not torch.isfinite(value):
            raise InputError(
                f"training of the head came to a loss of {float(value.detach())} in step {done}; "
                "give another seed, or an extractor that is trained better"
            )
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(value)
        nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()
        schedule.step()
        on_step(done)
