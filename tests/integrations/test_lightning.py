"""The callback logs to the trainer's logger, and says what it cannot watch."""

import csv
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader

from temperance import InputError, NTXent
from temperance.integrations.lightning import MonitorTemperature
from temperance.temperatures import Learnable


class Small(LightningModule):
    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.encoder, self.loss = nn.Linear(6, 4), loss

    def training_step(self, batch, batch_idx):
        x = self.encoder(batch)
        return self.loss(x, x + 0.3 * torch.randn_like(x))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)


def fit(loss: nn.Module, where: Path) -> None:
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=CSVLogger(where, name="", version="log"),
        log_every_n_steps=1,
        callbacks=[MonitorTemperature(every=2)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Small(loss), DataLoader(torch.randn(64, 6), batch_size=16))


@pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::FutureWarning")
def test_figures_reach_the_logger(tmp_path: Path) -> None:
    fit(NTXent(temperature=Learnable(0.3)), tmp_path)
    with (tmp_path / "log" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("temperature/tau")]
    assert rows
    assert float(rows[0]["temperature/tau"]) == pytest.approx(0.3, rel=1e-3)
    assert float(rows[0]["temperature/effective_share"]) > 0
    with pytest.raises(InputError, match="Small holds no loss to watch"):
        fit(nn.MSELoss(), tmp_path / "none")
