"""``temperance diagnose``."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from temperance.cli.given import (
    DEFAULT_DATA,
    console,
    default_folder,
    number,
    progress,
    temperature,
)
from temperance.data import image_files, load_images
from temperance.diagnosis import Diagnosis, checked, diagnosis_of, write_diagnosis
from temperance.diagnosis.files import GIGABYTE, Where, read_embeddings, read_lines, read_vectors
from temperance.errors import InputError
from temperance.integrations.conversion import temperature_from_scale
from temperance.report.diagnosis import Shown, write_diagnosis_report
from temperance.runs import make_folder, remove_partial, write_atomic

HARD_NEGATIVES = "hard_negatives.csv"
DEMO = "demo"
DEMO_TEMPERATURE = 0.07


@dataclass(frozen=True)
class Asked:
    """The command's options as typed; their help is in ``app``."""

    embeddings: str | None
    pairs: str | None
    negatives: str | None
    column: str | None
    pair_column: str | None
    labels: str | None
    temperature: str | None
    logit_scale: str | None
    images: Path | None
    texts: Path | None
    anchors: int | None
    memory: float
    seed: int
    demo: bool


def run_diagnose(asked: Asked, out: Path | None, as_json: bool) -> None:
    """Read, diagnose, write, print."""
    tau = _temperature(asked)
    what, shown = _demo(asked) if asked.demo else _read(asked)
    with _display() as on_rows:
        sizes = [len(x) for x in (what["x"], what["y"], what["negatives"]) if x is not None]
        given = checked(**what, on_rows=lambda rows: on_rows("reading", rows, sum(sizes)))
        _check_shown(shown, len(given.x))
        found = diagnosis_of(given, tau, anchors=asked.anchors, seed=asked.seed, on_rows=on_rows)
    name = DEMO if asked.demo else _stem(str(asked.embeddings))
    folder = make_folder(out or default_folder("diagnose", name))
    remove_partial(folder)
    write_diagnosis(folder, found)
    write_atomic(folder / HARD_NEGATIVES, hard_negatives(found, what["labels"], shown.texts))
    write_diagnosis_report(folder, found, shown, what["labels"])
    if as_json:
        print(found.model_dump_json(by_alias=True, indent=1))
        return
    output = console()
    output.print(str(found), soft_wrap=True)
    output.print(f"\nLook at it:  {folder / 'report.html'}", soft_wrap=True)
    output.print(f"To relabel:  {folder / HARD_NEGATIVES}", soft_wrap=True)


def hard_negatives(found: Diagnosis, labels: Any, texts: Sequence[str] | None) -> str:
    """The ten hardest negatives of every anchor as CSV, suspected false ones first.

    A field that a spreadsheet would take for a formula is written as text.
    """
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    named = labels is not None and found.data.negatives == found.data.rows - 1
    head = ["anchor", "negative", "similarity", "share_of_push", "suspected_false"]
    head += ["anchor_label", "negative_label"] * named + ["anchor_text", "negative_text"] * (
        texts is not None
    )
    table.writerow(head)
    for s in found.suspects:
        row: list[Any] = [s.anchor, s.negative, f"{s.similarity:.6f}", f"{s.share:.6g}"]
        row.append("" if s.false is None else int(s.false))
        if named:
            row += [_plain(labels[s.anchor]), _plain(labels[s.negative])]
        if texts is not None:
            row += [_plain(texts[s.anchor]), _plain(texts[s.negative])]
        table.writerow(row)
    return out.getvalue()


def _plain(value: Any) -> str:
    content = str(value)
    return "'" + content if content.startswith(("=", "+", "-", "@", "\t", "\r")) else content


def _temperature(asked: Asked) -> float | None:
    if asked.temperature is not None and asked.logit_scale is not None:
        raise InputError("--temperature and --logit-scale are both given; give one of them")
    if asked.logit_scale is not None:
        return temperature_from_scale(number("logit-scale", asked.logit_scale))
    if asked.temperature is not None:
        return temperature(asked.temperature)
    return DEMO_TEMPERATURE if asked.demo else None


def _demo(asked: Asked) -> tuple[dict[str, Any], Shown]:
    if asked.embeddings is not None:
        raise InputError(f"--demo takes no file; leave {asked.embeddings} out, or leave --demo out")
    images = load_images(DEFAULT_DATA)
    assert images.labels is not None
    what = {
        "x": images.images.reshape(len(images), -1).astype(np.float32) / 255,
        "y": None,
        "labels": np.array(images.classes)[images.labels],
        "negatives": None,
        "names": ("raw pixels of glyphs", "", ""),
    }
    return what, Shown(pictures=images.images)


def _read(asked: Asked) -> tuple[dict[str, Any], Shown]:
    if asked.embeddings is None:
        raise InputError("no EMBEDDINGS given; give a file such as embeddings.npy, or try --demo")
    if not asked.memory > 0:
        raise InputError(f"--memory {asked.memory:g} is not positive; give gigabytes, such as 2")
    memory = asked.memory * GIGABYTE
    first = read_embeddings(asked.embeddings, asked.column, asked.labels, memory)
    second, pairs = None, asked.pairs
    if pairs is not None or asked.pair_column is not None:
        pairs = pairs or asked.embeddings
        if asked.pairs is None and asked.column is None:
            raise InputError("--pair-column needs --column, so that both are named; give it")
        second = read_vectors(Where(pairs, asked.pair_column, None, memory)).vectors
    negatives = None
    if asked.negatives is not None:
        negatives = read_vectors(Where(asked.negatives, None, None, memory)).vectors
    what = {
        "x": first.vectors,
        "y": second,
        "labels": first.labels,
        "negatives": negatives,
        "names": (
            _named(asked.embeddings, asked.column),
            _named(pairs or "", asked.pair_column),
            asked.negatives or "",
        ),
    }
    return what, Shown(
        files=None if asked.images is None else _image_files(asked.images),
        texts=None if asked.texts is None else read_lines(asked.texts),
    )


def _named(file: str, column: str | None) -> str:
    return file if column is None else f"{file} ({column})"


def _image_files(folder: Path) -> list[Path]:
    found = image_files(folder)
    if not found:
        raise InputError(f"{folder} holds no images; give a folder with one for each row")
    return found


def _check_shown(shown: Shown, rows: int) -> None:
    for name, things in (("--images", shown.files), ("--texts", shown.texts)):
        if things is not None and len(things) != rows:
            raise InputError(
                f"{name} has {len(things)} entries and the embeddings {rows} rows; give one a row"
            )


def _stem(file: str) -> str:
    return file.replace(":", "-").rsplit("/", 1)[-1].rsplit(".", 1)[0]


@contextmanager
def _display() -> Iterator[Any]:
    """A bar with time left for each pass over the rows, on a terminal."""
    bar = progress(
        console(stderr=True), "{task.completed:,.0f} of {task.total:,.0f} rows", "", transient=True
    )
    with bar:
        tasks: dict[str, Any] = {}

        def on_rows(what: str, rows: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], advance=rows)

        yield on_rows
