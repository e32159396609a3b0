"""What the runs of a sweep are worked on by; here single-threaded processes, one a core.

Runs of small networks gain little from threads within each, and lose much to them; whole runs side by side
use every core, and one thread each makes the numbers the same whatever the number of workers.
"""

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from threadpoolctl import threadpool_limits

from temperance.data import ImageSet, Splits
from temperance.errors import InputError
from temperance.methods import Recipe, TrainingConfig
from temperance.runs.results import Baselines, Run
from temperance.search.member import measure_baselines, measure_rung, run_member

POLL = 0.2
T = TypeVar("T")


class Workers(Protocol):
    """The workers of one sweep, which hold its data."""

    @property
    def epochs_finished(self) -> int:
        """Epochs that all workers have finished so far."""

    def member(self, config: TrainingConfig, folder: Path) -> "Future[Run]":
        """Train and measure one member, and keep it in a folder of this machine."""

    def rung(self, config: TrainingConfig, metric: str) -> "Future[tuple[float, float]]":
        """Train a while and measure one accuracy; with it the seconds that took."""

    def baselines(self, recipe: Recipe, seeds: int) -> "Future[Baselines]":
        """Measure raw pixels and untrained encoders."""


@dataclass(frozen=True)
class Executor:
    """Where the runs of a sweep are worked on; no number depends on it.

    Attributes:
        name: as ``--executor`` calls it.
        count: of runs at a time.
        begin: starts so many workers, or fewer, with the data that they hold; when its block ends, however it
            ends, they are gone.
    """

    name: str
    count: int
    begin: Callable[[int, ImageSet, Splits], AbstractContextManager[Workers]]


def local(count: int) -> Executor:
    """So many processes of this machine."""
    return Executor("local", count, processes)


class Processes:
    """The processes of one sweep on this machine; see ``Workers``.

    Args:
        pool: the processes.
        epochs: how many epochs all of them have finished, counted by themselves.
    """

    def __init__(self, pool: ProcessPoolExecutor, epochs: "Synchronized[int]") -> None:
        self._pool = pool
        self._epochs = epochs

    @property
    def epochs_finished(self) -> int:
        """As they count themselves."""
        return self._epochs.value

    def member(self, config: TrainingConfig, folder: Path) -> "Future[Run]":
        """The process writes the folder."""
        with _interrupts_blocked():
            return self._pool.submit(_member, config, folder)

    def rung(self, config: TrainingConfig, metric: str) -> "Future[tuple[float, float]]":
        """Nothing is kept."""
        with _interrupts_blocked():
            return self._pool.submit(_rung, config, metric)

    def baselines(self, recipe: Recipe, seeds: int) -> "Future[Baselines]":
        """Nothing is kept."""
        with _interrupts_blocked():
            return self._pool.submit(_baselines, recipe, seeds)


@contextmanager
def processes(count: int, images: ImageSet, parts: Splits) -> Iterator[Workers]:
    """Start worker processes; when the block ends, however it ends, they are gone."""
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    epochs = context.Value("q", 0)
    shared = _written((images, parts))
    pool = ProcessPoolExecutor(
        count, mp_context=context, initializer=_begin, initargs=(shared, epochs)
    )
    try:
        yield Processes(pool, epochs)
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process was ended from outside, perhaps for want of memory; what was finished is "
            "kept: give the same command again, with fewer --workers if memory is short"
        ) from error
    finally:
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        shared.unlink(missing_ok=True)


def _written(data: tuple[ImageSet, Splits]) -> Path:
    """The data in a file of this sweep's own, for the workers to read.

    Through the pipe of a process that is ended while it starts, more than a pipe holds would wait for ever.
    """
    path = Path()
    try:
        with tempfile.NamedTemporaryFile(prefix="temperance-", delete=False) as file:
            path = Path(file.name)
            pickle.dump(data, file)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise InputError(
            f"cannot write {path}: {error.strerror}; free some space in {tempfile.gettempdir()}"
        ) from error
    return path


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Ctrl-C goes to the whole terminal, but the parent alone decides what it means.

    A process begun here inherits the block, so that it is deaf from its first instruction on; what comes
    meanwhile waits for the parent.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def as_finished(futures: set["Future[T]"], tick: Callable[[], None]) -> Iterator["Future[T]"]:
    """Futures as they finish, with a tick several times a second meanwhile."""
    while futures:
        done, futures = wait(futures, timeout=POLL, return_when=FIRST_COMPLETED)
        tick()
        yield from done


def single_threaded() -> None:
    """Hold this process to one thread."""
    torch.set_num_threads(1)
    threadpool_limits(1)


_images: ImageSet
_parts: Splits
_epochs: "Synchronized[int]"


def _begin(shared: Path, epochs: "Synchronized[int]") -> None:
    global _images, _parts, _epochs
    with shared.open("rb") as file:
        _images, _parts = pickle.load(file)
    _epochs = epochs
    single_threaded()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _member(config: TrainingConfig, folder: Path) -> Run:
    def count(epoch: int, loss: float) -> None:
        with _epochs.get_lock():
            _epochs.value += 1

    return run_member(_images, _parts, config, folder, on_epoch=count)


def _rung(config: TrainingConfig, metric: str) -> tuple[float, float]:
    return measure_rung(_images, _parts, config, metric)


def _baselines(recipe: Recipe, seeds: int) -> Baselines:
    return measure_baselines(_images, _parts, recipe, seeds)
