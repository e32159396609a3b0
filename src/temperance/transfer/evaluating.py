"""Every task, from every start, with every seed: measured one by one, each kept as it ends."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from temperance.data import ImageSet, is_scaled, load_images, split
from temperance.data.annotated import AnnotatedSplits, cut_out, load_annotated
from temperance.encoders import Encoder, load_encoder
from temperance.encoders.files import DESCRIPTION
from temperance.errors import InputError
from temperance.runs import make_folder, read_json, remove_partial
from temperance.transfer.dense import need
from temperance.transfer.detection import Detection
from temperance.transfer.evaluator import Evaluator
from temperance.transfer.frozen import Frozen
from temperance.transfer.labels import FineTuning, supervised
from temperance.transfer.probe import SGDProbe
from temperance.transfer.results import (
    Evaluation,
    Part,
    Settings,
    Start,
    begun_evaluation,
    write_evaluation,
)
from temperance.transfer.segmentation import Segmentation

DENSE: dict[str, type[Detection | Segmentation]] = {
    "detection": Detection,
    "segmentation": Segmentation,
}
TASKS = ("knn", "linear", "linear-sgd", "few-shot", "finetune-1", "finetune-10", *DENSE)

OnPart = Callable[[Part, int, int], None]
OnHead = Callable[[Part, Any, Any, Any], None]


@dataclass(frozen=True)
class Extractor:
    """An extractor that a run has left behind.

    Attributes:
        path: its folder.
        encoder: loaded.
        origin: what it was trained on and how, as its ``encoder.json`` says.
    """

    path: Path
    encoder: Encoder
    origin: dict[str, Any]

    @property
    def temperature(self) -> float | None:
        """τ that it was trained at, or None under a rule."""
        value = self.origin.get("temperature")
        return float(value) if isinstance(value, int | float) else None

    @property
    def kind(self) -> str:
        """What it was trained on and how, but for the seed; its path, if that is not known."""
        how = {k: v for k, v in self.origin.items() if k not in ("seed", "figures")}
        return json.dumps(how, sort_keys=True) if how else str(self.path)


def extractors(paths: list[Path]) -> list[Extractor]:
    """Load extractors; the folder of a sweep stands for all its members.

    Raises:
        InputError: as ``load_encoder``.
    """
    folders: list[Path] = []
    for path in paths:
        members = sorted(p.parent for p in (path / "members").glob(f"*/{DESCRIPTION}"))
        folders += members or [path if path.is_dir() else path.parent]
    return [
        Extractor(p, load_encoder(p), read_json(p / DESCRIPTION).get("origin", {})) for p in folders
    ]


def evaluate(
    found: list[Extractor],
    tasks: list[str],
    settings: Settings,
    folder: Path,
    *,
    seeds: int = 1,
    with_supervised: bool = False,
    root: Path | None = None,
    on_part: OnPart = lambda part, done, total: None,
    on_head: OnHead = lambda part, head, train, test: None,
) -> Evaluation:
    """Measure what extractors are good for, beside random weights and, if asked, supervised pretraining.

    Random and supervised starts have the shape of the first extractor. What the folder holds already is not
    measured again.

    Args:
        found: the extractors.
        tasks: names out of ``TASKS``.
        settings: data, steps, frozen.
        folder: where ``evaluation.json`` is kept.
        seeds: how often each is measured. Extractors that differ in their seed only are measured with heads
            of seeds of their own, and random and supervised starts as many times.
        with_supervised: whether to compare with pretraining by labels, for as many steps as the first
            extractor's.
        root: where downloads and scenes are kept.
        on_part: called with each part that ends, how many have, and how many there are.
        on_head: called before a part is kept, with the fitted head, what it learned from, and what is held
            out.

    Raises:
        InputError: if a task, the data or the folder cannot be used, or a library for it is missing.
    """
    for task in tasks:
        if task not in TASKS:
            raise InputError(f"task {task!r} is unknown; give some of {', '.join(TASKS)}")
        if task in DENSE:
            need(*DENSE[task].needed)
    make_folder(folder)
    evaluation = begun_evaluation(folder, settings)
    remove_partial(folder)
    done = {part.key for part in evaluation.parts}
    first = found[0]
    data = _data(first, tasks, settings, root)
    plan = list(_plan(found, tasks, seeds, with_supervised))
    learned: dict[int, Encoder] = {}
    for number, (task, start, one, seed) in enumerate(plan, 1):
        name = str(one.path) if start == "pretrained" else ""
        if (task, start, name, seed) in done:
            continue
        if start == "supervised" and seed not in learned:
            learned[seed] = _supervised(one, root, seed)
        encoder = one.encoder
        if start == "random":
            encoder = _random(one, seed)
        elif start == "supervised":
            encoder = learned[seed]
        begun = time.perf_counter()
        train, test = data[task in DENSE]
        head = _evaluator(task, encoder, seed, settings).fit(train)
        score = head.score(test)
        part = Part(
            task=task,
            start=start,
            extractor=name,
            temperature=one.temperature if start == "pretrained" else None,
            seed=seed,
            seconds=round(time.perf_counter() - begun, 2),
            metrics=dict(score.metrics),
            per_class=dict(score.per_class),
        )
        on_head(part, head, train, test)
        evaluation.parts.append(part)
        write_evaluation(folder, evaluation)
        on_part(part, number, len(plan))
    return evaluation


def _plan(
    found: list[Extractor], tasks: list[str], seeds: int, with_supervised: bool
) -> Iterator[tuple[str, Start, Extractor, int]]:
    """Extractors that differ in their seed alone get heads of seeds of their own, other starts as many."""
    alike: dict[str, list[Extractor]] = {}
    for one in found:
        alike.setdefault(one.kind, []).append(one)
    most = max(map(len, alike.values()))
    for round_ in range(seeds):
        for task in tasks:
            for group in alike.values():
                for place, one in enumerate(group):
                    yield task, "pretrained", one, round_ * len(group) + place
            for seed in range(round_ * most, (round_ + 1) * most):
                yield task, "random", found[0], seed
                if with_supervised:
                    yield task, "supervised", found[0], seed


def _evaluator(task: str, encoder: Encoder, seed: int, settings: Settings) -> Evaluator[Any]:
    steps: dict[str, Any] = {} if settings.steps is None else {"steps": settings.steps}
    if task in DENSE:
        return DENSE[task](encoder, seed=seed, frozen=settings.frozen, **steps)
    if task == "linear-sgd":
        return SGDProbe(encoder, seed=seed)
    if task.startswith("finetune-"):
        share = int(task.removeprefix("finetune-")) / 100
        return FineTuning(encoder, share=share, seed=seed, **steps)
    return Frozen(encoder, task, seed)


def _data(
    first: Extractor, tasks: list[str], settings: Settings, root: Path | None
) -> dict[bool, tuple[Any, Any]]:
    """What dense tasks (True) and classification (False) learn from and are measured on."""
    data: dict[bool, tuple[Any, Any]] = {}
    pictures: AnnotatedSplits | None = None
    if settings.pictures is not None:
        pictures = load_annotated(settings.pictures, root)
        data[True] = pictures.train, pictures.test
    if any(task not in DENSE for task in tasks):
        spec = first.encoder.spec
        if settings.images is not None:
            data[False] = _images(settings.images, first.encoder, root)
        else:
            assert pictures is not None
            data[False] = (
                cut_out(pictures.train, spec.size, spec.channels),
                cut_out(pictures.test, spec.size, spec.channels),
            )
    return data


def _images(name: str, encoder: Encoder, root: Path | None) -> tuple[ImageSet, ImageSet]:
    spec = encoder.spec
    images = load_images(name, spec.size if is_scaled(name) else None, root)
    if images.size != spec.size or images.channels > spec.channels:
        raise InputError(
            f"the extractor takes images of {spec.channels} × {spec.size} × {spec.size}, and those of {name} "
            f"are {images.channels} × {images.size} × {images.size}; give others with --data"
        )
    parts = split(images)
    return _rows(images, parts.train, spec.channels), _rows(images, parts.test, spec.channels)


def _rows(images: ImageSet, rows: Any, channels: int) -> ImageSet:
    return ImageSet(
        images.name,
        images.images[rows].repeat(channels // images.channels, axis=1),
        None if images.labels is None else images.labels[rows],
        images.classes,
    )


def _random(one: Extractor, seed: int) -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoder(one.encoder.spec).eval()


def _supervised(one: Extractor, root: Path | None, seed: int) -> Encoder:
    origin = one.origin
    if "data" not in origin:
        raise InputError(
            f"{one.path} does not say what it was trained on: --supervised has no labels; leave it out"
        )
    train, _ = _images(str(origin["data"]), one.encoder, root)
    batch = min(int(origin.get("batch_size", 256)), len(train))
    steps = int(origin.get("steps") or int(origin.get("epochs", 1)) * (len(train) // batch))
    return supervised(
        one.encoder, train, steps=steps, seed=seed, recipe=str(origin.get("views", "default"))
    )
