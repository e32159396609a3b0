"""The tiled path against the equation in float64, values and every gradient."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from temperance.contrast import contrast, dense_contrast, tiled

Result = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def vectors(n: int, d: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(n, d, generator=generator, dtype=torch.float64), dim=1).to(dtype)


def run(function, a, p, c, tau, excluded, dtype: torch.dtype) -> Result:
    inputs = [x.to(dtype).clone().requires_grad_() for x in (a, p, c)]
    t = torch.tensor(
        tau, dtype=dtype if dtype == torch.float64 else torch.float32, requires_grad=True
    )
    losses = function(*inputs, t, excluded)
    # Unequal weights show a gradient that forgets the incoming one.
    weights = torch.linspace(0.5, 1.5, len(a), dtype=losses.dtype)
    (losses * weights).sum().backward()
    return (losses.detach(), *(x.grad for x in inputs), t.grad)


def relative(found: Tensor, true: Tensor) -> float:
    norm = float(true.double().norm())
    return float((found.double() - true.double()).norm()) / norm if norm else float(found.norm())


def in_batch(n: int) -> Tensor:
    return torch.arange(n)[:, None]


@pytest.mark.parametrize(
    ("n", "m", "d"), [(1, 1, 1), (7, 7, 3), (300, 300, 16), (5, 2100, 8), (700, 3, 8)]
)
@pytest.mark.parametrize("tau", [1e-4, 0.01, 0.07, 1.0, 1e4])
def test_matches_the_equation_in_float64(n: int, m: int, d: int, tau: float, monkeypatch) -> None:
    monkeypatch.setattr(tiled, "TILE", 2048)  # several tiles each way, the last of them ragged
    monkeypatch.setattr(tiled, "COLUMNS", 256)
    a, p, c = vectors(n, d, 0), vectors(n, d, 1), vectors(m, d, 2)
    excluded = in_batch(n) if n == m and n > 1 else None
    found = run(contrast, a, p, c, tau, excluded, torch.float64)
    true = run(dense_contrast, a, p, c, tau, excluded, torch.float64)
    for x, y in zip(found, true, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("tau", [1e-4, 1e-3, 0.01, 0.07, 0.5, 1.0, 100.0, 1e4])
@pytest.mark.parametrize("converged", [False, True])
def test_float32_gradients_are_as_exact_as_float32_allows(tau: float, converged: bool) -> None:
    n, d = 512, 64
    a = vectors(n, d, 0, torch.float32)
    p = normalize(a + 0.02 * vectors(n, d, 1, torch.float32), dim=1) if converged else a.roll(1, 0)
    excluded = in_batch(n)
    found = run(contrast, a, p, p, tau, excluded, torch.float32)
    true = run(dense_contrast, a, p, p, tau, excluded, torch.float64)
    bound = 4 * 2**-24 / tau + 2e-6
    for x, y in zip(found, true, strict=True):
        assert bool(torch.isfinite(x).all())
        if float(y.abs().max()) > torch.finfo(torch.float32).tiny * 1e6:
            assert relative(x, y) <= bound


def test_keeps_its_gradient_where_cross_entropy_loses_it() -> None:
    n, d, tau = 64, 32, 0.03
    z = vectors(n, d, 0)
    found = run(contrast, z, z, z, tau, in_batch(n), torch.float32)
    true = run(dense_contrast, z, z, z, tau, in_batch(n), torch.float64)
    inputs = z.float().clone().requires_grad_()
    logits = inputs @ z.float().T / tau
    torch.nn.functional.cross_entropy(logits, torch.arange(n), reduction="sum").backward()
    assert float(true[0].max()) < 1e-2
    assert relative(found[0], true[0]) < 1e-5


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float16, 2**-11), (torch.bfloat16, 2**-8)])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, rounding: float) -> None:
    a, p, c = (vectors(40, 16, seed, dtype) for seed in range(3))
    found = run(contrast, a, p, c, 0.07, None, dtype)
    true = run(dense_contrast, a, p, c, 0.07, None, torch.float64)
    assert found[0].dtype == torch.float32
    assert relative(found[0], true[0]) < 1e-5  # the inputs are rounded, the arithmetic is not
    for x, y in zip(found[1:4], true[1:4], strict=True):
        assert x.dtype == dtype
        assert relative(x, y) < 2 * rounding


def test_autocast_does_not_lower_the_logits() -> None:
    a, c = vectors(40, 16, 0, torch.float32), vectors(50, 16, 1, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = contrast(a, a, c, torch.tensor(0.02))
    torch.testing.assert_close(found, contrast(a, a, c, torch.tensor(0.02)), rtol=0, atol=0)


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 40),
    m=st.integers(1, 70),
    d=st.integers(1, 9),
    log_tau=st.floats(-4, 4),
    duplicates=st.booleans(),
)
def test_any_shape(n: int, m: int, d: int, log_tau: float, duplicates: bool) -> None:
    a, p, c = vectors(n, d, n), vectors(n, d, m), vectors(m, d, d)
    if duplicates:
        c = c[:1].expand(m, d)
        p = c[:1].expand(n, d)
    found = run(contrast, a, p, c, 10**log_tau, None, torch.float64)
    true = run(dense_contrast, a, p, c, 10**log_tau, None, torch.float64)
    for x, y in zip(found, true, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-7, atol=1e-12 / 10**log_tau + 1e-14 / 100**log_tau)


def test_no_negative_left_means_no_loss_and_no_gradient() -> None:
    z = vectors(1, 4, 0)
    for grad in run(contrast, z, z, z, 0.1, in_batch(1), torch.float64):
        assert float(grad.abs().sum()) == 0


def test_second_derivatives_are_refused() -> None:
    a = vectors(3, 4, 0).requires_grad_()
    losses = contrast(a, a.detach(), vectors(5, 4, 1), torch.tensor(0.1, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="no second derivatives; use dense_contrast"):
        torch.autograd.grad(losses.sum(), a, create_graph=True)


def test_saves_no_matrix_for_the_backward_pass() -> None:
    n, d = 1024, 16
    a = vectors(n, d, 0, torch.float32).requires_grad_()
    saved = 0

    def count(x: Tensor) -> Tensor:
        nonlocal saved
        saved += x.numel() * x.element_size()
        return x

    with torch.autograd.graph.saved_tensors_hooks(count, lambda x: x):
        contrast(a, a, a, torch.tensor(0.1), in_batch(n))
    inputs = 3 * n * d * 4
    assert saved <= inputs + 64 * n  # a few numbers a row; the matrix would be 4 MB


def test_limits_of_the_temperature() -> None:
    a, p, c = vectors(6, 8, 0), vectors(6, 8, 1), vectors(9, 8, 2)
    positive, negative = (a * p).sum(1), a @ c.T
    cold = contrast(a, p, c, torch.tensor(1e-4, dtype=torch.float64)) * 1e-4
    torch.testing.assert_close(cold, (negative.amax(1) - positive).clamp_min(0), rtol=0, atol=1e-3)
    hot = contrast(a, p, c, torch.tensor(1e4, dtype=torch.float64))
    first_order = math.log(10) + (negative.sum(1) - 9 * positive) / (10 * 1e4)
    torch.testing.assert_close(hot, first_order, rtol=0, atol=1e-8)
