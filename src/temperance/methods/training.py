"""Training run from images to an extractor."""

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Int64, UInt8
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader

from temperance.data import Views
from temperance.encoders import Encoder, EncoderSpec
from temperance.encoders.convnet import SMALL
from temperance.encoders.timm import timm_features
from temperance.errors import InputError
from temperance.methods.batches import Batches, Images
from temperance.methods.checkpoints import LAST, AtomicCheckpoints, Keeper, steps_kept
from temperance.methods.company import Company, in_company
from temperance.methods.config import Recipe, TrainingConfig
from temperance.methods.method import views_of
from temperance.methods.registry import METHODS
from temperance.methods.watching import LOG_EVERY, Look, Record
from temperance.runs import make_folder, remove_partial

SAVE_EVERY = 300.0
# Images whose bytes are counted at a time.
COUNTED = 4096


@dataclass(frozen=True)
class Training:
    """What a training run leaves.

    Attributes:
        encoder: in evaluation mode, on the CPU.
        losses: mean loss of each epoch, in nats; not comparable between temperatures.
        temperature: τ of the last batch, its mean where each anchor has one.
        readings: what τ did on the way, every 50 steps or more often: ``step``, ``tau`` and those of
            ``temperance.diagnosis.monitor.Reading``.
    """

    encoder: Encoder
    losses: list[float]
    temperature: float
    readings: list[dict[str, float]]


@dataclass(frozen=True)
class Devices:
    """Where a run computes; the numbers that come out do not depend on it, but for rounding.

    Attributes:
        accelerator: as Lightning names it: ``"cpu"``, ``"gpu"``, ``"auto"``.
        each_node: processes on each machine, one for each device. They share each batch, and exchange
            embeddings and gradients by ``torch.distributed``.
        nodes: machines, of which each starts the same command (under torchrun, Slurm or the like).
        exchange: ``"gather"``, by which every process holds all embeddings of a batch, or ``"ring"``, by
            which none does; see ``temperance.functional``.
    """

    accelerator: str = "cpu"
    each_node: int = 1
    nodes: int = 1
    exchange: Literal["gather", "ring"] = "gather"

    @property
    def processes(self) -> int:
        """In all."""
        return self.each_node * self.nodes


def train(
    images: UInt8[np.ndarray, "n c h w"],
    config: TrainingConfig,
    *,
    labels: Int64[np.ndarray, " n"] | None = None,
    partners: UInt8[np.ndarray, "n c h w"] | None = None,
    checkpoints: Path | None = None,
    save_every: float = SAVE_EVERY,
    devices: Devices = Devices(),
    loggers: Sequence[Logger] = (),
    on_epoch: Callable[[int, float], None] = lambda epoch, loss: None,
    on_look: Callable[[Look], None] = lambda look: None,
    on_warning: Callable[[str], None] = lambda words: None,
) -> Training:
    """Train an encoder by contrastive learning.

    Args:
        images: ``(n, channels, size, size)`` bytes of the training split.
        config: method, temperature, epochs, seed and optimiser.
        labels: ``(n,)`` classes, which only ``supcon`` learns from; otherwise they serve to tell how much of
            the push falls on false negatives.
        partners: ``(n, channels, size, size)`` the other image of each pair, for ``paired``.
        checkpoints: a folder in which to keep the state; a state that is already there is taken up again.
            Without it nothing is kept.
        save_every: seconds between two states within an epoch; one is kept after each epoch, too.
        devices: where to compute.
        loggers: Lightning's, such as ``TensorBoardLogger``; they get the loss, the learning rate and what the
            temperature does.
        on_epoch: called with the number of finished epochs and the mean loss of the last.
        on_look: called a few times a second with how the training stands.
        on_warning: called with a sentence when the temperature looks wrong, or a state could not be kept.

    Raises:
        InputError: on fewer than two images, data that the method cannot take, a checkpoint of another run,
            and when training comes to nan; names the batch.
        Terminated: after SIGTERM, when the state has been kept.

    Example:
        >>> import numpy as np
        >>> images = np.random.default_rng(0).integers(0, 256, (16, 1, 8, 8), np.uint8)
        >>> len(train(images, TrainingConfig(temperature=0.2, epochs=2)).losses)
        2
    """
    check_recipe(images, config, labelled=labels is not None, processes=devices.processes)
    batches = Batches(len(images), config.batch_size, config.seed)
    # Lightning leaves modes as it finds them; batch normalisation is to look at the batch.
    encoder = untrained(images, config.seed, config).train()
    method = METHODS[config.method](
        encoder, config, steps=config.epochs * len(batches), instances=len(images)
    )
    method.exchange = devices.exchange
    record = Record(on_epoch, on_look, on_warning)
    last = None if checkpoints is None else make_folder(checkpoints) / LAST
    if last is not None and is_first_process():
        remove_partial(last.parent)
    keepers = [] if last is None else [Keeper(last, save_every, config)]
    alone = not (dist.is_available() and dist.is_initialized())
    with _quiet(), torch.random.fork_rng(devices=[]):
        trainer = Trainer(
            accelerator=devices.accelerator,
            devices=devices.each_node,
            num_nodes=devices.nodes,
            # Queue and bank are the same everywhere by construction: nothing needs to be sent round.
            strategy=Company(broadcast_buffers=False) if devices.processes > 1 else "auto",
            sync_batchnorm=_synchronised(config, devices),
            precision=config.precision,
            max_epochs=config.epochs,
            callbacks=[record, *keepers],
            plugins=[AtomicCheckpoints(on_warning)],
            logger=list(loggers) or False,
            log_every_n_steps=LOG_EVERY,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        loader = DataLoader(Images(images, labels, partners), sampler=batches, batch_size=None)
        resume = last if last is not None and last.exists() else None
        if resume is not None:
            batches.skip = steps_kept(resume, config) % len(batches)
        with _interruptible(trainer), in_company():
            trainer.fit(method, loader, ckpt_path=resume, weights_only=True)
    if alone and dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
    return Training(
        encoder.cpu().float().eval(), record.losses, record.temperature, record.readings
    )


def untrained(
    images: UInt8[np.ndarray, "n c h w"], seed: int, recipe: Recipe | None = None
) -> Encoder:
    """The encoder as training begins it: what learning is compared with.

    Args:
        images: the training split, whose mean and deviation the encoder takes off.
        seed: of the initial weights.
        recipe: which encoder; the default one unless given.

    Raises:
        InputError: if there is no such backbone, or its pretrained weights cannot be had.
    """
    mean, std = _statistics(images)
    size = images.shape[2]
    asked: dict[str, Any] = {}
    if recipe is not None:
        asked = recipe.model_dump(include={"backbone", "head", "widths", "projection", "norm"})
        if recipe.backbone != SMALL:
            asked["hidden"] = timm_features(recipe.backbone, images.shape[1], size)
    spec = EncoderSpec(channels=images.shape[1], size=size, mean=mean, std=std, **asked)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = Encoder(spec).eval()
    if recipe is not None and recipe.weights is not None:
        encoder.load_pretrained(None if recipe.weights == "timm" else Path(recipe.weights))
    return encoder


def is_first_process() -> bool:
    """Whether this is the one of several processes that writes and speaks; before they have met, too."""
    return not getattr(rank_zero_only, "rank", 0)


def _synchronised(config: TrainingConfig, devices: Devices) -> bool:
    """Whether batch normalisation looks at the batch of all processes: where torch can, and it is wanted."""
    on_cuda = torch.cuda.is_available() and devices.accelerator in ("auto", "gpu", "cuda")
    return on_cuda and devices.processes > 1 and not config.method.startswith("moco")


def check_recipe(
    images: UInt8[np.ndarray, "n c h w"], recipe: Recipe, *, labelled: bool, processes: int = 1
) -> None:
    """Refuse what cannot be trained, before anything is written.

    Args:
        images: the training split.
        recipe: how it is to be trained.
        labelled: whether there are labels.
        processes: that share each batch.

    Raises:
        InputError: on fewer than two images, a method that lacks its labels, a batch that cannot be shared,
            and encoders, weights or views that there are not.
    """
    if len(images) < 2:
        raise InputError(f"{len(images)} training image; instance discrimination needs at least 2")
    if recipe.method == "supcon" and not labelled:
        raise InputError("method supcon needs labels; give data that have some, or another method")
    size = min(recipe.batch_size, len(images))
    if size % processes:
        raise InputError(
            f"a batch of {size} cannot be shared by {processes} processes; give a multiple with --batch-size"
        )
    untrained(images[:2], 0, recipe)
    Views(images.shape[1], images.shape[2], views_of(recipe, images.shape[1]))


def _statistics(
    images: UInt8[np.ndarray, "n c h w"],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, from how often each byte comes: no copy of all images is made."""
    grey = np.arange(256) / 255
    mean, std = [], []
    for channel in range(images.shape[1]):
        parts = np.array_split(images[:, channel], max(1, len(images) // COUNTED))
        counts = np.sum([np.bincount(part.reshape(-1), minlength=256) for part in parts], axis=0)
        share = counts / counts.sum()
        middle = float(share @ grey)
        mean.append(round(middle, 6))
        # A channel that never changes must not be divided by zero.
        std.append(round(max(1e-3, float(share @ (grey - middle) ** 2) ** 0.5), 6))
    return tuple(mean), tuple(std)


@contextmanager
def _interruptible(trainer: Trainer) -> Iterator[None]:
    """Lightning ends the process when it is interrupted; that is for the caller to decide."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main else None
    try:
        yield
    except SystemExit as error:
        if trainer.interrupted:
            raise KeyboardInterrupt from error
        raise
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's remarks on loaders, loggers and devices are about scripts, not about this run."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
