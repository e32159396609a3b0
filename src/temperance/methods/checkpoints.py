"""State of a run on disk: written whole or not at all, read as data, and only by the run that wrote it."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer

from temperance.errors import InputError
from temperance.methods.config import TrainingConfig
from temperance.runs import write_atomic

LAST = "last.ckpt"
# Of what a checkpoint holds; another number is another version's.
FORMAT = 2
KEY = "temperance"

GO_ON, SAVE, STOP = 0, 1, 2
# On a GPU, where asking the other processes has to wait for it, they are asked every so many steps.
ASKED_EVERY = 10


class Terminated(BaseException):
    """A run was asked to end (SIGTERM), and has kept its state; as KeyboardInterrupt, it is no fault."""


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside the last one and renames it; a disk that is full costs the new one only.

    Args:
        warn: told in one line of a checkpoint that could not be written.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        super().__init__()
        self.warn = warn

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write, or warn and keep the last one: training goes on."""

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                try:
                    torch.save(checkpoint, file)
                except RuntimeError as error:  # torch's writer hides what the disk said
                    raise (
                        error.__context__
                        if isinstance(error.__context__, OSError)
                        else OSError(str(error).splitlines()[0])
                    ) from error

        try:
            write_atomic(Path(path), write)
        except InputError as error:
            kept = "the one before it is kept" if Path(path).exists() else "there is none yet"
            self.warn(f"no checkpoint: {error}; {kept}, training goes on")


class Keeper(Callback):
    """Keeps the state after each epoch, every so often, and when the process is told to end.

    Args:
        path: of the checkpoint.
        every: seconds between two within an epoch.
        config: of the run, which alone may go on from it.
    """

    def __init__(self, path: Path, every: float, config: TrainingConfig) -> None:
        self.path = path
        self.every = every
        self.config = config
        self._last = time.monotonic()
        self._told_to_end = False
        self._handler: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen for SIGTERM, by which schedulers announce that they take the machine away."""
        self._last = time.monotonic()
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGTERM, self._end)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is time; stop when it was asked for, all processes after the same batch."""
        if batch_idx + 1 == trainer.num_training_batches:
            return  # the state of a whole epoch, its loss among it, is kept at its end
        if pl_module.device.type != "cpu" and (batch_idx + 1) % ASKED_EVERY:
            return
        self._act(trainer, pl_module, due=time.monotonic() - self._last > self.every)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save; stop when it was asked for."""
        self._act(trainer, pl_module, due=True)

    def _act(self, trainer: Trainer, pl_module: LightningModule, *, due: bool) -> None:
        wish = STOP if self._told_to_end else SAVE if due else GO_ON
        if trainer.world_size > 1:
            mine = torch.tensor(wish, device=pl_module.device)
            wish = int(trainer.strategy.reduce(mine, reduce_op="max"))
        if wish != GO_ON:
            self._save(trainer)
        if wish == STOP:
            raise Terminated

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Say whose it is."""
        checkpoint[KEY] = {"format": FORMAT, "config": self.config.model_dump(mode="json")}

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen no more."""
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)
            self._handler = None

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._told_to_end = True

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._last = time.monotonic()


def steps_kept(checkpoint: Path, config: TrainingConfig) -> int:
    """How many steps a checkpoint has behind it, if this run can go on from it.

    Raises:
        InputError: if it is damaged, another version's, or another run's.
    """
    try:
        found = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        if not {"state_dict", "optimizer_states", "callbacks", "loops"} <= set(found):
            raise ValueError("it is no checkpoint of a training run")
        written = found.get(KEY, {}).get("format", 1)
        if written != FORMAT:
            raise ValueError(f"it has format {written}, this version goes on from {FORMAT}")
        theirs, ours = found[KEY]["config"], config.model_dump(mode="json")
        other = next((name for name in ours if theirs.get(name) != ours[name]), None)
        if other is not None:
            raise ValueError(
                f"it is of a run with {other} = {theirs.get(other)}, not {ours[other]}"
            )
    except Exception as error:  # a damaged file may fail in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{checkpoint} cannot be gone on from ({reason}); start over with --no-resume"
        ) from error
    return int(found["global_step"])
