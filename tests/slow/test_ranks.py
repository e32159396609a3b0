"""Several processes give what one gives: losses, gradients and statistics over the vectors of all ranks."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn.functional import normalize

from temperance import InfoNCE
from temperance.contrast import parts_of_ranks
from temperance.functional import (
    clip,
    decoupled,
    hard_contrastive,
    info_nce,
    nt_xent,
    sigmoid,
    simple_contrastive,
    sup_con,
)
from temperance.temperatures import (
    AlignmentAware,
    EffectiveNegatives,
    PerAnchor,
    TemperatureFree,
)

pytestmark = pytest.mark.slow

SHARDS = {"even": (12, 12), "uneven": (5, 19), "four": (6, 6, 6, 6), "four uneven": (1, 9, 3, 11)}
D = 16
LABELS = torch.arange(24) % 5
QUEUE = torch.randn(40, D, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
Call = Callable[..., Tensor]


def queued(loss: Call, a: Tensor, b: Tensor, labels: Tensor, **options) -> Tensor:
    return loss(a, b, QUEUE.to(a.dtype), **options)


def unlabelled(loss: Call, a: Tensor, b: Tensor, labels: Tensor, **options) -> Tensor:
    return loss(a, b, **options)


def distances(a: Tensor, b: Tensor, labels: Tensor, **options) -> Tensor:
    # About as long as unit vectors: what rounding leaves of a logit depends on its size.
    return info_nce(a / 4, b / 4, similarity="euclidean", **options)


def labelled(a: Tensor, b: Tensor, labels: Tensor, **options) -> Tensor:
    return info_nce(a, b, labels=labels, **options)


def supervised(a: Tensor, b: Tensor, labels: Tensor, **options) -> Tensor:
    return sup_con(a, labels, **options) + sup_con(b, labels, inside=True, **options)


def simple(a: Tensor, b: Tensor, labels: Tensor, temperature: Tensor, **options) -> Tensor:
    # Without a temperature of its own: one that scales its vectors shows the gradient all the same.
    a = a / temperature
    dots = {"similarity": "dot", **options}
    return simple_contrastive(a, b, **dots) + queued(
        partial(simple_contrastive, hardest=0.3, in_batch=True), a, b, labels, **dots
    )


def aligned(a: Tensor, b: Tensor, labels: Tensor, temperature: Tensor, **options) -> Tensor:
    return nt_xent(a, b, temperature=AlignmentAware(0.1), **options)


def effective(a: Tensor, b: Tensor, labels: Tensor, temperature: Tensor, **options) -> Tensor:
    return info_nce(a, b, temperature=EffectiveNegatives(0.3), **options) + nt_xent(
        a, b, temperature=EffectiveNegatives(0.3, per_anchor=True), **options
    )


def linked(a: Tensor, b: Tensor, labels: Tensor, temperature: Tensor, **options) -> Tensor:
    free = {"temperature": TemperatureFree(), **options}
    return clip(a, b, **free) + sup_con(a, labels, **free) + sigmoid(a, b, **free)


def of_instances(a: Tensor, b: Tensor, labels: Tensor, temperature: Tensor, **options) -> Tensor:
    """Two steps of a temperature for each instance, of which the second sees what the first left."""
    loss = InfoNCE(PerAnchor(30).to(a.dtype), backend=options["backend"])
    ids = torch.arange(24)
    if len(a) < 24:
        sizes = [len(part) for part in parts_of_ranks(a)]
        ids = ids.split(sizes)[dist.get_rank()]
    loss(a.detach() + 0.1, b.detach(), ids=ids)
    return loss(a, b, ids=ids)


def effective_among_classes(a: Tensor, b: Tensor, labels: Tensor, **options) -> Tensor:
    options["temperature"] = EffectiveNegatives(0.3)
    return sup_con(a, labels, **options) + queued(info_nce, a, b, labels, **options)


def of_instances_and_queue(a: Tensor, b: Tensor, labels: Tensor, **options) -> Tensor:
    loss = InfoNCE(PerAnchor(30).to(a.dtype), backend=options["backend"])
    return loss(a, b, QUEUE.to(a.dtype), ids=torch.arange(len(a)))


LOSSES: dict[str, Call] = {
    "effective negatives, classes and queue": effective_among_classes,
    "per instance, queue": of_instances_and_queue,
    "aligned": aligned,
    "effective negatives": effective,
    "artanh": linked,
    "per instance": of_instances,
    "info_nce": partial(unlabelled, info_nce),
    "info_nce, squared distance": distances,
    "info_nce, queue and batch": partial(queued, partial(info_nce, in_batch=True)),
    "info_nce, queue": partial(queued, info_nce),
    "info_nce, labels": labelled,
    "clip": partial(unlabelled, clip),
    "nt_xent": partial(unlabelled, nt_xent),
    "nt_xent, dot": partial(unlabelled, partial(nt_xent, similarity="dot")),
    "decoupled": partial(unlabelled, decoupled),
    "sup_con": supervised,
    "hard": partial(unlabelled, partial(hard_contrastive, share=0.3)),
    "hard, queue": partial(queued, partial(hard_contrastive, share=0.3, in_batch=True)),
    "simple": simple,
    "sigmoid": partial(unlabelled, sigmoid),
}


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
    rows = slice(sum(sizes[:number]), sum(sizes[: number + 1]))
    for backend in ("ring", "gather"):
        for converged in (False, True):
            for name, loss in LOSSES.items():
                a, b = (x[rows].clone().requires_grad_() for x in vectors(converged, dtype))
                t = torch.tensor(tau, dtype=dtype, requires_grad=True)
                value = loss(a, b, LABELS[rows], temperature=t, backend=backend)
                value.backward()
                grads = [torch.zeros_like(x) if x.grad is None else x.grad for x in (a, b, t)]
                found[backend, name, converged] = [value.detach(), *grads]
        a, b = (x[rows] for x in vectors(False, dtype))
        known = {"temperature": tau, "statistics": True, "backend": backend}
        told = [
            info_nce(a, b, QUEUE.to(dtype), in_batch=True, classes=LABELS[rows], **known)[1],
            clip(a, b, **known)[1],
        ]
        found[backend] = [shown(x) for x in told]
    torch.save(found, where / f"{number}.pt")
    dist.destroy_process_group()


def shown(told) -> list[Tensor]:
    mass = told.false_negative_mass
    kept = [told.effective_negatives, told.hardest_negative, told.positive_similarity]
    return kept if mass is None else [*kept, mass]


@pytest.mark.parametrize("shards", SHARDS)
@pytest.mark.parametrize(
    ("dtype", "tau"), [(torch.float64, 0.07), (torch.float64, 1e-3), (torch.float32, 0.07)]
)
def test_ranks_together_give_what_one_process_gives(
    shards: str, dtype: torch.dtype, tau: float, tmp_path: Path
) -> None:
    sizes = SHARDS[shards]
    world = len(sizes)
    mp.spawn(rank, (sizes, tmp_path, dtype, tau), nprocs=world)
    parts = [torch.load(tmp_path / f"{i}.pt", weights_only=True) for i in range(world)]
    bound = 1e-10 if dtype == torch.float64 else 4 * 2**-24 / tau + 2e-6
    for key in parts[0]:
        if isinstance(key, str):
            continue
        _, name, converged = key
        if name == "artanh" and converged and dtype == torch.float32:
            continue  # its slope near 1 is a million: float32 has no such digits of a cosine
        a, b = (x.double().requires_grad_() for x in vectors(converged, dtype))
        t = torch.tensor(tau, dtype=torch.float64, requires_grad=True)
        true = LOSSES[name](a, b, LABELS, temperature=t, backend="dense")
        true.backward()
        here = [part[key] for part in parts]
        value = sum(x[0] for x in here) / world
        grads = [torch.cat([x[i] for x in here]) / world for i in (1, 2)]
        slope = sum(x[3] for x in here) / world
        wanted = [x if x.grad is None else x.grad for x in (a, b, t)]
        for i, (x, y) in enumerate(zip((value, *grads, slope), (true, *wanted), strict=True)):
            if i and (a, b, t)[i - 1].grad is None:
                assert not x.any()
                continue
            error = (x.double() - y).detach().norm() / y.detach().norm().clamp_min(1e-30)
            assert float(error) <= bound, (key, i, float(error))
    a, b = vectors(False, torch.float64)
    known = {"temperature": tau, "statistics": True, "backend": "dense"}
    true = [
        shown(info_nce(a, b, QUEUE, in_batch=True, classes=LABELS, **known)[1]),
        shown(clip(a, b, **known)[1]),
    ]
    for backend in ("ring", "gather"):
        for number, wanted in enumerate(true):
            for i, y in enumerate(wanted):
                # Under CLIP images come first and then texts, on each rank.
                sides = [part[backend][number][i].chunk(number + 1) for part in parts]
                x = torch.cat([torch.cat(side) for side in zip(*sides, strict=True)])
                torch.testing.assert_close(x.double(), y, rtol=1e4 * bound, atol=1e4 * bound)
