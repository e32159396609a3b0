"""Noise-contrastive estimation against a slow loop written from the paper, in float64."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, normalize

from temperance import InputError
from temperance.functional import instance_softmax
from temperance.losses import InstanceSoftmax
from temperance.losses import nce as module
from temperance.losses.nce import NCE, log_normaliser, nce
from temperance.temperatures import AlignmentAware, Fixed, Pairwise

N, D, INSTANCES, NOISE = 5, 6, 40, 7


def given(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(N, D, generator=generator, dtype=torch.float64)
    bank = normalize(torch.randn(INSTANCES, D, generator=generator, dtype=torch.float64), dim=1)
    ids = torch.randint(INSTANCES, (N,), generator=generator)
    noise = torch.randint(INSTANCES, (N, NOISE), generator=generator)
    return queries.to(dtype), bank.to(dtype), ids, noise


def slow_z(queries: Tensor, bank: Tensor, noise: Tensor, tau: float) -> Tensor:
    seen = [
        torch.exp(f / f.norm() @ bank[j] / tau)
        for f, row in zip(queries, noise, strict=True)
        for j in row
    ]
    return INSTANCES * torch.stack(seen).mean()


def slow(queries: Tensor, bank: Tensor, ids: Tensor, noise: Tensor, tau: Tensor, z: Tensor):
    def h(f: Tensor, j: Tensor) -> Tensor:
        p = torch.exp(f / f.norm() @ bank[j] / tau) / z
        return p / (p + NOISE / INSTANCES)

    return torch.stack(
        [
            -h(f, i).log() - torch.stack([(1 - h(f, j)).log() for j in row]).sum()
            for f, i, row in zip(queries, ids, noise, strict=True)
        ]
    )


@pytest.mark.parametrize("tau", [0.07, 0.5])
@pytest.mark.parametrize("gathered", [1, 2**22])
@pytest.mark.parametrize("whole", [0, 8])
def test_value_and_gradients(tau: float, gathered: int, whole: int, monkeypatch) -> None:
    monkeypatch.setattr(module, "GATHERED", gathered)
    monkeypatch.setattr(module, "WHOLE", whole)
    queries, bank, ids, noise = given()
    z = slow_z(queries, bank, noise, tau)
    log_z = log_normaliser(queries, bank, noise, temperature=tau)
    torch.testing.assert_close(log_z, z.log())
    found, true = [], []
    for out in (found, true):
        q, t = queries.clone().requires_grad_(), torch.tensor(tau, dtype=torch.float64)
        t.requires_grad_()
        if out is found:
            losses = nce(q, bank, ids, noise, log_normaliser=log_z, temperature=t, reduction="none")
        else:
            losses = slow(q, bank, ids, noise, t, z)
        losses.sum().backward()
        out += [losses.detach(), q.grad, t.grad]
    for x, y in zip(found, true, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-12)


def test_it_is_computed_in_the_type_of_its_vectors_under_autocast() -> None:
    queries, bank, ids, noise = given(torch.float32)
    log_z = log_normaliser(queries, bank, noise, temperature=0.07)
    plain = nce(queries, bank, ids, noise, log_normaliser=log_z)
    with torch.autocast("cpu", torch.bfloat16):
        found = nce(queries, bank, ids, noise, log_normaliser=log_z)
    assert torch.equal(found, plain)


def test_weights_and_means() -> None:
    given_ = given()
    each = nce(*given_, log_normaliser=3.0, reduction="none")
    weights = torch.tensor([0, 1, 2, 3, 4], dtype=torch.float64)
    torch.testing.assert_close(nce(*given_, log_normaliser=3.0), each.mean())
    torch.testing.assert_close(nce(*given_, log_normaliser=3.0, reduction="sum"), each.sum())
    torch.testing.assert_close(
        nce(*given_, log_normaliser=3.0, weights=weights), (each * weights).sum() / 10
    )


def test_the_normaliser_is_that_of_the_first_batch_and_is_kept() -> None:
    queries, bank, ids, noise = given()
    loss = NCE(0.2).double()
    first = loss(queries, bank, ids, noise)
    log_z = float(log_normaliser(queries, bank, noise, temperature=0.2))
    assert float(loss.log_normaliser) == pytest.approx(log_z)
    assert float(first) == pytest.approx(
        float(nce(queries, bank, ids, noise, log_normaliser=log_z, temperature=0.2))
    )
    loss(bank[:N], bank, ids, noise)
    assert float(loss.log_normaliser) == pytest.approx(log_z)
    again = NCE(0.2).double()
    again.load_state_dict(loss.state_dict())
    assert again(queries, bank, ids, noise) == first


def test_low_temperatures_stay_finite() -> None:
    queries, bank, ids, noise = given(torch.float32)
    queries.requires_grad_()
    loss = NCE(1e-3)
    loss(queries, bank, ids, noise).backward()
    assert bool(queries.grad.isfinite().all())
    assert math.isfinite(float(loss.log_normaliser))


def test_rules_for_the_temperature() -> None:
    queries, bank, ids, noise = given()
    known = {"log_normaliser": 3.0}
    number = nce(queries, bank, ids, noise, temperature=0.2, **known)
    torch.testing.assert_close(
        nce(queries, bank, ids, noise, temperature=Fixed(0.2), **known), number
    )
    rule = Pairwise(0.1, 0.2)
    s = torch.einsum(
        "nmd,nd->nm", bank[torch.cat([ids[:, None], noise], 1)], normalize(queries, dim=1)
    )
    x = rule.link.value(s) - 3 - math.log(NOISE / INSTANCES)
    wanted = (-x[:, 0].sigmoid().log() - (1 - x[:, 1:].sigmoid()).log().sum(1)).mean()
    torch.testing.assert_close(nce(queries, bank, ids, noise, temperature=rule, **known), wanted)
    with pytest.raises(InputError, match="of which NCE sees samples"):
        nce(queries, bank, ids, noise, temperature=AlignmentAware(), **known)


def test_what_does_not_fit_is_refused() -> None:
    queries, bank, ids, noise = given()
    for arguments, message in [
        ((queries, bank, ids[:2], noise), "ids have shape"),
        ((queries, bank, ids, noise[:2]), r"noise has shape \(2, 7\); give \(5, m\)"),
        ((queries, bank[:, :3], ids, noise), "bank have shape"),
        ((queries * 0, bank, ids, noise), "zero vector"),
    ]:
        with pytest.raises(InputError, match=message):
            nce(*arguments, log_normaliser=3.0)
    with pytest.raises(InputError, match="temperature 0 "):
        nce(queries, bank, ids, noise, log_normaliser=3.0, temperature=0.0)


def test_a_constant_that_is_not_held_is_that_of_each_batch() -> None:
    queries, bank, ids, noise = given()
    loss = NCE(0.2, fixed=False).double()
    loss(queries, bank, ids, noise)
    other = queries.flip(0)
    log_z = float(log_normaliser(other, bank, noise, temperature=0.2))
    expected = nce(other, bank, ids, noise, log_normaliser=log_z, temperature=0.2)
    assert float(loss(other, bank, ids, noise)) == pytest.approx(float(expected))


@pytest.mark.parametrize("backend", ["dense", "tiled"])
@pytest.mark.parametrize("tau", [1e-4, 0.07, 1.0, 1e4])
def test_the_softmax_over_instances(tau: float, backend: str) -> None:
    queries, bank, ids, _ = given()
    found, true = [], []
    for out in (found, true):
        q, t = queries.clone().requires_grad_(), torch.tensor(tau, dtype=torch.float64)
        t.requires_grad_()
        if out is found:
            losses = instance_softmax(
                q, bank, ids, temperature=t, reduction="none", backend=backend
            )
        else:
            # The positive out of the sum, which keeps the digits of a small loss.
            scores = normalize(q, dim=1) @ bank.T / t
            own = scores.gather(1, ids[:, None])
            others = scores.scatter(1, ids[:, None], -math.inf).logsumexp(dim=1)
            losses = -logsigmoid(own[:, 0] - others)
        losses.sum().backward()
        out += [losses.detach(), q.grad, t.grad]
    for x, y in zip(found, true, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-12)


def test_the_softmax_over_instances_says_what_it_cannot_take() -> None:
    queries, bank, ids, _ = given()
    with pytest.raises(InputError, match="ids are not all from 0 to 39"):
        instance_softmax(queries, bank, ids + INSTANCES)
    with pytest.raises(InputError, match="the bank is the same on all ranks"):
        instance_softmax(queries, bank, ids, backend="gather")
    loss, told = InstanceSoftmax(0.1, statistics=True)(queries, bank, ids)
    assert torch.isfinite(loss)
    assert told.effective_negatives.max() < INSTANCES
