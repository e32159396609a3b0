"""Queue, bank and momentum against slow loops written from the papers, in float64."""

import copy

import pytest
import torch
from torch import Tensor, nn

from temperance import InputError
from temperance.negatives import MemoryBank, Queue, momentum_update


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("batches", [[3, 3, 3], [5, 2, 7, 7, 1], [20, 4], [0, 7, 8]])
def test_the_queue_holds_the_last_keys_and_what_belongs_to_them(batches: list[int]) -> None:
    queue, line = Queue(size=7, width=3).double(), []
    for number, n in enumerate(batches):
        keys, ids = randn(n, 3, seed=number), torch.arange(n) + 100 * number
        queue.enqueue(keys, ids=ids, labels=ids % 3)
        line = (line + list(zip(keys.tolist(), ids.tolist(), (ids % 3).tolist(), strict=True)))[-7:]
        held = zip(queue.keys.tolist(), queue.ids.tolist(), queue.labels.tolist(), strict=True)
        assert sorted(held) == sorted(line)
        assert len(queue) == len(line)


def test_the_queue_goes_on_from_its_state() -> None:
    one, other = Queue(5, 2), Queue(5, 2)
    one.enqueue(torch.ones(4, 2))
    other.load_state_dict(one.state_dict())
    for queue in (one, other):
        queue.enqueue(2 * torch.ones(3, 2))
    assert torch.equal(one.keys, other.keys)
    assert one.ids.tolist() == [-1] * 5


def test_the_queue_takes_no_gradient_and_its_own_type() -> None:
    queue = Queue(4, 2)
    queue.enqueue(torch.ones(2, 2, dtype=torch.bfloat16, requires_grad=True))
    assert queue.keys.dtype == torch.float32
    assert not queue.keys.requires_grad


def test_the_bank_moves_as_the_paper_says() -> None:
    bank = MemoryBank(6, 4, momentum=0.3).double()
    slow = [v.clone() for v in bank.vectors]
    for step, ids in enumerate([[0, 3, 5], [3, 3, 1, 3], [], [5, 1, 5]]):
        features = randn(len(ids), 4, seed=step)
        bank.update(torch.tensor(ids, dtype=torch.long), features)
        for i, f in zip(ids, features, strict=True):
            v = 0.3 * slow[i] + 0.7 * f / f.norm()
            slow[i] = v / v.norm()
        torch.testing.assert_close(bank.vectors, torch.stack(slow), rtol=1e-14, atol=1e-14)
    assert torch.equal(bank.lookup(torch.tensor([[2]])), bank.vectors[2][None, None])


def test_noise_is_uniform_with_and_without_the_anchor() -> None:
    bank, ids = MemoryBank(5, 2), torch.tensor([0, 3, 4])
    generator = torch.Generator().manual_seed(0)
    for itself in (True, False):
        drawn = bank.sample(ids, 20_000, itself=itself, generator=generator)
        for anchor, row in zip(ids.tolist(), drawn, strict=True):
            shares = torch.bincount(row, minlength=5) / 20_000
            wanted = torch.full((5,), 1 / (5 if itself else 4))
            wanted[anchor] *= itself
            assert (shares - wanted).abs().max() < 0.02
            assert itself or shares[anchor] == 0


def test_banks_begin_alike_by_the_same_generator() -> None:
    a, b = (MemoryBank(5, 3, generator=torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(a.vectors, b.vectors)
    torch.testing.assert_close(a.vectors.norm(dim=1), torch.ones(5))


def test_the_momentum_encoder_follows() -> None:
    online = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    target = copy.deepcopy(online)
    slow = [p.detach().clone() for p in target.parameters()]
    for step in range(20):
        with torch.no_grad():
            for number, p in enumerate(online.parameters()):
                p += randn(*p.shape, seed=10 * step + number)
        online(randn(8, 3, seed=step))
        momentum_update(online, target, 0.9)
        slow = [0.9 * k + 0.1 * q for k, q in zip(slow, online.parameters(), strict=True)]
    for k, p in zip(slow, target.parameters(), strict=True):
        torch.testing.assert_close(p, k, rtol=1e-13, atol=1e-13)
    for old, new in zip(target.buffers(), online.buffers(), strict=True):
        assert torch.equal(old, new)


def test_what_does_not_fit_is_refused() -> None:
    queue, bank = Queue(4, 2), MemoryBank(4, 2)
    for call, message in [
        (lambda: Queue(0, 2), "size 0 of the queue"),
        (lambda: MemoryBank(4, 0), "width 0 of the bank"),
        (lambda: MemoryBank(4, 2, momentum=1), r"momentum 1 is not in \[0, 1\)"),
        (lambda: queue.enqueue(torch.ones(2, 3)), r"keys have shape \(2, 3\); give \(n, 2\)"),
        (lambda: queue.enqueue(torch.ones(2, 2), ids=torch.ones(3)), "one for each of the 2 keys"),
        (lambda: bank.lookup(torch.tensor([1, 4])), "ids hold 4, but the bank has 4 instances"),
        (lambda: bank.update(torch.tensor([-1]), torch.ones(1, 2)), "ids hold -1"),
        (lambda: bank.update(torch.tensor([1]), torch.ones(2, 2)), r"give \(1, 2\)"),
        (lambda: bank.sample(torch.tensor([1]), 0), "0 noise instances"),
        (lambda: MemoryBank(1, 2).sample(torch.tensor([0]), 3, itself=False), "drawn from 0"),
        (lambda: momentum_update(nn.Linear(1, 2), nn.Linear(1, 2), 1.5), "momentum 1.5"),
        (lambda: momentum_update(nn.Linear(1, 2), nn.Linear(2, 2), 0.9), "first at weight"),
        (
            lambda: momentum_update(nn.Linear(1, 2), nn.Linear(1, 2, bias=False), 0.9),
            "not built like",
        ),
    ]:
        with pytest.raises(InputError, match=message):
            call()
