"""One member of a sweep: an extractor trained at one temperature with one seed, measured and kept."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from temperance.data import ImageSet, Splits, Views
from temperance.encoders import Encoder, embed, load_encoder, save_encoder
from temperance.errors import InputError
from temperance.geometry import Geometry, describe, neighbour_consistency
from temperance.methods import Recipe, Training, TrainingConfig, train, untrained, views_of
from temperance.runs import make_folder, read_json, remove_partial, write_atomic, write_json
from temperance.runs.results import Accuracies, Baseline, Baselines, Run, Spaces
from temperance.transfer import correctness

MEMBER = "member.json"
ARRAYS = "arrays.safetensors"
# Views of the held-out images are the same for every member.
HELD_OUT_VIEWS = 0
RUNG_ROWS = 1500

Arrays = dict[str, np.ndarray]


def member_name(config: TrainingConfig) -> str:
    """The folder of a member, such as ``t0.2-s0``, or ``cosine-0.1-1-s0`` under a rule."""
    rule = config.temperature
    name = f"t{rule:.12g}" if isinstance(rule, float) else re.sub(r"[:,\s]+", "-", rule)
    return f"{name}-s{config.seed}"


def finished_member(folder: Path) -> Run | None:
    """The member in a folder, if it was finished; its ``member.json`` is written last.

    Raises:
        InputError: if it was finished and has been damaged since.
    """
    if not (folder / MEMBER).exists():
        return None
    try:
        run = Run.model_validate(read_json(folder / MEMBER))
        member_arrays(folder)
        load_encoder(folder)
    except (InputError, OSError, SafetensorError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{folder} is damaged ({reason}); delete it and give the same command again"
        ) from error
    return run


def member_arrays(folder: Path) -> Arrays:
    """What a member keeps image by image.

    ``projection``, ``view_a`` and ``view_b`` of the validation images (float16), their
    ``neighbour_consistency``, and ``SPLIT.SPACE.METRIC``, how often each image is classified rightly; and
    ``readings.NAME``, what τ did on the way; see ``Training``.
    """
    arrays: Arrays = load_file(folder / ARRAYS)
    return arrays


def take_member(source: Path, folder: Path) -> Run:
    """Make a finished member the member of another folder; its ``member.json`` is written last.

    Args:
        source: the folder of a finished member.
        folder: made if need be.

    Raises:
        InputError: if the source is not finished or was damaged, or the folder cannot be written to.
    """
    run = finished_member(source)
    if run is None:
        raise InputError(f"{source} is not finished; give the same command again")
    run = run.model_copy(update={"folder": folder.name})
    write_member(folder, run, member_files(source))
    return run


def member_files(folder: Path) -> dict[str, bytes]:
    """What a member consists of, beside its ``member.json``."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MEMBER}


def write_member(folder: Path, run: Run, files: dict[str, bytes]) -> None:
    """Fill a member's folder; its ``member.json`` is written last.

    Args:
        folder: made if need be.
        run: what ``member.json`` is to say.
        files: as ``member_files`` gives them.

    Raises:
        InputError: if the folder cannot be written to.
    """
    remove_partial(make_folder(folder))
    for name, content in files.items():
        write_atomic(folder / name, content)
    write_json(folder / MEMBER, run.model_dump())


def run_member(
    images: ImageSet,
    parts: Splits,
    config: TrainingConfig,
    folder: Path,
    *,
    on_epoch: Callable[[int, float], None] = lambda epoch, loss: None,
) -> Run:
    """Train an extractor, measure it on held-out images, and keep it in a folder.

    Args:
        images: the whole set.
        parts: its splits; only ``train`` is trained on, without labels unless the method needs them.
        config: method, temperature, seed and epochs.
        folder: made, and filled by ``keep_member``.
        on_epoch: see ``temperance.methods.train``.
    """
    begun = time.perf_counter()
    training = train_on(images, parts, config, on_epoch=on_epoch)
    return keep_member(images, parts, config, training, folder, time.perf_counter() - begun)


def train_on(images: ImageSet, parts: Splits, config: TrainingConfig, **options: Any) -> Training:
    """Train on the training split; further options are those of ``temperance.methods.train``."""
    rows = parts.train
    return train(
        images.images[rows],
        config,
        labels=None if images.labels is None else images.labels[rows],
        partners=None if images.partners is None else images.partners[rows],
        **options,
    )


def keep_member(
    images: ImageSet,
    parts: Splits,
    config: TrainingConfig,
    training: Training,
    folder: Path,
    seconds: float,
) -> Run:
    """Measure an extractor on held-out images, and keep it in a folder.

    Args:
        images: the whole set.
        parts: its splits.
        config: with which it was trained.
        training: what came of it.
        folder: made, and filled with the extractor, its arrays and at last ``member.json``.
        seconds: that training took.
    """
    begun, rule = time.perf_counter(), config.temperature
    remove_partial(make_folder(folder))
    geometry, arrays = _held_out_geometry(images, parts, config, training)
    right = _right(images, parts, _spaces(images, training.encoder))
    run = Run(
        temperature=training.temperature if isinstance(rule, str) else rule,
        rule=rule if isinstance(rule, str) else None,
        seed=config.seed,
        epochs=config.epochs,
        seconds=round(seconds + time.perf_counter() - begun, 3),
        folder=folder.name,
        losses=training.losses,
        validation=_accuracies(right, "validation"),
        test=_accuracies(right, "test"),
        geometry=geometry,
    )
    figures = run.model_dump(include={"validation", "test", "geometry"})
    save_encoder(
        training.encoder, folder, {"data": images.name, **config.model_dump(), "figures": figures}
    )
    write_atomic(folder / ARRAYS, save(arrays | right | _readings(training)))
    write_json(folder / MEMBER, run.model_dump())
    return run


def measure_rung(
    images: ImageSet, parts: Splits, config: TrainingConfig, metric: str
) -> tuple[float, float]:
    """Train as long as asked, and measure one accuracy on validation images; nothing is kept.

    The head learns from, and is asked about, at most ``RUNG_ROWS`` images each, the same at every
    temperature: measuring must not cost what a short training saves.

    Args:
        images: the whole set, with labels.
        parts: its splits.
        config: temperature, seed and epochs.
        metric: such as ``features.linear_accuracy``.

    Returns:
        The accuracy, and the seconds that all took.
    """
    begun = time.perf_counter()
    encoder = train_on(images, parts, config).encoder
    assert images.labels is not None
    random = np.random.default_rng(0)
    learned, asked = (
        np.sort(random.permutation(rows)[:RUNG_ROWS]) for rows in (parts.train, parts.validation)
    )
    space, head = metric.split(".")
    points = [
        getattr(embed(encoder, torch.from_numpy(images.images[rows])), space).numpy()
        for rows in (learned, asked)
    ]
    right = correctness(
        (points[0], images.labels[learned]),
        {"validation": (points[1], images.labels[asked])},
        [head],
    )
    return float(right["validation"][head].mean(dtype=np.float64)), time.perf_counter() - begun


def measure_baselines(images: ImageSet, parts: Splits, recipe: Recipe, seeds: int) -> Baselines:
    """What raw pixels and untrained encoders reach on the same splits with the same heads."""
    pixels = images.images.reshape(len(images), -1).astype(np.float32) / 255
    raw = _right(images, parts, {"features": pixels})
    fresh = [
        _right(images, parts, _spaces(images, untrained(images.images[parts.train], seed, recipe)))
        for seed in range(seeds)
    ]
    mean = {name: np.mean([arrays[name] for arrays in fresh], axis=0) for name in fresh[0]}
    return Baselines(
        raw_pixels=Baseline(
            validation=_accuracies(raw, "validation", projection=False),
            test=_accuracies(raw, "test", projection=False),
        ),
        untrained=Baseline(
            validation=_accuracies(mean, "validation"), test=_accuracies(mean, "test")
        ),
    )


def _readings(training: Training) -> Arrays:
    """By name, those that every reading has."""
    if not training.readings:
        return {}
    names = set.intersection(*(set(one) for one in training.readings))
    return {
        f"readings.{name}": np.array([one[name] for one in training.readings], np.float32)
        for name in sorted(names)
    }


def _spaces(images: ImageSet, encoder: Encoder) -> Arrays:
    embeddings = embed(encoder, torch.from_numpy(images.images))
    return {
        "features": embeddings.features.numpy(),
        "projection": embeddings.projection.numpy(),
    }


def _right(images: ImageSet, parts: Splits, spaces: Arrays) -> dict[str, Float32[np.ndarray, " n"]]:
    labels = images.labels
    if labels is None:
        return {}
    held_out = {"validation": parts.validation, "test": parts.test}
    found: Arrays = {}
    for space, points in spaces.items():
        right = correctness(
            (points[parts.train], labels[parts.train]),
            {split: (points[rows], labels[rows]) for split, rows in held_out.items()},
        )
        for split, metrics in right.items():
            found |= {f"{split}.{space}.{metric}": x for metric, x in metrics.items()}
    return found


def _accuracies(right: Arrays, split: str, *, projection: bool = True) -> Spaces:
    def of(space: str) -> Accuracies:
        prefix = f"{split}.{space}."
        return Accuracies(
            **{
                name.removeprefix(prefix): float(x.mean(dtype=np.float64))
                for name, x in right.items()
                if name.startswith(prefix)
            }
        )

    return Spaces(features=of("features"), projection=of("projection") if projection else None)


def _held_out_geometry(
    images: ImageSet, parts: Splits, config: TrainingConfig, training: Training
) -> tuple[Geometry, Arrays]:
    encoder, temperature = training.encoder, training.temperature
    held_out = torch.from_numpy(images.images[parts.validation])
    recipe = views_of(config, images.channels)
    views = Views(images.channels, images.size, recipe).pair(held_out, HELD_OUT_VIEWS)
    plain, view_a, view_b = (embed(encoder, x).projection for x in (held_out, *views))
    labels = None if images.labels is None else torch.from_numpy(images.labels[parts.validation])
    space = describe(plain, view_a, view_b, temperature, labels)
    arrays = {
        "projection": plain.half().numpy(),
        "view_a": view_a.half().numpy(),
        "view_b": view_b.half().numpy(),
        "neighbour_consistency": neighbour_consistency(view_a, view_b).numpy(),
    }
    return space, arrays
