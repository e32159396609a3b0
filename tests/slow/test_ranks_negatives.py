"""Queue, bank and normaliser are the same on all ranks, and those of one process."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from temperance.losses.nce import log_normaliser
from temperance.negatives import MemoryBank, Queue

pytestmark = pytest.mark.slow
STEPS, SIZE, WIDTH, INSTANCES = 100, 37, 5, 20


def batches(step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    keys = torch.randn(11, WIDTH, generator=generator, dtype=torch.float64)
    return keys, torch.randint(INSTANCES, (11,), generator=generator)


def state(number: int, sizes: tuple[int, ...]) -> dict[str, Tensor]:
    queue = Queue(SIZE, WIDTH).double()
    bank = MemoryBank(INSTANCES, WIDTH, generator=torch.Generator().manual_seed(1)).double()
    rows = slice(sum(sizes[:number]), sum(sizes[: number + 1]))
    for step in range(STEPS):
        keys, ids = batches(step)
        queue.enqueue(keys[rows], ids=ids[rows], labels=ids[rows] % 3)
        bank.update(ids[rows], keys[rows])
    noise = batches(0)[1][rows, None].repeat(1, 3)
    log_z = log_normaliser(batches(0)[0][rows], bank.vectors, noise)
    return {"log_z": log_z, **queue.state_dict(), **bank.state_dict(prefix="bank.")}


def rank(number: int, sizes: tuple[int, ...], where: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{where}/meet", rank=number, world_size=len(sizes)
    )
    torch.save(state(number, sizes), where / f"{number}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("sizes", [(6, 5), (2, 9), (1, 10), (3, 4, 4)])
def test_ranks_hold_what_one_process_would(sizes: tuple[int, ...], tmp_path: Path) -> None:
    mp.spawn(rank, (sizes, tmp_path), nprocs=len(sizes))
    alone = state(0, (11,))
    for number in range(len(sizes)):
        found = torch.load(tmp_path / f"{number}.pt", weights_only=True)
        for name, wanted in alone.items():
            exact = {} if name == "log_z" else {"rtol": 0, "atol": 0}
            torch.testing.assert_close(found[name], wanted, **exact)
