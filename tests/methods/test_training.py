"""Training learns, repeats itself, and goes on where it was stopped."""

import csv
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from temperance import InputError
from temperance.data import load_images
from temperance.methods import TrainingConfig, train, untrained
from temperance.methods.checkpoints import steps_kept

IMAGES = load_images("digits").images[:96]
CONFIG = TrainingConfig(temperature=0.2, epochs=4, batch_size=32)


def weights(encoder: torch.nn.Module) -> torch.Tensor:
    return torch.cat([w.flatten().double() for w in encoder.state_dict().values()])


def test_the_loss_falls_and_the_same_seed_gives_the_same_weights() -> None:
    first, second = train(IMAGES, CONFIG), train(IMAGES, CONFIG)
    assert first.losses[-1] < first.losses[0]
    assert first.losses == second.losses
    assert torch.equal(weights(first.encoder), weights(second.encoder))
    other = train(IMAGES, CONFIG.model_copy(update={"seed": 1}))
    assert not torch.equal(weights(first.encoder), weights(other.encoder))
    assert not first.encoder.training


def test_batch_normalisation_looks_at_the_batch() -> None:
    averages = [
        x
        for name, x in train(IMAGES, CONFIG).encoder.state_dict().items()
        if name.endswith("running_mean")
    ]
    assert averages
    assert all(x.abs().min() > 0 for x in averages)


RULES = ["cosine:0.1,0.5", "learnable", "effective:0.3", "per-anchor"]


@pytest.mark.parametrize(
    "settings",
    [
        *({"temperature": rule} for rule in RULES),
        {},
        {"chunk": 10},
        {"method": "moco-v2", "precision": "bf16-mixed"},
        {"method": "instdisc", "chunk": 10, "precision": "bf16-mixed"},
    ],
    ids=str,
)
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update=settings)

    class Stop(Exception):
        pass

    def stop(epoch: int, loss: float) -> None:
        if epoch == 3:
            raise Stop

    with pytest.raises(Stop):
        train(IMAGES, config, checkpoints=tmp_path, on_epoch=stop)
    assert (tmp_path / "last.ckpt").exists()
    seen: list[int] = []
    resumed = train(
        IMAGES, config, checkpoints=tmp_path, on_epoch=lambda epoch, loss: seen.append(epoch)
    )
    whole = train(IMAGES, config)
    assert seen[0] > 1
    assert resumed.losses == whole.losses
    assert torch.equal(weights(resumed.encoder), weights(whole.encoder))
    assert resumed.temperature == whole.temperature


@pytest.mark.parametrize("temperature", ["cosine:0.1,0.5", "sigmoid", "aligned", "effective:0.3"])
def test_a_rule_moves_the_temperature(temperature: str) -> None:
    training = train(IMAGES, CONFIG.model_copy(update={"temperature": temperature}))
    assert 0.001 < training.temperature < 2
    begun = {"cosine:0.1,0.5": 0.5, "sigmoid": 0.1, "aligned": 0.1, "effective:0.3": 0.3}
    if temperature == "cosine:0.1,0.5":  # it comes back at the end
        assert training.temperature == pytest.approx(begun[temperature], rel=1e-4)
    else:
        assert training.temperature != pytest.approx(begun[temperature], rel=1e-3)


def test_checkpoints_hold_plain_values_only(tmp_path: Path) -> None:
    train(IMAGES, CONFIG, checkpoints=tmp_path)
    torch.load(tmp_path / "last.ckpt", weights_only=True)


def test_fewer_images_than_a_batch_make_one_batch() -> None:
    assert len(train(IMAGES[:10], CONFIG).losses) == 4
    with pytest.raises(InputError, match="at least 2"):
        train(IMAGES[:1], CONFIG)


def test_blank_images_do_not_divide_by_zero() -> None:
    blank = np.zeros((40, 3, 8, 8), np.uint8)
    assert untrained(blank, seed=0).spec.std == (0.001,) * 3
    assert np.isfinite(train(blank, CONFIG).losses).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_none_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="not positive and finite"):
        TrainingConfig(temperature=temperature, epochs=1)


@pytest.mark.parametrize("temperature", [1e-4, 1e4])
def test_extreme_temperatures_stay_finite(temperature: float) -> None:
    config = TrainingConfig(temperature=temperature, epochs=2, batch_size=32)
    training = train(IMAGES, config)
    assert np.isfinite(training.losses).all()
    assert torch.isfinite(weights(training.encoder)).all()


def test_a_logger_gets_loss_pace_and_what_the_temperature_does(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"epochs": 17})
    begun = time.perf_counter()
    train(IMAGES, config, loggers=[CSVLogger(tmp_path, name="", version="")])
    seconds = time.perf_counter() - begun
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [9, 19, 29, 39, 49]
    took = sum(10 * config.batch_size / float(row["images_per_second"]) for row in rows)
    assert 0 < took < seconds
    assert float(rows[0]["learning_rate"]) > float(rows[-2]["learning_rate"]) > 0
    for row in rows:
        assert float(row["temperature/tau"]) == pytest.approx(0.2)
        assert 1 <= float(row["temperature/effective_negatives"]) <= 30


def test_a_training_is_read_some_twenty_times_or_every_fifty_steps() -> None:
    short, long = (train(IMAGES, CONFIG.model_copy(update={"epochs": n})) for n in (17, 350))
    assert [one["step"] for one in short.readings] == [*range(2, 52, 2)]
    assert [one["step"] for one in long.readings] == [*range(50, 1051, 50)]


def test_a_full_disk_costs_the_new_state_only_and_training_goes_on(tmp_path: Path) -> None:
    limits, warned, left = (
        resource.getrlimit(resource.RLIMIT_FSIZE),
        [],
        tmp_path / ".x.4194999.partial",
    )
    left.write_bytes(b"of a process that was killed")

    def fill(epoch: int, loss: float) -> None:
        if epoch == 3:  # Python ignores SIGXFSZ: writing further fails as on a full disk
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))

    try:
        full = train(IMAGES, CONFIG, checkpoints=tmp_path, on_epoch=fill, on_warning=warned.append)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(warned) == 2
    assert "no checkpoint: cannot write" in warned[0]
    assert "the one before it is kept, training goes on" in warned[0]
    assert "\n" not in warned[0]
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
    assert steps_kept(tmp_path / "last.ckpt", CONFIG) == 2 * 3
    again = train(IMAGES, CONFIG, checkpoints=tmp_path)
    assert again.losses == full.losses


@pytest.mark.parametrize("stopped", [3, 6])
def test_a_run_killed_between_the_last_batch_of_an_epoch_and_its_end_keeps_the_epochs_loss(
    stopped: int, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"epochs": 2})

    class Stop(Exception):
        pass

    def stop(epoch: int, loss: float) -> None:
        if 3 * epoch == stopped:
            raise Stop

    with pytest.raises(Stop):
        train(IMAGES, config, checkpoints=tmp_path, save_every=0, on_epoch=stop)
    resumed = train(IMAGES, config, checkpoints=tmp_path)
    assert resumed.losses == train(IMAGES, config).losses
