"""What detection and segmentation share: a head on a copy of the extractor's maps, and its training."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from temperance.data.annotated import VOID, AnnotatedSet, Sample
from temperance.encoders import Encoder, FeatureMaps
from temperance.errors import InputError

BATCH = 8
RATE = 2e-3
WEIGHT_DECAY = 1e-4
WARM_UP = 0.05
SIDE = 128
# In training pictures are moved by so much of their side, scaled and lit by factors in these ranges.
MOVED, SCALED, LIGHT = (0.1, 0.1), (0.8, 1.25), 0.4
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
            InputError: if the data lack what is to be learned, or training comes to nan.
        """
        self.check(data)
        self.classes_ = data.classes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            jitter = _jitter()
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


def _jitter() -> Callable[[list[Sample]], list[Sample]]:
    """Samples at other sizes and places and in other light, drawn anew by torch's random numbers.

    Without it a head learns two thousand pictures by heart.
    """
    try:
        from torchvision import tv_tensors
        from torchvision.transforms import InterpolationMode, v2
    except ImportError as error:
        raise InputError(
            "detection and segmentation come with torchvision; install it with: "
            "pip install 'temperance[detection]'"
        ) from error
    beyond = {tv_tensors.Image: 0, tv_tensors.Mask: VOID, "others": 0}
    change = v2.Compose(
        [
            v2.RandomAffine(
                0, MOVED, SCALED, interpolation=InterpolationMode.BILINEAR, fill=beyond
            ),
            v2.ColorJitter(brightness=LIGHT, contrast=LIGHT),
            v2.ClampBoundingBoxes(),
            v2.SanitizeBoundingBoxes(
                min_size=LEAST_SIDE, labels_getter=lambda x: (x["labels"], x["ignored"])
            ),
        ]
    )

    def one(sample: Sample) -> Sample:
        image, size = torch.from_numpy(sample.image), sample.image.shape[-2:]
        boxes = torch.from_numpy(sample.boxes)
        given = {
            "image": tv_tensors.Image(image),
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size),
            "labels": torch.from_numpy(sample.labels),
            "ignored": torch.from_numpy(sample.ignored),
        }
        if sample.class_map is not None:
            given["class_map"] = tv_tensors.Mask(torch.from_numpy(sample.class_map))
        found = {name: value.numpy() for name, value in change(given).items()}
        return Sample(**{"class_map": None, **found})

    return lambda samples: [one(sample) for sample in samples]


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
