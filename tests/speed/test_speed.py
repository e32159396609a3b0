"""What the timings rest on: the same loss everywhere, honest floors, memory and errors."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from temperance import InputError
from temperance.speed import (
    Case,
    Implementation,
    absent_peers,
    check_fits,
    floor,
    free_bytes,
    gradient_error,
    inputs,
    measure,
    needed_bytes,
    peak_above,
    peak_bytes,
    ratio,
    step,
    steps,
    times,
)
from temperance.speed import implementations as room
from temperance.speed import memory as memory_room
from temperance.speed.implementations import DENSE, TEMPERANCE, implementations_of, tiled_loss

CPU = torch.device("cpu")
CASES = {
    "info_nce": Case("info_nce", 40, 8),
    "clip": Case("clip", 40, 8),
    "nt_xent": Case("nt_xent", 40, 8),
    "moco": Case("moco", 24, 8, 50),
}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.parametrize("name", CASES)
def test_all_that_are_timed_compute_the_same_loss(name: str) -> None:
    a, b, queue = inputs(CASES[name], CPU)
    ours = tiled_loss(name)(a, b, queue, 0.1).detach()
    found = [x for x in implementations_of(name) if not x.cuda]
    assert found[:2] == [TEMPERANCE, DENSE]
    for implementation in found:
        value = implementation.loss(name)(a, b, queue, 0.1).detach()
        torch.testing.assert_close(value, ours, msg=lambda told, x=implementation: x.name + told)


@pytest.mark.parametrize(
    ("name", "products"), [("info_nce", 3), ("clip", 4), ("nt_xent", 2), ("moco", 2)]
)
def test_the_floor_is_so_many_products_of_all_rows_and_columns(name: str, products: int) -> None:
    case = replace(CASES[name], rows=1030)  # two whole blocks and a part of one
    run = floor(case, CPU)
    with FlopCounterMode(display=False) as counter:
        run()
    assert counter.get_total_flops() == 2 * products * 1030 * case.columns * 8


@pytest.mark.parametrize("name", CASES)
def test_gradient_errors_tell_a_right_gradient_from_a_wrong_one(name: str) -> None:
    case, ours = CASES[name], tiled_loss(name)
    assert 0 < gradient_error(case, ours, 0.07, CPU) < 1e-5
    assert gradient_error(case, lambda a, b, q, t: 0 * ours(a, b, q, t), 0.07, CPU) == 1
    twice = gradient_error(case, lambda a, b, q, t: 2 * ours(a, b, q, t), 0.07, CPU)
    assert twice == pytest.approx(1, rel=1e-4)


def test_gradient_errors_are_those_of_a_small_case() -> None:
    seen = []

    def loss(a, b, queue, tau):
        seen.append((len(a), len(queue)))
        return tiled_loss("moco")(a, b, queue, tau)

    gradient_error(Case("moco", 3000, 4, 9000), loss, 0.1, CPU)
    assert seen == [(1024, 4096)]


def test_a_step_takes_gradients_anew() -> None:
    seen = []

    def loss(a, b, queue, tau):
        seen.append(a.grad)
        return (a * b).sum()

    run = step(loss, CASES["clip"], 0.1, CPU)
    run()
    run()
    assert seen == [None, None]


def test_within_a_round_all_take_turns() -> None:
    order = []
    runs = {name: lambda name=name: order.append(name) for name in "ab"}
    told = []
    found = times(runs, 2, on_run=told.append)
    assert order == told == ["a", "b", "a", "b"]
    assert all(len(x) == 2 for x in found.values())
    assert times({"a": lambda: time.sleep(0.02)}, 1)["a"][0] >= 0.02
    assert ratio([1.0, 6.0, 9.0], [1.0, 2.0, 1.0]) == 3


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (("clap", 64, 8), "loss 'clap' is unknown; give some of info_nce, clip, nt_xent, moco"),
        (("clip", 3, 8), "3 rows make no loss"),
        (("nt_xent", 65, 8), "65 rows are odd"),
        (("clip", 64, 0), "width 0 is not positive"),
        (("moco", 64, 8), "queue 0 is not positive"),
        (("clip", 64, 8, 10), "clip takes no queue"),
    ],
)
def test_what_makes_no_case_is_refused(case: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Case(*case)


def test_memory_is_foreseen() -> None:
    case = Case("info_nce", 100_000, 128)
    assert needed_bytes(DENSE, case) == pytest.approx(3 * 4 * 1e10, rel=0.02)
    assert needed_bytes(TEMPERANCE, case) < 1e9
    wide = replace(case, width=256)
    assert needed_bytes(TEMPERANCE, wide) == 2 * needed_bytes(TEMPERANCE, case)
    queued = Case("moco", 100, 16, 10**6)
    assert needed_bytes(DENSE, queued) > 3 * 4 * 10**8
    assert needed_bytes(TEMPERANCE, queued) > 4 * 16 * 10**6


def test_what_would_not_fit_is_not_tried(monkeypatch) -> None:
    case = Case("clip", 2000, 4)
    monkeypatch.setattr(room, "IMPLEMENTATIONS", (TEMPERANCE, DENSE))
    monkeypatch.setattr(memory_room, "free_bytes", lambda device: 5_000_000)
    ours, dense = measure(case, 0.1, 1, CPU)
    assert dense.fault == "needs 64 MB, 5 MB are free"
    assert (dense.seconds, dense.peak_bytes) == (None, None)
    assert (ours.fault, ours.times_dense) == (None, None)
    assert ours.seconds is not None
    monkeypatch.setattr(memory_room, "free_bytes", lambda device: 50_000)
    with pytest.raises(InputError, match=r"clip, 2,000 rows, D = 4: needs .* give fewer rows"):
        check_fits(case, CPU)
    with pytest.raises(InputError, match="give fewer rows"):
        measure(case, 0.1, 1, CPU)
    monkeypatch.setattr(memory_room, "free_bytes", lambda device: None)
    check_fits(case, CPU)


def test_large_sizes_are_said_in_gigabytes(monkeypatch) -> None:
    monkeypatch.setattr(memory_room, "free_bytes", lambda device: 22 * 10**9)
    said = memory_room.shortage(DENSE, Case("clip", 50_000, 128), CPU)
    assert said == "needs 40 GB, 22 GB are free"


def test_what_another_library_raises_is_reported(monkeypatch) -> None:
    def broken(name: str, module: object):
        def loss(a, b, queue, tau):
            raise ValueError("of another\nlibrary")

        return loss

    peer = Implementation("peer", {"clip": lambda case: 0}, broken)
    card = Implementation("card", {"clip": lambda case: 0}, broken, cuda=True)
    monkeypatch.setattr(room, "IMPLEMENTATIONS", (TEMPERANCE, peer, card))
    found = {x.name: x for x in measure(CASES["clip"], 0.1, 1, CPU)}
    assert found["peer"].fault == "of another"
    assert found["card"].fault == "needs a CUDA device"
    assert found["peer"].cells() == ["–"] * 5
    monkeypatch.setattr(room, "IMPLEMENTATIONS", (replace(TEMPERANCE, make=broken),))
    with pytest.raises(ValueError, match="of another"):
        measure(CASES["clip"], 0.1, 1, CPU)


def test_libraries_that_are_not_installed_are_left_out(monkeypatch) -> None:
    absent = Implementation("absent", {"clip": lambda case: 0}, lambda *_: None, "no_such.module")
    monkeypatch.setattr(room, "IMPLEMENTATIONS", (TEMPERANCE, absent, replace(absent, cuda=True)))
    assert implementations_of("clip") == [TEMPERANCE]
    assert absent_peers("clip", CPU) == ["absent"]
    assert absent_peers("moco", CPU) == []


def test_steps_are_counted_beforehand(monkeypatch) -> None:
    monkeypatch.setattr(room, "IMPLEMENTATIONS", (TEMPERANCE, DENSE))
    told: list[str] = []
    found = measure(CASES["nt_xent"], 0.1, 2, CPU, told.append)
    assert len(told) == steps(CASES["nt_xent"], 2)
    assert set(told) == {"temperance", "dense", "floor"}
    assert found[1].times_dense == 1
    assert found[0].cells()[4] == f"{found[0].gradient_error:.1e}"


@on_linux
def test_the_peak_is_what_a_run_held_at_once() -> None:
    size = 64_000_000

    def run() -> None:
        for _ in range(3):
            torch.ones(size // 4)

    # What other threads of this process hold counts too, so one quiet run of several is what is asked for.
    found = [peak_above(run, CPU) or 0 for _ in range(5)]
    assert size * 0.9 <= min(found) <= size * 1.5
    assert min(peak_above(lambda: None, CPU) or 0 for _ in range(5)) < size / 10


@on_linux
def test_free_memory_ends_at_the_limit_of_a_container(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    assert memory_room._limit(limit) is None
    limit.write_text("max\n")
    assert memory_room._limit(limit) is None
    limit.write_text("123456\n")
    assert memory_room._limit(limit) == 123456
    assert (free_bytes(CPU) or 0) > 10**8


@pytest.mark.slow
@on_linux
@pytest.mark.parametrize("name", CASES)
def test_estimates_are_near_what_is_measured(name: str) -> None:
    case = replace(CASES[name], rows=4096, width=32, queue=4096 if name == "moco" else 0)
    ours = peak_bytes(case, "temperance", 0.1, CPU)
    assert ours is not None
    for implementation in implementations_of(name):
        if implementation.cuda or needed_bytes(implementation, case) > 10**9:
            continue
        found = peak_bytes(case, implementation.name, 0.1, CPU)
        assert found is not None
        if implementation is not TEMPERANCE:
            assert found > 4 * ours
            assert 0.7 < needed_bytes(implementation, case) / found < 1.5
