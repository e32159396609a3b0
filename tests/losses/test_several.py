"""One space at several temperatures is what the loss gives at each of them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from temperance import InputError
from temperance.contrast import threads
from temperance.functional import at_temperatures, info_nce
from temperance.losses import several

TAUS = [1e-4, 0.01, 0.07, 0.5, 3.0, 1e4]


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("queue", [None, randn(90, 6, seed=2)], ids=["batch", "queue"])
@pytest.mark.parametrize("threaded", [False, True])
def test_each_temperature_is_as_if_alone(queue, threaded: bool, monkeypatch) -> None:
    if threaded:
        monkeypatch.setattr(threads, "SMALL", 0)
        monkeypatch.setattr(several, "BLOCK", 700)
        monkeypatch.setattr(several, "CACHED", 130)
    a, b = randn(40, 6), randn(40, 6, seed=1)
    seen = at_temperatures(a, b, queue, temperatures=TAUS)
    for i, tau in enumerate(TAUS):
        t = torch.full((40,), tau, dtype=torch.float64, requires_grad=True)
        losses, told = info_nce(
            a, b, queue, temperature=t, reduction="none", statistics=True, backend="dense"
        )
        (slope,) = torch.autograd.grad(losses.sum(), t)
        torch.testing.assert_close(seen.loss[i], losses.detach())
        torch.testing.assert_close(seen.effective_negatives[i], told.effective_negatives)
        torch.testing.assert_close(seen.slope[i], slope)
        torch.testing.assert_close(seen.hardest_negative, told.hardest_negative)
        torch.testing.assert_close(seen.positive_similarity, told.positive_similarity)


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 30), d=st.integers(1, 6), log_tau=st.floats(-4, 4))
def test_effective_negatives_grow_with_the_temperature(n: int, d: int, log_tau: float) -> None:
    low = 10**log_tau
    seen = at_temperatures(randn(n, d, seed=n), randn(n, d, seed=d), temperatures=[low, 2 * low])
    few, more = seen.effective_negatives
    assert bool((few <= more * (1 + 1e-9)).all())
    assert bool(torch.isfinite(seen.loss).all())
    assert bool((more <= max(n - 1, 1) * (1 + 1e-9)).all())


def test_a_single_pair_has_no_negatives() -> None:
    seen = at_temperatures(randn(1, 3), randn(1, 3, seed=1), temperatures=[0.1])
    assert float(seen.loss) == 0
    assert float(seen.pull) == 0


def test_no_temperatures_are_refused() -> None:
    with pytest.raises(InputError, match="no temperatures given"):
        at_temperatures(randn(3, 2), randn(3, 2), temperatures=[])
