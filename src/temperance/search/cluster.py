"""Workers on a Ray cluster: one that runs already, or one started for the sweep on this machine.

Each run is a Ray task of one CPU and one thread. The machines of a cluster share no folder: what a run leaves
comes back as bytes, and the process that gives out the runs writes it.
"""

import logging
import os
import pickle
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from temperance.data import ImageSet, Splits
from temperance.errors import InputError
from temperance.methods import Recipe, TrainingConfig
from temperance.runs.results import Baselines, Run
from temperance.search.member import (
    measure_baselines,
    measure_rung,
    member_files,
    run_member,
    write_member,
)
from temperance.search.workers import POLL, Executor, Workers, single_threaded

if TYPE_CHECKING:
    import ray

# How often a run is begun again whose worker was lost.
RETRIES = 3
# Seconds that a cluster has to answer.
PATIENCE = 10
T = TypeVar("T")


@contextmanager
def cluster(count: int | None) -> Iterator[Executor]:
    """Connect with a Ray cluster, or start one on this machine's cores.

    Which cluster is for Ray to say: the one that this process is connected with, that of ``RAY_ADDRESS``, the
    one last started on this machine; if there is none, one is started, and ended with the block.

    Args:
        count: of runs at a time; as many as the cluster has CPUs unless given.

    Raises:
        InputError: if Ray is not installed, or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "--executor ray needs Ray; install it with: pip install 'temperance[ray]'"
        ) from error
    connected = ray.is_initialized()
    if not connected:
        try:
            _knock(os.environ.get("RAY_ADDRESS", ""))
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"no Ray cluster can be reached or started ({reason}); start yours, or unset RAY_ADDRESS "
                "to work on this machine"
            ) from error
    # Ray says on standard output what it has lost, at the end too; there stand results.
    with redirect_stdout(sys.stderr):
        try:
            resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
            yield Executor("ray", count or int(resources.get("CPU", 1)), _begin)
        finally:
            if not connected:
                ray.shutdown()


def _knock(address: str) -> None:
    """See that somebody listens at HOST:PORT; Ray would try in silence for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and "://" not in address:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()


@contextmanager
def _begin(count: int, images: ImageSet, parts: Splits) -> Iterator[Workers]:
    import ray

    class Epochs:  # in here, so that its process loads no more than Ray
        """How many epochs each run has finished; one that is begun again counts anew."""

        def __init__(self) -> None:
            self.finished: dict[str, int] = {}

        def note(self, name: str, epoch: int) -> None:
            self.finished[name] = epoch

        def total(self) -> int:
            return sum(self.finished.values())

    # As bytes: arrays in Ray's store cannot be written to, which PyTorch warns of.
    data = ray.put(pickle.dumps((images, parts)))
    epochs: Any = ray.remote(num_cpus=0, max_restarts=-1)(Epochs).remote()
    tasks = Tasks(count, data, epochs)
    try:
        yield tasks
    except ray.exceptions.RayError as error:
        raise InputError(
            f"the Ray cluster lost a run {RETRIES + 1} times, or itself ({str(error).splitlines()[0]}); what "
            "was finished is kept: give the same command again, with more memory if that was short"
        ) from error
    finally:
        tasks.end()


class Tasks:
    """The Ray tasks of one sweep; see ``temperance.search.workers.Workers``.

    Args:
        count: of tasks at a time.
        data: images and splits, pickled.
        epochs: the actor that hears of each epoch.
    """

    def __init__(self, count: int, data: "ray.ObjectRef[bytes]", epochs: Any) -> None:
        self._threads = ThreadPoolExecutor(count)  # one waits for each task
        self._data = data
        self._epochs = epochs
        self._finished = 0
        self._running: set[ray.ObjectRef[Any]] = set()
        self._ended = False

    @property
    def epochs_finished(self) -> int:
        """As last heard of."""
        import ray

        with suppress(ray.exceptions.RayError):  # the actor is busy, or begun again elsewhere
            self._finished = ray.get(self._epochs.total.remote(), timeout=POLL)
        return self._finished

    def member(self, config: TrainingConfig, folder: Path) -> "Future[Run]":
        """The folder is written by this process."""

        def work() -> Run:
            run, files = self._answer(_member, config, folder.name, self._epochs)
            write_member(folder, run, files)
            return run

        return self._threads.submit(work)

    def rung(self, config: TrainingConfig, metric: str) -> "Future[tuple[float, float]]":
        """Nothing is kept."""
        return self._threads.submit(self._answer, _rung, config, metric)

    def baselines(self, recipe: Recipe, seeds: int) -> "Future[Baselines]":
        """Nothing is kept."""
        return self._threads.submit(self._answer, _baselines, recipe, seeds)

    def end(self) -> None:
        """Stop whatever runs."""
        import ray

        self._ended = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for task in list(self._running):
            ray.cancel(task, force=True)
        self._threads.shutdown(wait=True)

    def _answer(self, work: Callable[..., T], *arguments: Any) -> T:
        import ray

        remote = ray.remote(num_cpus=1, max_retries=RETRIES)(work)
        task = remote.remote(self._data, *arguments)
        self._running.add(task)
        if self._ended:  # too late to be seen there
            ray.cancel(task, force=True)
        try:
            answer: T = ray.get(task)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        finally:
            self._running.discard(task)
        return answer


def _taken(data: bytes) -> tuple[ImageSet, Splits]:
    single_threaded()
    images, parts = pickle.loads(data)
    return images, parts


def _member(
    data: bytes, config: TrainingConfig, name: str, epochs: Any
) -> tuple[Run, dict[str, bytes]]:
    def count(epoch: int, loss: float) -> None:
        epochs.note.remote(name, epoch)

    images, parts = _taken(data)
    with TemporaryDirectory(prefix="temperance-") as place:
        folder = Path(place) / name
        run = run_member(images, parts, config, folder, on_epoch=count)
        return run, member_files(folder)


def _rung(data: bytes, config: TrainingConfig, metric: str) -> tuple[float, float]:
    return measure_rung(*_taken(data), config, metric)


def _baselines(data: bytes, recipe: Recipe, seeds: int) -> Baselines:
    return measure_baselines(*_taken(data), recipe, seeds)
