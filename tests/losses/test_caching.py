"""A batch encoded chunk by chunk leaves the gradients of the whole batch."""

import pytest
import torch
from torch import Tensor, nn

from temperance import CLIPLoss, InputError, NTXent
from temperance.losses import cached_backward


def tower(seed: int = 0, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(6, 12), nn.GELU(), nn.Dropout(dropout), nn.Linear(12, 4)
    ).double()


def randn(n: int, seed: int) -> Tensor:
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("chunk", [1, 7, 20, 100])
def test_one_encoder_for_two_views(chunk: int) -> None:
    views = [randn(20, 1), randn(20, 2)]
    tau = nn.Parameter(torch.tensor(0.2, dtype=torch.float64))
    whole, parts, loss = tower(), tower(), NTXent(tau)
    true = loss(*(whole(x) for x in views))
    true.backward()
    slope, tau.grad = tau.grad, None
    found = cached_backward(loss, parts, views, chunk=chunk)
    torch.testing.assert_close(found, true.detach())
    torch.testing.assert_close(tau.grad, slope)
    for p, q in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)


def test_two_towers() -> None:
    images, texts = randn(15, 1), randn(15, 2)
    whole, parts, loss = [tower(0), tower(1)], [tower(0), tower(1)], CLIPLoss(0.1)
    loss(whole[0](images), whole[1](texts)).backward()
    cached_backward(loss, parts, [images, texts], chunk=4)
    for a, b in zip(parts, whole, strict=True):
        for p, q in zip(a.parameters(), b.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad)


def test_the_second_pass_drops_what_the_first_one_dropped() -> None:
    encoder = tower(dropout=0.5)
    seen: list[Tensor] = []
    encoder.register_forward_hook(lambda module, args, out: seen.append(out.detach()))
    torch.manual_seed(3)
    cached_backward(NTXent(0.2), encoder, [randn(8, 1), randn(8, 2)], chunk=4)
    after = torch.rand(1)
    assert len(seen) == 8
    for first, second in zip(seen[:4], seen[4:], strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(seen[0], seen[2])
    # The numbers drawn next are those that would follow one pass.
    torch.manual_seed(3)
    with torch.no_grad():
        for x in (randn(8, 1), randn(8, 2)):
            for piece in x.split(4):
                encoder(piece)
    assert torch.equal(torch.rand(1), after)


def test_activations_of_one_chunk_only_are_held() -> None:
    encoder, held, most = tower(), 0, 0

    def keep(x: Tensor) -> Tensor:
        nonlocal held, most
        held += x.numel()
        most = max(most, held)
        return x

    def drop(x: Tensor) -> Tensor:
        nonlocal held
        held -= x.numel()
        return x

    def run(chunk: int) -> int:
        nonlocal held, most
        held = most = 0
        with torch.autograd.graph.saved_tensors_hooks(keep, drop):
            cached_backward(
                lambda a, b: (a * b).sum(), encoder, [randn(256, 1), randn(256, 2)], chunk=chunk
            )
        return most

    assert run(16) < run(256) / 3


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(InputError, match="2 encoders and 1 inputs"):
        cached_backward(NTXent(), [tower(), tower()], [randn(4, 0)], chunk=2)
    with pytest.raises(InputError, match="chunk 0 is not positive"):
        cached_backward(NTXent(), tower(), [randn(4, 0), randn(4, 1)], chunk=0)


def test_a_frozen_tower_is_told_nothing() -> None:
    frozen, learning = tower(0).requires_grad_(False), tower(1)
    towers = nn.ModuleList([frozen, learning])
    cached_backward(CLIPLoss(0.1), towers, [randn(8, 1), randn(8, 2)], chunk=3)
    assert all(p.grad is None for p in frozen.parameters())
    assert all(p.grad is not None for p in learning.parameters())


def test_a_loss_that_gives_no_scalar_is_refused() -> None:
    for loss in (NTXent(statistics=True), NTXent(reduction="none")):
        with pytest.raises(InputError, match="gives no scalar"):
            cached_backward(loss, tower(), [randn(4, 0), randn(4, 1)], chunk=2)
