"""Eyes on a running training: losses, pace, and what the temperature does."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from temperance.diagnosis.monitor import TemperatureMonitor
from temperance.errors import InputError
from temperance.methods.config import weighed
from temperance.methods.method import DIVERGED, Method

# Steps between two looks for nan, and between two rows of a log.
CHECK_EVERY = 50
LOG_EVERY = 10
# Steps between two readings of the temperature, at most, and how many a short training has.
READ_EVERY, READINGS = 50, 20
# Seconds between two looks.
LOOK_EVERY = 0.25


@dataclass(frozen=True)
class Look:
    """How a training stands.

    Attributes:
        step: optimiser steps finished.
        steps: in all.
        epoch: that is going on, from 1.
        loss: of the last batch, in nats.
        images_per_second: over all processes, since the look before.
        figures: what the temperature does, by name; see ``temperance.diagnosis.monitor.Reading``.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    images_per_second: float
    figures: dict[str, float] = field(default_factory=dict)


class Pace:
    """Images a second since it was last asked."""

    def __init__(self) -> None:
        self._seen = (0, 0.0)

    @property
    def age(self) -> float:
        """Seconds since then."""
        return time.perf_counter() - self._seen[1]

    def begin(self, step: int) -> None:
        """The clock starts."""
        self._seen = step, time.perf_counter()

    def read(self, step: int, module: Method) -> float:
        """Over all processes."""
        (then, began), now = self._seen, time.perf_counter()
        self._seen = step, now
        batch = min(module.config.batch_size, module.instances)
        return (step - then) * batch / max(now - began, 1e-9)


class Record(Callback):
    """Mean loss of each epoch; stops a run that has come to nan, and says at which batch.

    Args:
        on_epoch: called with the number of finished epochs and the mean loss of the last.
        on_look: called now and then.
        on_warning: called with a sentence when the temperature looks wrong; once for each cause.
    """

    def __init__(
        self,
        on_epoch: Callable[[int, float], None],
        on_look: Callable[[Look], None],
        on_warning: Callable[[str], None],
    ) -> None:
        self.on_epoch = on_epoch
        self.on_look = on_look
        self.losses: list[float] = []
        self.temperature = float("nan")
        self.readings: list[dict[str, float]] = []
        self._steps: list[Tensor] = []
        self._checked = 0
        self._figures: dict[str, float] = {}
        self._monitor = TemperatureMonitor(self._read, warn=on_warning)
        self._looks, self._rows = Pace(), Pace()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock starts."""
        for pace in (self._looks, self._rows):
            pace.begin(trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the loss; now and then read the temperature, and show."""
        assert isinstance(pl_module, Method)
        step = trainer.global_step
        loss = outputs["loss"].detach()
        if trainer.world_size > 1:  # each process knows that of its own part
            loss = trainer.strategy.reduce(loss.clone(), reduce_op="mean")
        self._steps.append(loss)
        # On a GPU to look at each would be to wait for it.
        if pl_module.device.type == "cpu" or step % CHECK_EVERY == 0:
            self._check(trainer)
        every = min(READ_EVERY, max(1, pl_module.steps // READINGS))
        if step % every == 0 and pl_module.observed is not None and weighed(pl_module.config):
            anchors, positives, negatives, labels = pl_module.observed
            rule = pl_module.temperature
            self._monitor.observe(step, anchors, positives, rule.last, negatives, labels, rule)
        if trainer.loggers and step % LOG_EVERY == 0:
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            row = {"loss": loss, "learning_rate": rate}
            row["images_per_second"] = self._rows.read(step, pl_module)
            pl_module.log_dict(row | self._figures)
        self._look(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The mean of the epoch."""
        assert isinstance(pl_module, Method)
        self._check(trainer)
        self.losses.append(float(torch.stack(self._steps).mean()))
        self._steps.clear()
        self._checked = 0
        self.temperature = pl_module.temperature.last
        self.on_epoch(len(self.losses), self.losses[-1])

    def state_dict(self) -> dict[str, Any]:
        """Losses so far, those of an unfinished epoch among them."""
        steps = torch.stack(self._steps).cpu() if self._steps else torch.empty(0)
        return {
            "losses": list(self.losses),
            "temperature": self.temperature,
            "readings": list(self.readings),
            "steps": steps,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Those again."""
        self.losses = list(state_dict["losses"])
        self.temperature = state_dict["temperature"]
        self.readings = list(state_dict["readings"])
        self._steps = list(state_dict["steps"])

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """A state that has come to nan is not worth keeping."""
        self._check(trainer)

    def _check(self, trainer: Trainer) -> None:
        new = self._steps[self._checked :]
        if not new:
            return
        fine = torch.stack(new).isfinite()
        if not fine.all():
            first = self._checked + int((~fine).nonzero()[0])
            raise InputError(
                f"training came to a loss of {float(self._steps[first])} at batch {first + 1} of epoch "
                f"{trainer.current_epoch + 1}; {DIVERGED}"
            )
        self._checked = len(self._steps)

    def _read(self, figures: dict[str, float], step: int) -> None:
        self._figures = figures
        told = {name.removeprefix("temperature/"): value for name, value in figures.items()}
        self.readings.append({"step": float(step), **told})

    def _look(self, trainer: Trainer, module: Method) -> None:
        step = trainer.global_step
        if step < module.steps and self._looks.age < LOOK_EVERY:
            return
        self.on_look(
            Look(
                step=step,
                steps=module.steps,
                epoch=trainer.current_epoch + 1,
                loss=float(self._steps[-1]),
                images_per_second=self._looks.read(step, module),
                figures=self._figures,
            )
        )
