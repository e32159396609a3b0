"""Training run from images to an extractor."""

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from temperance.encoders import Encoder, EncoderSpec
from temperance.errors import InputError
from temperance.methods.config import TrainingConfig
from temperance.methods.simclr import SimCLR
from temperance.runs import make_folder, write_atomic

LAST = "last.ckpt"


@dataclass(frozen=True)
class Training:
    """What a training run leaves.

    Attributes:
        encoder: in evaluation mode, on the CPU.
        losses: mean loss of each epoch, in nats; not comparable between temperatures.
        temperature: τ of the last batch, its mean where each anchor has one.
    """

    encoder: Encoder
    losses: list[float]
    temperature: float


def train(
    images: UInt8[np.ndarray, "n c h w"],
    config: TrainingConfig,
    *,
    checkpoints: Path | None = None,
    accelerator: str = "cpu",
    on_epoch: Callable[[int, float], None] = lambda epoch, loss: None,
) -> Training:
    """Train an encoder to tell every image from every other.

    Args:
        images: ``(n, channels, size, size)`` bytes of the training split.
        config: temperature, epochs, seed and optimiser.
        checkpoints: a folder in which to keep the state after each epoch; a state that is already there is
            taken up again. Without it nothing is kept.
        accelerator: as Lightning names it: ``"cpu"``, ``"gpu"``, ``"auto"``.
        on_epoch: called with the number of finished epochs and the mean loss of the last.

    Raises:
        InputError: on fewer than two images, or when training comes to nan.

    Example:
        >>> import numpy as np
        >>> images = np.random.default_rng(0).integers(0, 256, (16, 1, 8, 8), np.uint8)
        >>> len(train(images, TrainingConfig(temperature=0.2, epochs=2)).losses)
        2
    """
    if len(images) < 2:
        raise InputError(f"{len(images)} training image; instance discrimination needs at least 2")
    # Lightning leaves modes as it finds them; batch normalisation is to look at the batch.
    encoder = untrained(images, config.seed).train()
    batches = _EpochBatches(len(images), config.batch_size, config.seed)
    module = SimCLR(encoder, config, steps=config.epochs * len(batches), instances=len(images))
    record = _Record(on_epoch)
    callbacks: list[Callback] = [record]
    last = None
    if checkpoints is not None:
        last = make_folder(checkpoints) / LAST
        callbacks.append(_Checkpoint(last))
    with _quiet():
        trainer = Trainer(
            accelerator=accelerator,
            devices=1,
            max_epochs=config.epochs,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        loader = DataLoader(_Batches(torch.from_numpy(images)), sampler=batches, batch_size=None)
        resume = _readable(last) if last is not None and last.exists() else None
        with _interruptible(trainer):
            trainer.fit(module, loader, ckpt_path=resume, weights_only=True)
    return Training(encoder.cpu().eval(), record.losses, record.temperature)


def untrained(images: UInt8[np.ndarray, "n c h w"], seed: int) -> Encoder:
    """The encoder as training begins it: what learning is compared with.

    Args:
        images: the training split, whose mean and deviation the encoder takes off.
        seed: of the initial weights.
    """
    floats = images.astype(np.float32) / 255
    mean = floats.mean(axis=(0, 2, 3))
    # A channel that never changes must not be divided by zero.
    std = floats.std(axis=(0, 2, 3)).clip(min=1e-3)
    spec = EncoderSpec(
        channels=images.shape[1],
        size=images.shape[2],
        mean=tuple(round(float(x), 6) for x in mean),
        std=tuple(round(float(x), 6) for x in std),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoder(spec).eval()


class _Batches(Dataset[tuple[Tensor, Tensor]]):
    """Batches by their row numbers, and those: one indexing for each, no collating."""

    def __init__(self, images: UInt8[Tensor, "n c h w"]) -> None:
        self.images = images

    def __getitem__(self, rows: Int64[Tensor, " b"]) -> tuple[Tensor, Tensor]:
        return self.images[rows], rows


class _EpochBatches(Sampler[Tensor]):
    """Row numbers of the batches of an epoch, keyed by seed and epoch; the ragged last batch is left out."""

    def __init__(self, length: int, batch_size: int, seed: int) -> None:
        self.length = length
        self.batch_size = min(batch_size, length)
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning as each epoch begins, after resuming too."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.batch_size

    def __iter__(self) -> Iterator[Tensor]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        for step in range(len(self)):
            yield torch.from_numpy(order[step * self.batch_size : (step + 1) * self.batch_size])


class _Record(Callback):
    """Mean loss of each epoch; stops a run that has come to nan."""

    def __init__(self, on_epoch: Callable[[int, float], None]) -> None:
        self.on_epoch = on_epoch
        self.losses: list[float] = []
        self.temperature = float("nan")
        self._steps: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._steps.append(outputs["loss"])

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        self.losses.append(float(torch.stack(self._steps).mean()))
        self._steps.clear()
        assert isinstance(module, SimCLR)
        self.temperature = module.temperature.last
        if not np.isfinite(self.losses[-1]):
            raise InputError(
                f"training came to a loss of {self.losses[-1]} in epoch {len(self.losses)}; "
                "lower the learning rate or raise the temperature"
            )
        self.on_epoch(len(self.losses), self.losses[-1])

    def state_dict(self) -> dict[str, Any]:
        return {"losses": list(self.losses), "temperature": self.temperature}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.losses = list(state_dict["losses"])
        self.temperature = state_dict["temperature"]


class _Checkpoint(Callback):
    """Keeps the state after each epoch; a run that is killed leaves the last whole one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        write_atomic(self.path, trainer.save_checkpoint)


def _readable(checkpoint: Path) -> str:
    """The path of a checkpoint that can be gone on with."""
    try:
        found = torch.load(checkpoint, map_location="cpu", weights_only=True)
        if not {"state_dict", "optimizer_states", "callbacks", "loops"} <= set(found):
            raise ValueError("it is no checkpoint of a training run")
    except Exception as error:  # a damaged file may fail in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{checkpoint} cannot be read ({reason}); start over with --no-resume"
        ) from error
    return str(checkpoint)


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
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        logger.setLevel(level)
