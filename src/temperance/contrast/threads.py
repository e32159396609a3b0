"""Work spread over a few threads, each of which runs its operations on one core.

Many small operations of several threads each spend their time on starting and joining; a few threads that
each run whole tiles by themselves keep every core busy. Python lets go of its lock inside each operation.

Numbers too small to be normal count as zero in those threads: they are far below what a sum would keep, and
with them clip and nt_xent took eight times as long at τ = 0.01 on an Intel Xeon.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import TypeVar

import torch

T = TypeVar("T")


# A matrix this small is done before threads have found together.
SMALL = 1 << 21


def at_once(entries: int, device: torch.device) -> bool:
    """Whether so many entries are best left to few operations, which torch spreads over all cores."""
    return device.type != "cpu" or entries <= SMALL


def workers_for(entries: int, device: torch.device) -> int:
    """How many threads share a matrix of so many entries."""
    return 1 if at_once(entries, device) else torch.get_num_threads()


def in_threads(work: Callable[[int, int], T], workers: int, device: torch.device) -> list[T]:
    """Call ``work(worker, workers)`` for each worker; the results in order of workers.

    Without gradients and without autocast, whatever the caller has set. Results depend on the number of
    workers only.

    Args:
        work: takes the worker's number and the number of workers.
        workers: from ``workers_for``.
        device: on which the tensors lie.
    """
    if workers == 1:
        # With threads of its own torch might start them in here, and they would stay as this one is now.
        alone = torch.get_num_threads() == 1
        with torch.no_grad(), _without_subnormals() if alone else nullcontext():
            if not torch.is_autocast_enabled(device.type):
                return [work(0, 1)]
            with torch.autocast(device.type, enabled=False):
                return [work(0, 1)]

    inference = torch.is_inference_mode_enabled()

    def quiet(worker: int) -> T:
        # A thread begins with gradients on, and autocast and inference mode off.
        with torch.inference_mode(inference), torch.no_grad():
            return work(worker, workers)

    return list(_pool(workers).map(quiet, range(workers)))


class Turns:
    """Blocks that threads take as they are free, and that come to shared places one after another.

    What is added up at a place, in the order of the blocks, does not depend on which thread was first.
    """

    def __init__(self, blocks: int, places: int) -> None:
        self._numbers = iter(range(blocks))
        self._next = [0] * places
        self._changed = threading.Condition()
        self._failed = False

    def each(self, work: Callable[[int], T]) -> dict[int, T]:
        """Do blocks that no other thread has, until none is left; what came of them, by number.

        Args:
            work: takes the number of a block, which must come to all the places that are used.
        """
        found = {}
        try:
            for i in self._numbers:
                if self._failed:
                    break
                found[i] = work(i)
        except BaseException:  # Others would wait for a block that never comes.
            with self._changed:
                self._failed = True
                self._changed.notify_all()
            raise
        return found

    @contextmanager
    def at(self, place: int, block: int) -> Iterator[None]:
        """Wait until all blocks before this one have been at the place."""
        with self._changed:
            self._changed.wait_for(lambda: self._failed or self._next[place] == block)
        yield
        with self._changed:
            self._next[place] += 1
            self._changed.notify_all()


@contextmanager
def _without_subnormals() -> Iterator[None]:
    """In this thread alone, and as it was afterwards; torch sets it but does not tell."""
    smallest = sys.float_info.min
    already = smallest / 2 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    begun = threading.Barrier(workers + 1)

    def begin() -> None:
        torch.set_flush_denormal(True)
        torch.set_num_threads(1)
        torch.get_num_threads()  # only now is the number this thread's own
        begun.wait()

    pool = ThreadPoolExecutor(workers, thread_name_prefix="contrast", initializer=begin)
    for _ in range(workers):
        pool.submit(lambda: None)
    begun.wait()
    torch.set_num_threads(workers)  # the number set last is that of every thread begun later
    return pool
