"""What a loss needs above its inputs: measured in a fresh process, and estimated before it is asked for."""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from temperance.speed.case import Case
from temperance.speed.implementations import IMPLEMENTATIONS, Implementation
from temperance.speed.timing import step, wait

# Copies of the vectors that are held beside the inputs: gradients, normalised vectors, gradients of those.
COPIES = 6
# Where threads and libraries have taken what they keep: the sizes of the call before the one that counts.
WARM, WARM_QUEUE = 2048, 16384


def needed_bytes(implementation: Implementation, case: Case) -> int:
    """About how much memory a step takes, its inputs included.

    Example:
        >>> needed_bytes(IMPLEMENTATIONS[1], Case("info_nce", 100_000, 128)) // 10**9
        120
    """
    rows = case.rows if case.loss == "nt_xent" else 2 * case.rows
    vectors = (rows + case.queue) * case.width
    return int(4 * (implementation.holds[case.loss](case) + (1 + COPIES) * vectors))


def free_bytes(device: torch.device) -> int | None:
    """Memory that can still be taken on a device; None where the system does not tell."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    found = [_available(Path("/proc/meminfo")), _limit(Path("/sys/fs/cgroup/memory.max"))]
    known = [x for x in found if x is not None]
    if not known and "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        known = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    return min(known, default=None)


def _available(path: Path) -> int | None:
    return _kilobytes(path, "MemAvailable") * 1024 if path.exists() else None


def _limit(path: Path) -> int | None:
    """Of a container."""
    text = path.read_text().strip() if path.exists() else "max"
    return None if text == "max" else int(text)


def shortage(implementation: Implementation, case: Case, device: torch.device) -> str | None:
    """Why a step would not fit the memory, or None."""
    needed, free = needed_bytes(implementation, case), free_bytes(device)
    if free is None or needed <= free:
        return None
    return f"needs {_size(needed)}, {_size(free)} are free"


def _size(count: int) -> str:
    return f"{count / 1e9:,.0f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


def peak_bytes(case: Case, name: str, tau: float, device: torch.device) -> int | None:
    """The peak of one step in a fresh process above what the inputs take.

    Gradients and normalised copies count. None where the system does not tell, or where the process was
    ended.
    """
    if device.type == "cpu" and not Path("/proc/self/clear_refs").exists():
        return None
    if device.type == "cuda":
        torch.cuda.empty_cache()  # the fresh process needs what this one only keeps
    what = json.dumps([asdict(case), name, tau, str(device)])
    command = "from temperance.speed.memory import report; report()"
    done = subprocess.run(
        [sys.executable, "-c", command, what], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return None
    found: int | None = json.loads(done.stdout.splitlines()[-1])
    return found


def report() -> None:
    """In the fresh process: measure, and print the bytes."""
    given, name, tau, where = json.loads(sys.argv[1])
    case, device = Case(**given), torch.device(where)
    (implementation,) = [x for x in IMPLEMENTATIONS if x.name == name]
    loss = implementation.loss(case.loss)
    step(loss, case.small(WARM, WARM_QUEUE), tau, device)()
    print(json.dumps(peak_above(step(loss, case, tau, device), device)))


def peak_above(run: Callable[[], None], device: torch.device) -> int | None:
    """How far memory rises during a run above what is held now, in bytes; None where that cannot be told."""
    if device.type == "cuda":
        wait(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        wait(device)
        return torch.cuda.max_memory_allocated(device) - before
    _give_back()
    status = Path("/proc/self/status")
    try:
        before = _kilobytes(status, "VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    except OSError:
        return None
    run()
    return (_kilobytes(status, "VmHWM") - before) * 1024


def _give_back() -> None:
    """What was freed and is still kept would hide as much of what is taken next."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def _kilobytes(path: Path, field: str) -> int:
    return int(path.read_text().split(field + ":")[1].split()[0])
