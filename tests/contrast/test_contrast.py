"""The engine against the equation in float64: values, gradients, statistics, memory."""

import math
import subprocess
import sys
from functools import partial

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, softplus

from temperance.contrast import Layout, contrast, grid, threads, tiled
from temperance.functional import clip, info_nce, nt_xent, sigmoid

SUMS = ("rows", "both", "symmetric")


@pytest.fixture
def small_tiles(monkeypatch) -> None:
    """Several tiles each way, the last of them ragged."""
    monkeypatch.setattr(threads, "SMALL", 0)
    monkeypatch.setattr(tiled, "FLAT", (48, 64))
    monkeypatch.setattr(grid, "SIDE", 64)
    monkeypatch.setattr(tiled, "BLOCK", 48 * 64)
    monkeypatch.setattr(tiled, "PLACE", 24)


def vectors(n: int, d: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(n, d, generator=generator, dtype=torch.float64), dim=1).to(dtype)


def layout(sums: str, own: Tensor) -> Layout:
    return Layout(sums, own=own, itself=torch.arange(len(own)) if sums == "symmetric" else None)


def run(sums: str, a: Tensor, c: Tensor, *, weighted: bool = True, **options) -> list[Tensor]:
    """Losses, gradients and statistics of one call."""
    a = a.clone().requires_grad_()
    c = c.clone().requires_grad_()
    n = len(a)
    own = torch.arange(n).roll(n // 2 if sums == "symmetric" else 0)
    candidates = [] if sums == "symmetric" else [c[: n + 1], c[n + 1 :]]
    if sums == "both":
        candidates = [c]
    # Unequal weights show a gradient that forgets the incoming one.
    weights = torch.linspace(0.5, 1.5, 2 * n if sums == "both" else n, dtype=a.dtype)
    given = weights if weighted else None
    loss, told = contrast(
        a, candidates, None, layout(sums, own), weights=given, statistics=True, **options
    )
    (loss if weighted else torch.dot(loss, weights)).backward()
    grads = [a.grad] if sums == "symmetric" else [a.grad, c.grad]
    sides = [told.rows] if told.columns is None else [told.rows, told.columns]
    return [
        loss.detach(),
        *grads,
        told.target,
        *(x for s in sides for x in (s.log_sum, s.mean_logit, s.largest)),
    ]


def relative(found: Tensor, true: Tensor) -> float:
    norm = float(true.double().norm())
    return float((found.double() - true.double()).norm()) / norm if norm else float(found.norm())


@pytest.mark.parametrize("sums", SUMS)
@pytest.mark.parametrize("tau", [1e-4, 0.01, 0.07, 1.0, 1e4])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("small", ["one tile", "many"])
def test_tiles_give_what_the_whole_matrix_gives(
    sums: str, tau: float, weighted: bool, small: str, request: pytest.FixtureRequest
) -> None:
    if small == "many":
        request.getfixturevalue("small_tiles")
    n, d = 130, 7
    scale = tau**-0.5 if sums == "symmetric" else 1 / tau
    a, c = scale * vectors(n, d, 0), vectors(n if sums == "both" else 300, d, 1)
    options = {"weighted": weighted, "bound": 1 / tau}
    found = run(sums, a, c, backend="tiled", **options)
    true = run(sums, a, c, backend="dense", **options)
    for x, y in zip(found, true, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("sums", SUMS)
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("alone", [False, True])
def test_one_shift_serves_all_rows_unless_one_is_far_from_everything(
    sums: str, weighted: bool, alone: bool, small_tiles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tiled.UNSHIFTED, torch.float64, 40.0)
    monkeypatch.setitem(tiled.SHIFTED, torch.float64, 104.0)
    verdicts, held = [], tiled.held
    monkeypatch.setattr(tiled, "held", lambda sums: verdicts.append(held(sums)) or verdicts[-1])
    n, d = 130, 7
    centre = vectors(1, d, 2)
    a, c = (normalize(centre + 0.3 * vectors(m, d, i), dim=1) for i, m in enumerate((n, n)))
    if alone:
        a[5] = -centre
    scale = 0.01**-0.5
    a, c = (scale * a, c) if sums == "symmetric" else (100 * a, c)
    options = {"weighted": weighted, "bound": 100.0}
    found = run(sums, a, c, backend="tiled", **options)
    assert set(verdicts) == {not alone}
    true = run(sums, a, c, backend="dense", **options)
    for x, y in zip(found, true, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-30)


@pytest.mark.parametrize("fixed", [False, True])
def test_a_row_of_which_whole_tiles_do_not_count(fixed: bool, small_tiles: None) -> None:
    n, m, d = 60, 200, 5
    a, c = vectors(n, d, 0, torch.float32), -vectors(m, d, 0, torch.float32)[:1].expand(m, d)
    a = 1e4 * normalize(a[:1] + 0.1 * a, dim=1)
    # Those that count are at the end, and far below 0, where an empty tile's base would be.
    classes = (torch.arange(m) >= 190).long()
    there = Layout(anchor_class=torch.zeros(n).long(), candidate_class=classes)

    def run(backend: str) -> list[Tensor]:
        x, y = a.double() if backend == "dense" else a, c.double() if backend == "dense" else c
        x, y = x.clone().requires_grad_(), y.clone().requires_grad_(not fixed)
        loss, _ = contrast(
            x, [y], x.new_zeros(n) - 9e3, there, weights=x.new_ones(n), bound=1e4, backend=backend
        )
        loss.backward()
        return [loss.detach(), x.grad] + ([] if fixed else [y.grad])

    for x, y in zip(run("tiled"), run("dense"), strict=True):
        assert relative(x, y) < 1e-3


@pytest.mark.parametrize("sums", ["rows", "both"])
def test_small_weights_leave_a_gradient_where_all_are_alike(sums: str, small_tiles: None) -> None:
    n, d = 400, 8
    centre = vectors(1, d, 2)
    a, c = (normalize(centre + 0.03 * vectors(n, d, i), dim=1).float() for i in range(2))
    found, true = [], []
    for into, dtype, backend in ((found, torch.float32, "tiled"), (true, torch.float64, "dense")):
        x, y = (v.clone().to(dtype).requires_grad_() for v in (100 * a, c))
        loss, _ = contrast(
            x, [y], None, layout(sums, torch.arange(n)), bound=100.0, backend=backend
        )
        (1e-7 * loss.mean()).backward()
        into += [x.grad, y.grad]
    assert max(relative(x, y) for x, y in zip(found, true, strict=True)) < 1e-4


def half(worker: int, workers: int) -> float:
    """Half of a number that is hardly normal."""
    return float(torch.tensor([2e-38]) / 2)


def test_subnormal_numbers_are_zero_in_threads_and_nowhere_else() -> None:
    cpu = torch.device("cpu")
    assert threads.in_threads(half, 2, cpu) == [0.0, 0.0]
    assert threads.in_threads(half, 1, cpu)[0] > 0
    torch.set_num_threads(1)
    assert threads.in_threads(half, 1, cpu) == [0.0]
    assert half(0, 1) > 0
    torch.set_flush_denormal(True)
    try:
        threads.in_threads(half, 1, cpu)
        assert half(0, 1) == 0
    finally:
        torch.set_flush_denormal(False)


def test_subnormal_numbers_of_the_user_stay_after_a_small_loss() -> None:
    # In a fresh process, since torch starts its threads at the first operation that is large enough.
    code = """
import numpy, torch
from temperance.functional import info_nce
torch.set_num_threads(2)
x, y = (torch.from_numpy(numpy.random.randn(512, 16)).float().requires_grad_() for _ in range(2))
info_nce(x, y, temperature=0.1).backward()
print(int((torch.from_numpy(numpy.full(1 << 20, 2e-38, dtype="float32")) / 2 == 0).sum()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "0"


def test_the_whole_matrix_is_a_cross_entropy() -> None:
    a, c = 5 * vectors(9, 4, 0), vectors(9, 4, 1)
    own = torch.arange(9)
    both, _ = contrast(a, [c], None, Layout("both", own=own), backend="dense")
    torch.testing.assert_close(both[:9], cross_entropy(a @ c.T, own, reduction="none"))
    torch.testing.assert_close(both[9:], cross_entropy(c @ a.T, own, reduction="none"))
    other = own.roll(4)
    loss, _ = contrast(a, [], None, layout("symmetric", other), backend="dense")
    logits = (a @ a.T).fill_diagonal_(float("-inf"))
    torch.testing.assert_close(loss, cross_entropy(logits, other, reduction="none"))
    apart, _ = contrast(a, [c], a.sum(1), Layout(), target_in_sum=False, backend="dense")
    torch.testing.assert_close(apart, (a @ c.T).logsumexp(1) - a.sum(1))


LOSSES = {"info_nce": info_nce, "clip": clip, "nt_xent": nt_xent}


def with_gradients(loss, a: Tensor, b: Tensor, tau: float, dtype: torch.dtype, **options):
    a, b = (x.to(dtype).clone().requires_grad_() for x in (a, b))
    t = torch.tensor(tau, dtype=dtype, requires_grad=True)
    value = loss(a, b, temperature=t, **options)
    value.backward()
    return value.detach(), a.grad, b.grad, t.grad


def tied(how: str, n: int, d: int, tau: float) -> tuple[Tensor, Tensor]:
    """Pairs whose negatives are about as near as their positives."""
    a, noise = (vectors(n, d, seed, torch.float32) for seed in range(2))
    if how == "groups":
        centres, far = a[torch.arange(n) // 4], tau
    else:
        centres, far = a[:1], 0.03
    return tuple(normalize(centres + far * x, dim=1) for x in (noise, noise.flip(0)))


def rounding(a: Tensor, b: Tensor) -> float:
    """Error of a difference of two similarities in float32, four units or more.

    Processors sum products in different orders, some with twice the error of others.
    """
    x = torch.cat([a, b])
    apart = (x @ x.T).double() - x.double() @ x.double().T
    return max(4 * 2**-24, 2 * float(apart.abs().max()))


def terms(name: str, a: Tensor, b: Tensor, tau: float) -> tuple[float, float]:
    """Sums of w σ E|s⁺ - s|/τ², which bound the slope in τ, and of w σ/τ²."""
    a, b = (normalize(x.double(), dim=1) for x in (a, b))
    if name == "nt_xent":
        a = torch.cat([a, b])
        b, own = a, torch.arange(len(a)).roll(len(a) // 2)
    else:
        own = torch.arange(len(a))
    size = weight = 0.0
    for s in [a @ b.T, b @ a.T][: 1 + (name == "clip")]:
        apart = s - s.gather(1, own[:, None])
        shares = apart.scatter(1, own[:, None], -torch.inf)
        if name == "nt_xent":
            shares.fill_diagonal_(-torch.inf)
        unsolved = torch.sigmoid((shares / tau).logsumexp(1))
        shares = (shares / tau).softmax(1)
        size += float((unsolved * (shares * apart.abs()).sum(1)).mean()) / tau**2
        weight += float(unsolved.mean()) / tau**2
    return (size / 2, weight / 2) if name == "clip" else (size, weight)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("tau", [1e-4, 1e-3, 0.01, 0.07, 0.5, 1.0, 100.0, 1e4])
@pytest.mark.parametrize("converged", [False, True])
def test_float32_is_as_exact_as_float32_allows(name: str, tau: float, converged: bool) -> None:
    n, d = 300, 64
    a = vectors(n, d, 0, torch.float32)
    b = normalize(a + 0.02 * vectors(n, d, 1, torch.float32), dim=1) if converged else a.roll(1, 0)
    found = with_gradients(LOSSES[name], a, b, tau, torch.float32, backend="tiled")
    true = with_gradients(LOSSES[name], a, b, tau, torch.float64, backend="dense")
    unit = rounding(a, b)
    bound = unit / tau + 2e-6
    size, weight = terms(name, a, b, tau)
    for x, y in zip(found, true, strict=True):
        assert bool(torch.isfinite(x).all())
        if float(y.abs().max()) > torch.finfo(torch.float32).tiny * 1e6:
            if y is true[3]:
                assert abs(float(x - y)) <= bound * size + unit / 4 * weight
            else:
                assert relative(x, y) <= bound


def test_keeps_its_gradient_where_cross_entropy_loses_it() -> None:
    z = vectors(64, 32, 0)
    found = with_gradients(info_nce, z, z, 0.03, torch.float32, backend="tiled")
    true = with_gradients(info_nce, z, z, 0.03, torch.float64, backend="dense")
    assert float(true[0]) < 1e-2
    assert relative(found[0], true[0]) < 1e-5
    assert relative(found[3], true[3]) < 1e-5


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("tau", [1e-4, 1e-3, 0.01, 0.07])
@pytest.mark.parametrize("how", ["groups", "one cone"])
@pytest.mark.parametrize("n", [8, 300])
def test_the_slope_in_the_temperature_keeps_its_digits_where_negatives_tie_with_the_positive(
    name: str, tau: float, how: str, n: int
) -> None:
    a, b = tied(how, n, 64, tau)
    tau = float(torch.tensor(tau))
    found = with_gradients(LOSSES[name], a, b, tau, torch.float32, backend="tiled")
    true = with_gradients(LOSSES[name], a, b, tau, torch.float64, backend="dense")
    size, weight = terms(name, a, b, tau)
    unit = rounding(a, b)
    bound = unit / tau + 2e-6
    assert abs(float(true[3])) <= size * (1 + 1e-9)
    assert abs(float(found[3] - true[3])) <= bound * size + unit / 4 * weight
    for x, y in zip(found[:3], true[:3], strict=True):
        assert relative(x, y) <= bound


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float16, 2**-11), (torch.bfloat16, 2**-8)])
@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_computed_in_float32(name: str, dtype, rounding: float) -> None:
    a, b = (vectors(40, 16, seed, dtype) for seed in range(2))
    found = with_gradients(LOSSES[name], a, b, 0.07, dtype, backend="tiled")
    true = with_gradients(LOSSES[name], a, b, 0.07, torch.float64, backend="dense")
    assert found[0].dtype == torch.float32
    # The inputs are rounded and so is τ; the arithmetic is not.
    assert relative(found[0], true[0]) < 4 * rounding
    for x, y in zip(found[1:3], true[1:3], strict=True):
        assert x.dtype == dtype
        assert relative(x, y) < 8 * rounding


def test_autocast_does_not_lower_the_logits() -> None:
    a, b = vectors(40, 16, 0, torch.float32), vectors(40, 16, 1, torch.float32)
    for backend in ("tiled", "dense"):
        plain = info_nce(a, b, temperature=0.02, backend=backend)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = info_nce(a, b, temperature=0.02, backend=backend)
        torch.testing.assert_close(mixed, plain, rtol=0, atol=0)


@pytest.mark.usefixtures("small_tiles")
@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sums=st.sampled_from(SUMS),
    n=st.integers(1, 70),
    extra=st.integers(0, 150),
    d=st.integers(1, 9),
    log_tau=st.floats(-4, 4),
    duplicates=st.booleans(),
    weighted=st.booleans(),
)
def test_any_shape(sums, n, extra, d, log_tau, duplicates, weighted) -> None:
    tau = 10**log_tau
    n *= 1 + (sums == "symmetric")  # each is its positive's positive
    scale = tau**-0.5 if sums == "symmetric" else 1 / tau
    a, c = scale * vectors(n, d, n), vectors(n + (extra if sums == "rows" else 0), d, d)
    if duplicates:
        c = c[:1].expand(len(c), d)
    options = {"weighted": weighted, "bound": 1 / tau}
    found = run(sums, a, c, backend="tiled", **options)
    true = run(sums, a, c, backend="dense", **options)
    for x, y in zip(found, true, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-7, atol=1e-13 * (1 + 1 / tau))


@pytest.mark.parametrize("backend", ["tiled", "dense"])
def test_no_negative_left_means_no_loss_and_no_gradient(backend: str) -> None:
    z = vectors(1, 4, 0)
    for x in with_gradients(info_nce, z, z, 0.1, torch.float64, backend=backend):
        assert float(x.abs().sum()) == 0


@pytest.mark.parametrize("weighted", [True, False])
def test_second_derivatives_are_refused_unless_dense(weighted: bool) -> None:
    a = vectors(5, 4, 0).requires_grad_()
    reduction = "mean" if weighted else "none"
    loss = info_nce(a, vectors(5, 4, 1), reduction=reduction, backend="tiled").sum()
    with pytest.raises(RuntimeError, match="no second derivatives; use backend='dense'"):
        torch.autograd.grad(loss, a, create_graph=True)
    loss = info_nce(a, vectors(5, 4, 1), backend="dense")
    (slope,) = torch.autograd.grad(loss, a, create_graph=True)
    assert torch.autograd.grad(slope.square().sum(), a)[0].abs().sum() > 0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_saves_no_matrix_for_the_backward_pass(name: str, reduction: str) -> None:
    n, d = 1024, 16
    a, b = (vectors(n, d, seed, torch.float32).requires_grad_() for seed in range(2))
    saved: dict[int, int] = {}

    def count(x: Tensor) -> Tensor:
        saved[x.data_ptr()] = x.numel() * x.element_size()
        return x

    with torch.autograd.graph.saved_tensors_hooks(count, lambda x: x):
        LOSSES[name](a, b, reduction=reduction, backend="tiled")
    vectors_saved = 2 * n * d * 4  # gradients, or the inputs that they are yet to be taken of
    assert sum(saved.values()) <= vectors_saved + 64 * n  # the matrix would be 4 MB


def test_gradients_may_be_asked_for_twice() -> None:
    a, b = vectors(40, 8, 0).requires_grad_(), vectors(40, 8, 1)
    loss = info_nce(a, b, backend="tiled")
    found = torch.autograd.grad(loss, a, retain_graph=True)[0]
    first = found.clone()
    found.mul_(5)  # as clipping does
    torch.testing.assert_close(torch.autograd.grad(3 * loss, a)[0], 3 * first)


@pytest.mark.parametrize("n", [40, 2000])
@pytest.mark.parametrize("again", [False, True])
def test_gradients_are_copied_only_for_who_may_ask_again(n: int, again: bool) -> None:
    a, b = (vectors(n, 8, seed, torch.float32).requires_grad_() for seed in range(2))
    kept = []

    def keep(x):
        kept.append(x.untyped_storage().data_ptr())
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        loss = info_nce(a, b, backend="tiled")
    loss.backward(retain_graph=again)
    for x in (a, b):
        assert (x.grad.untyped_storage().data_ptr() in kept) is not again


@pytest.mark.parametrize("loss", [info_nce, nt_xent, clip])
def test_gradients_are_whoever_receives_them(loss) -> None:
    """One may be changed while the other is still needed, or followed; many may be asked for at once."""
    a, b = (vectors(40, 8, seed).requires_grad_() for seed in range(2))
    true = torch.autograd.grad(loss(a, b, backend="dense"), [a, b])
    w = torch.tensor(2.0, requires_grad=True)
    loss(a, b, backend="tiled").backward()
    later = (b.grad * w).sum()
    a.grad.zero_()
    later.backward()
    torch.testing.assert_close(w.grad.double(), true[1].sum())
    mine = torch.autograd.grad(loss(a, b, backend="tiled"), [a, b])
    assert all(x.mul_(w).requires_grad for x in mine)
    many = torch.autograd.grad(
        loss(a, b, backend="tiled"),
        [a, b],
        torch.arange(3.0, dtype=torch.float64),
        is_grads_batched=True,
    )
    for x, y in zip(many, true, strict=True):
        torch.testing.assert_close(x, torch.arange(3.0)[:, None, None] * y)
    a.grad = None
    loss(a, b.detach(), backend="tiled").backward()
    assert a.grad.untyped_storage().nbytes() == a.grad.nbytes


@pytest.mark.parametrize("n", [40, 1600])
@pytest.mark.parametrize("loss", [info_nce, nt_xent])
def test_whatever_receives_a_gradient(n: int, loss) -> None:
    """One tensor as both sides, frozen sides, τ alone, and twice the same pass: as dense has it."""
    a, b, tau = (
        *(vectors(n, 8, seed) for seed in range(2)),
        torch.linspace(0.1, 0.2, 2 * n).double(),
    )
    scalar, each = torch.tensor(0.1).double(), tau[:n] if loss is info_nce else tau
    for sides, wanted in (
        ((a, a, scalar), (0, 1)),
        ((a, a, scalar), (0, 1, 2)),
        ((a, b, scalar), (1,)),
        ((a, b, scalar), (2,)),
        ((a, b, each), (1, 2)),
        ((a, b, each), (2,)),
    ):
        found = []
        for backend in ("tiled", "dense"):
            x, y, t = (v.clone().requires_grad_(i in wanted) for i, v in enumerate(sides))
            y = x if sides[0] is sides[1] else y
            leaves = [v for v in {id(v): v for v in (x, y, t)}.values() if v.requires_grad]
            for reduction in ("mean", "none"):
                value = loss(x, y, temperature=t, reduction=reduction, backend=backend).mean()
                for _ in range(2):
                    found += [
                        g.clone() for g in torch.autograd.grad(value, leaves, retain_graph=True)
                    ]
        for mine, true in zip(found[: len(found) // 2], found[len(found) // 2 :], strict=True):
            torch.testing.assert_close(mine, true, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("n", [40, 2000])
def test_no_gradient_is_taken_where_none_may_be_asked_for(n: int, monkeypatch) -> None:
    a, b = (vectors(n, 8, seed, torch.float32).requires_grad_() for seed in range(2))
    for name in ("whole", "one_pass"):
        monkeypatch.setattr(tiled, name, None)
    with torch.no_grad():
        assert info_nce(a, b).isfinite()


def test_limits_of_the_temperature() -> None:
    a, c = vectors(6, 8, 0), vectors(6, 8, 1)
    similarity = a @ c.T
    positive = similarity.diagonal()
    negative = similarity.masked_fill(torch.eye(6, dtype=torch.bool), float("-inf"))
    cold = 1e-4 * info_nce(a, c, temperature=1e-4, reduction="none", backend="tiled")
    torch.testing.assert_close(cold, (negative.amax(1) - positive).clamp_min(0), rtol=0, atol=1e-3)
    hot = info_nce(a, c, temperature=1e4, reduction="none", backend="tiled")
    first_order = math.log(6) + (similarity.sum(1) - 6 * positive) / (6 * 1e4)
    torch.testing.assert_close(hot, first_order, rtol=0, atol=1e-8)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("loss", [info_nce, clip, nt_xent, sigmoid])
def test_the_same_number_of_threads_gives_the_same_digits_and_is_left_as_it_was(loss) -> None:
    before = torch.get_num_threads()
    a, b = vectors(500, 16, 0, torch.float32), vectors(500, 16, 1, torch.float32)
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            first, second = (
                with_gradients(loss, a, b, 0.07, torch.float32, backend="tiled") for _ in range(2)
            )
            assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(
    "loss", [info_nce, partial(info_nce, in_batch=True), clip, nt_xent, sigmoid]
)
def test_many_threads_add_up_to_what_the_whole_matrix_gives(loss, monkeypatch) -> None:
    monkeypatch.setattr(tiled, "FLAT", (48, 200))  # so that several add to one tile side by side
    before = torch.get_num_threads()
    found = []
    torch.set_num_threads(5)
    try:
        for backend in ("tiled", "dense"):
            leaves = [vectors(k, 8, seed).requires_grad_() for seed, k in enumerate((301, 301, 77))]
            given = leaves[: 3 if isinstance(loss, partial) else 2]
            loss(*given, temperature=0.1, backend=backend).backward()
            found.append([x.grad for x in given])
    finally:
        torch.set_num_threads(before)
    for mine, true in zip(*found, strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-9, atol=1e-13)


def test_candidates_outside_a_class_or_below_a_floor_are_left_out() -> None:
    a, c = 4 * vectors(20, 5, 0), vectors(30, 5, 1)
    anchor_class, candidate_class = torch.arange(20) % 3, torch.arange(30) % 3
    logits = a @ c.T
    same = anchor_class[:, None] == candidate_class
    floor = logits.quantile(0.7, dim=1)
    for layout, kept in (
        (Layout(anchor_class=anchor_class, candidate_class=candidate_class), ~same),
        (
            Layout(anchor_class=anchor_class, candidate_class=candidate_class, same_class=True),
            same,
        ),
        (Layout(floor=floor), logits >= floor[:, None]),
    ):
        true = softplus(logits.masked_fill(~kept, float("-inf")).logsumexp(1) - a.sum(1))
        for backend in ("tiled", "dense"):
            found, _ = contrast(a, [c], a.sum(1), layout, backend=backend)
            torch.testing.assert_close(found, true)
