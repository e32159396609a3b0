"""Several processes give what one gives: losses and gradients over the vectors of all ranks."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn.functional import normalize

from temperance.functional import clip, decoupled, info_nce, nt_xent

pytestmark = pytest.mark.slow

LOSSES = {"info_nce": info_nce, "clip": clip, "nt_xent": nt_xent, "decoupled": decoupled}
SHARDS = {"even": (12, 12), "uneven": (5, 19), "four": (6, 6, 6, 6), "four uneven": (1, 9, 3, 11)}
D = 16


def vectors(converged: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(24, D, generator=generator, dtype=torch.float64)
    b = torch.randn(24, D, generator=generator, dtype=torch.float64)
    return a.to(dtype), (normalize(a, dim=1) + 0.02 * b if converged else b).to(dtype)


def rank(number: int, sizes: tuple[int, ...], where: Path, dtype: torch.dtype, tau: float) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{where}/meet", rank=number, world_size=len(sizes)
    )
    found = {}
    for converged in (False, True):
        for name, loss in LOSSES.items():
            rows = slice(sum(sizes[:number]), sum(sizes[: number + 1]))
            a, b = (x[rows].clone().requires_grad_() for x in vectors(converged, dtype))
            t = torch.tensor(tau, dtype=dtype, requires_grad=True)
            value = loss(a, b, temperature=t, backend="ring")
            value.backward()
            found[name, converged] = [value.detach(), a.grad, b.grad, t.grad]
    torch.save(found, where / f"{number}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("shards", SHARDS)
@pytest.mark.parametrize(
    ("dtype", "tau"), [(torch.float64, 0.07), (torch.float64, 1e-3), (torch.float32, 0.07)]
)
def test_ranks_together_give_what_one_process_gives(
    shards: str, dtype: torch.dtype, tau: float, tmp_path: Path
) -> None:
    sizes = SHARDS[shards]
    mp.spawn(rank, (sizes, tmp_path, dtype, tau), nprocs=len(sizes))
    parts = [torch.load(tmp_path / f"{i}.pt", weights_only=True) for i in range(len(sizes))]
    for name, converged in parts[0]:
        a, b = (x.double().requires_grad_() for x in vectors(converged, dtype))
        t = torch.tensor(tau, dtype=torch.float64, requires_grad=True)
        true = LOSSES[name](a, b, temperature=t, backend="dense")
        true.backward()
        here = [part[name, converged] for part in parts]
        world = len(sizes)
        value = sum(x[0] for x in here) / world
        grads = [torch.cat([x[i] for x in here]) / world for i in (1, 2)]
        slope = sum(x[3] for x in here) / world
        bound = 1e-10 if dtype == torch.float64 else 4 * 2**-24 / tau + 2e-6
        for x, y in ((value, true), (grads[0], a.grad), (grads[1], b.grad), (slope, t.grad)):
            error = (x.double() - y).detach().norm() / y.detach().norm().clamp_min(1e-30)
            assert float(error) <= bound, (name, converged)
