"""Threads that share places: in order, and never waiting for one that failed."""

import random
import time

import pytest
import torch

from temperance.contrast.threads import Turns, in_threads

CPU = torch.device("cpu")


def test_blocks_come_to_every_place_in_order_and_each_once() -> None:
    blocks, places = 20, 3
    turns = Turns(blocks, places)
    seen: list[list[int]] = [[] for _ in range(places)]
    wait = random.Random(0)

    def block(i: int) -> int:
        time.sleep(wait.random() / 500)
        for place in range(places):
            with turns.at(place, i):
                seen[place].append(i)
        return i * i

    parts = in_threads(lambda worker, workers: turns.each(block), 3, CPU)
    assert seen == [list(range(blocks))] * places
    assert sorted(i for part in parts for i in part) == list(range(blocks))
    assert all(value == i * i for part in parts for i, value in part.items())


@pytest.mark.parametrize("failing", [0, 3])
def test_a_block_that_fails_is_told_and_nobody_waits_for_it(failing: int) -> None:
    turns = Turns(6, 1)

    def block(i: int) -> None:
        if i == failing:
            time.sleep(0.05)  # until another thread waits
            raise ZeroDivisionError
        with turns.at(0, i):
            pass

    with pytest.raises(ZeroDivisionError):
        in_threads(lambda worker, workers: turns.each(block), 2, CPU)
