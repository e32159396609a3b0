"""What a sweep will cost, before it is begun."""

import time
from dataclasses import dataclass

import torch

from temperance.data import ImageSet, Splits
from temperance.methods import train
from temperance.search.config import SweepConfig
from temperance.search.member import measure_baselines

# Training a few steps is measured; what a run does besides (starting, writing) is about this, in seconds.
OVERHEAD = 0.5
STARTING = 12.0
REPORT_BYTES = 3_000_000
PROBE_STEPS = 3


@dataclass(frozen=True)
class Cost:
    """What a sweep asks for.

    Attributes:
        runs: extractors to train.
        seconds: about how long it takes with the workers given.
        bytes: about how much disk the run folder takes.
    """

    runs: int
    seconds: float
    bytes: int


def estimate(config: SweepConfig, images: ImageSet, parts: Splits, workers: int) -> Cost:
    """Measure a few training steps and one evaluation on the data, and multiply.

    Args:
        config: the sweep.
        images: its data.
        parts: their splits.
        workers: processes that share the runs.
    """
    runs = len(config.trainings())
    rows = parts.train[: PROBE_STEPS * config.batch_size]
    marks: list[float] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        probe = config.trainings()[0].model_copy(update={"epochs": 3})
        training = train(
            images.images[rows],
            probe,
            labels=None if images.labels is None else images.labels[rows],
            on_epoch=lambda *_: marks.append(time.perf_counter()),
        )
        begun = time.perf_counter()
        measure_baselines(images, parts, config, seeds=1)
        evaluation = time.perf_counter() - begun
    finally:
        torch.set_num_threads(threads)
    probe_steps = max(1, len(rows) // min(config.batch_size, len(rows)))
    step = (marks[-1] - marks[0]) / (2 * probe_steps)
    steps = config.epochs * max(1, len(parts.train) // min(config.batch_size, len(parts.train)))
    waves = -(-runs // workers)
    weights = sum(p.numel() for p in training.encoder.parameters()) * 4
    arrays = len(parts.validation) * training.encoder.spec.projection * 3 * 2
    return Cost(
        runs=runs,
        seconds=STARTING + waves * (steps * step + evaluation + OVERHEAD),
        bytes=runs * (weights + arrays) + REPORT_BYTES,
    )
