"""The kernels against the equation in float64; on the CPU by Triton's interpreter (see ``conftest``)."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from temperance import InputError
from temperance.contrast import Layout, contrast, tiled, triton
from temperance.contrast.layout import Candidates
from temperance.functional import clip, decoupled, hard_contrastive, info_nce, nt_xent, sup_con

pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DOUBLE = torch.float64


@pytest.fixture
def small_tiles(monkeypatch) -> None:
    """Several tiles each way in few rows, and several pieces of few coordinates."""
    monkeypatch.setattr(triton, "ROWS", 16)
    monkeypatch.setattr(triton, "COLUMNS", 16)
    monkeypatch.setattr(triton, "WIDTH", 16)


def vectors(n: int, d: int, seed: int, dtype: torch.dtype = DOUBLE) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = normalize(torch.randn(n, d, generator=generator, dtype=DOUBLE), dim=1)
    return x.to(DEVICE, dtype)


def number(x: float, dtype: torch.dtype = DOUBLE) -> Tensor:
    return torch.tensor(x, dtype=dtype, device=DEVICE)


def gradients(loss, *inputs: Tensor) -> list[Tensor]:
    """The value and its gradients in all inputs, with unequal weights where it is one for each anchor."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    value = loss(*leaves)
    if value.ndim:
        weights = torch.linspace(0.5, 1.5, len(value), dtype=value.dtype, device=DEVICE)
        value = torch.dot(value, weights)
    return [value.detach(), *torch.autograd.grad(value, leaves)]


def agree(found, true) -> None:
    for x, y in zip(found, true, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-12)


def relative(found: Tensor, true: Tensor) -> float:
    norm = float(true.double().norm())
    return float((found.double() - true.double()).norm()) / norm if norm else float(found.norm())


def classes(n: int) -> Tensor:
    return torch.arange(n, device=DEVICE) % 3


def per_anchor(n: int, t: Tensor) -> Tensor:
    return t * torch.linspace(1, 2, n, dtype=t.dtype, device=DEVICE)


def queue(like: Tensor) -> Tensor:
    """Without a gradient, and so read where it lies; each vector is a column of what is in memory."""
    return vectors(like.shape[1], 50, 5, like.dtype).T


# Each from two views and τ.
LOSSES = {
    "info_nce": lambda a, b, t, **o: info_nce(a, b, temperature=t, **o),
    "queue": lambda a, b, t, **o: info_nce(a, b, queue(a), temperature=t, in_batch=True, **o),
    "learned queue, τ for each": lambda a, b, t, **o: info_nce(
        a, b, -b.repeat(2, 1), temperature=per_anchor(len(a), t), **o
    ),
    "nt_xent": lambda a, b, t, **o: nt_xent(a, b, temperature=t, **o),
    "nt_xent, τ for each": lambda a, b, t, **o: nt_xent(
        a, b, temperature=per_anchor(2 * len(a), t), **o
    ),
    "clip": lambda a, b, t, **o: clip(a, b, temperature=t, **o),
    "clip, frozen text": lambda a, b, t, **o: clip(a + b, b.detach(), temperature=t, **o),
    "decoupled": lambda a, b, t, **o: decoupled(a, b, temperature=t, **o),
    "sup_con": lambda a, b, t, **o: sup_con(
        torch.cat([a, b]), classes(2 * len(a)), temperature=t, **o
    ),
    "sup_con, inside": lambda a, b, t, **o: sup_con(
        torch.cat([a, b]), classes(2 * len(a)), temperature=t, inside=True, **o
    ),
    "hard": lambda a, b, t, **o: hard_contrastive(
        a, b, queue(a), temperature=t, in_batch=True, share=0.2, **o
    ),
}
every = pytest.mark.parametrize("name", LOSSES)


@every
@pytest.mark.usefixtures("small_tiles")
def test_values_and_gradients_in_several_tiles(name: str) -> None:
    inputs = vectors(19, 20, 0), vectors(19, 20, 1), number(0.07)
    found, true = (
        gradients(lambda *x, b=b: LOSSES[name](*x, reduction="none", backend=b), *inputs)
        for b in ("triton", "dense")
    )
    agree(found, true)


@pytest.mark.parametrize(
    ("name", "n", "d"),
    [
        *((name, n, 3) for name in ("info_nce", "nt_xent", "clip") for n in (1, 7)),
        ("info_nce", 33, 20),
        ("nt_xent", 33, 20),
        ("clip", 70, 130),
    ],
)
def test_any_shape(name: str, n: int, d: int) -> None:
    inputs = vectors(n, d, 0), vectors(n, d, 1), number(0.2)
    found, true = (
        gradients(lambda *x, b=b: LOSSES[name](*x, backend=b), *inputs) for b in ("triton", "dense")
    )
    agree(found, true)


@every
@pytest.mark.parametrize("tau", [1e-3, 0.07, 10.0])
@pytest.mark.parametrize("converged", [False, True])
def test_float32_is_as_exact_as_float32_allows(name: str, tau: float, converged: bool) -> None:
    n, d = 40, 16
    a = vectors(n, d, 0, torch.float32)
    b = normalize(a + 0.02 * vectors(n, d, 1, torch.float32), dim=1) if converged else a.roll(1, 0)
    found = gradients(
        lambda *x: LOSSES[name](*x, backend="triton"), a, b, number(tau, torch.float32)
    )
    true = gradients(
        lambda *x: LOSSES[name](*x, backend="dense"), a.double(), b.double(), number(tau)
    )
    for x, y in zip(found, true, strict=True):
        assert x.dtype == torch.float32
        assert bool(torch.isfinite(x).all())
        if float(y.abs().max()) > torch.finfo(torch.float32).tiny * 1e6:
            assert relative(x, y) <= 4 * 2**-24 / tau + 2e-6


def test_half_precision_is_computed_in_float32() -> None:
    a, b = vectors(19, 16, 0, torch.bfloat16), vectors(19, 16, 1, torch.bfloat16)
    found = gradients(lambda *x: LOSSES["queue"](*x, number(0.07), backend="triton"), a, b)
    exact = (x.double() for x in (a, b))
    stored = queue(a).double()
    true = gradients(lambda x, y: info_nce(x, y, stored, in_batch=True, backend="dense"), *exact)
    assert found[0].dtype == torch.float32
    assert relative(found[0], true[0]) < 1e-6
    for x, y in zip(found[1:], true[1:], strict=True):
        assert relative(x, y) < 2**-8  # they are brought back to the type of the inputs


@pytest.mark.parametrize("loss", [info_nce, nt_xent, clip])
@pytest.mark.usefixtures("small_tiles")
def test_statistics(loss) -> None:
    a, b = vectors(19, 20, 0), vectors(19, 20, 1)
    options = {} if loss is clip else {"classes": classes(19)}
    (value, found), (_, true) = (
        loss(a, b, temperature=0.07, statistics=True, backend=backend, **options)
        for backend in ("triton", "dense")
    )
    assert value == loss(a, b, temperature=0.07, backend="triton")
    agree(vars(found).values(), vars(true).values())


def layouts(n: int, m: int) -> dict[str, Layout]:
    mine, theirs = classes(n), classes(m)
    mine[2] = 7  # no candidate is of its class
    floor = torch.linspace(-1, 9, n, dtype=DOUBLE, device=DEVICE)  # in the end above all logits
    own = torch.arange(n, device=DEVICE)
    return {
        "all": Layout(),
        "own and itself": Layout(own=own.roll(1), itself=own),
        "other classes": Layout(anchor_class=mine, candidate_class=theirs, floor=floor),
        "one class": Layout(anchor_class=mine, candidate_class=theirs, same_class=True),
        "both": Layout("both", own=own),
        "both, few": Layout(
            "both", own=own.roll(2), anchor_class=mine, candidate_class=theirs, floor=floor
        ),
        "symmetric": Layout("symmetric", own=own.roll(n // 2), itself=own),
    }


@pytest.mark.parametrize("name", layouts(4, 4))
@pytest.mark.parametrize("programs", [1, 512])
@pytest.mark.usefixtures("small_tiles")
def test_gives_what_tiles_give(name: str, programs: int, monkeypatch) -> None:
    monkeypatch.setattr(triton, "PROGRAMS", programs)  # rows whole, or split
    n, m, d = 24, 40, 20
    layout = layouts(n, m)[name]
    a, c = 5 * vectors(n, d, 0), vectors(m, d, 1)
    scale = torch.linspace(0.5, 2, 18, dtype=DOUBLE, device=DEVICE)
    candidates = Candidates((c[:22], c[22:].float()), (None, scale))
    if layout.sums == "symmetric":
        candidates = Candidates((a,), (None,))
    wanted = (layout.sums != "symmetric", False)[: len(candidates.parts)]
    found, (rows, columns) = (
        run.log_sums(a, candidates, layout, None, True) for run in (triton, tiled)
    )
    for x, y in zip(found, (rows, columns), strict=True):
        assert (x is None) == (y is None)
        if x is not None:
            agree((x.log_sum, *x.flat()[2:]), (y.log_sum, *y.flat()[2:]))
    few = layout.floor is not None or name == "one class"
    assert bool((rows.log_sum == float("-inf")).any()) == few
    slope = torch.linspace(1, 2, len(candidates), dtype=DOUBLE, device=DEVICE)
    at = rows.base, slope[:n].flip(0)
    there = None if columns is None else (columns.base, slope)
    (found, theirs), (true, others) = (
        run.gradients(a, candidates, layout, None, at, there, wanted) for run in (triton, tiled)
    )
    assert [x is not None for x in theirs] == list(wanted)
    agree([found, *theirs[: sum(wanted)]], [true, *others[: sum(wanted)]])


@pytest.mark.usefixtures("small_tiles")
def test_the_same_call_gives_the_same_digits() -> None:
    inputs = vectors(19, 20, 0, torch.float32), vectors(19, 20, 1, torch.float32)
    first, second = (gradients(lambda a, b: clip(a, b, backend="triton"), *inputs) for _ in "ab")
    assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


def test_what_the_kernels_cannot_do_is_refused(monkeypatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    a = torch.eye(3)
    with pytest.raises(InputError, match="needs CUDA vectors and the triton package; give backend"):
        info_nce(a, a, backend="triton")
    monkeypatch.setattr(triton, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs CUDA vectors and the triton package; give backend"):
        contrast(a, [a], a.sum(1), Layout(), backend="triton")
    with pytest.raises(InputError, match="'triton' takes a named similarity; give backend='auto'"):
        info_nce(a, a, similarity=lambda x, y: x @ y.T, backend="triton")
