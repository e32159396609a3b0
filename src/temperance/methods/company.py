"""The processes of one run on one machine: none goes on, or waits, when another has ended."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist
from lightning.fabric.utilities.distributed import _set_num_threads_if_needed
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from temperance.errors import InputError

# The process that started this one, in the environment.
STARTER = "TEMPERANCE_STARTER"
# Seconds between two looks at the others, and until one that waits for them in vain is ended.
LOOK_EVERY, PATIENCE = 0.5, 15.0


class Company(DDPStrategy):
    """Data-parallel processes; those that the first one started end with it, and it with them.

    Lightning kills what is left as soon as it sees that one has ended. Here whoever learns of it by a broken
    connection may say so first.
    """

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = _Launcher(self.cluster_environment, self.num_processes, self.num_nodes)


class _Launcher(_SubprocessScriptLauncher):
    def launch(
        self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any
    ) -> Any:
        self.cluster_environment.validate_settings(self.num_processes, self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            os.environ[STARTER] = str(os.getpid())
            self._call_children_scripts()
        _set_num_threads_if_needed(num_processes=self.num_processes)
        ended = threading.Event()
        threading.Thread(target=_watch, args=(self.procs, ended), daemon=True).start()
        try:
            return function(*args, **kwargs)
        except BaseException:
            self.kill(signal.SIGKILL)
            for process in self.procs:
                process.wait()
            raise
        finally:
            ended.set()


def _watch(started: list[subprocess.Popen[bytes]], ended: threading.Event) -> None:
    """End this process if it waits, uninterruptibly, for one that is no more."""
    starter = None if started else os.environ.get(STARTER)
    while not ended.wait(LOOK_EVERY):
        orphan = starter is not None and os.getppid() != int(starter)
        if orphan or any(process.poll() for process in started):
            break
    if not ended.wait(PATIENCE):
        for process in started:
            process.kill()
        print(f"temperance: {_left('it was waited for in vain')}", file=sys.stderr, flush=True)
        os._exit(2)


@contextmanager
def in_company() -> Iterator[None]:
    """Where one of several processes ends, the others learn of it by a broken connection.

    Raises:
        InputError: then.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        reason = str(error).splitlines()[0].partition(". ")[0].rpartition("] ")[2]
        raise InputError(_left(reason)) from error


def _left(reason: str) -> str:
    return (
        f"another process of this run has ended ({reason}); what was finished is kept: the same command goes "
        "on with it"
    )
