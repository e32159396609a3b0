"""Lightning: the temperature monitor as a callback."""

from lightning.pytorch import Callback, LightningModule, Trainer

from temperance.diagnosis.monitor import PAIR_LOSSES, TemperatureMonitor
from temperance.errors import InputError


class MonitorTemperature(Callback):
    """Logs what the temperature does, to whatever logger the trainer has, and warns when a run looks wrong.

    It watches every loss of pairs of this package that the module holds; see
    ``temperance.diagnosis.TemperatureMonitor``.

    Args:
        every: calls of a loss between two readings.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> trainer = Trainer(callbacks=[MonitorTemperature(every=100)], logger=False)
    """

    def __init__(self, every: int = 50) -> None:
        self.every = every

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the losses.

        Raises:
            InputError: if the module holds none.
        """
        found = [module for module in pl_module.modules() if isinstance(module, PAIR_LOSSES)]
        if not found:
            raise InputError(
                f"{type(pl_module).__name__} holds no loss to watch; keep an InfoNCE, NTXent or the like "
                "as an attribute"
            )

        def log(figures: dict[str, float], step: int) -> None:
            pl_module.log_dict(figures)

        for loss in found:
            TemperatureMonitor(log, every=self.every).watch(loss)
