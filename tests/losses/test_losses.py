"""The losses against their equations, and what they refuse."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from temperance import InfoNCE, InputError, NTXent
from temperance.functional import info_nce, nt_xent


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_info_nce_in_batch_is_a_cross_entropy(similarity: str, reduction: str) -> None:
    q, k = randn(9, 5), randn(9, 5, seed=1)
    unit = (lambda x: normalize(x, dim=1)) if similarity == "cosine" else (lambda x: x)
    true = cross_entropy(unit(q) @ unit(k).T / 0.3, torch.arange(9), reduction=reduction)
    found = info_nce(q, k, temperature=0.3, similarity=similarity, reduction=reduction)
    torch.testing.assert_close(found, true)


def test_info_nce_with_a_queue_sees_the_positive_and_the_queue_only() -> None:
    q, k, queue = randn(6, 5), randn(6, 5, seed=1), randn(11, 5, seed=2)
    qn, kn, nn = (normalize(x, dim=1) for x in (q, k, queue))
    logits = torch.cat([(qn * kn).sum(1, keepdim=True), qn @ nn.T], dim=1) / 0.07
    true = cross_entropy(logits, torch.zeros(6, dtype=torch.long))
    torch.testing.assert_close(info_nce(q, k, queue, temperature=0.07), true)
    everything = torch.cat([qn @ kn.T, qn @ nn.T], dim=1) / 0.07
    torch.testing.assert_close(
        info_nce(q, k, queue, temperature=0.07, in_batch=True),
        cross_entropy(everything, torch.arange(6)),
    )


def test_nt_xent_has_two_anchors_an_instance_and_no_self() -> None:
    a, b = randn(7, 5), randn(7, 5, seed=1)
    z = normalize(torch.cat([a, b]), dim=1)
    logits = (z @ z.T / 0.2).fill_diagonal_(float("-inf"))
    true = cross_entropy(logits, torch.arange(14).roll(7), reduction="none")
    torch.testing.assert_close(nt_xent(a, b, temperature=0.2, reduction="none"), true)


@pytest.mark.parametrize("loss", [info_nce, nt_xent])
def test_the_temperature_gets_its_gradient(loss) -> None:
    a, b = randn(8, 5), randn(8, 5, seed=1)
    tau = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    loss(a, b, temperature=tau).backward()
    step = 1e-6
    slope = (loss(a, b, temperature=0.2 + step) - loss(a, b, temperature=0.2 - step)) / (2 * step)
    torch.testing.assert_close(tau.grad, slope, rtol=1e-6, atol=1e-9)


def test_gradients_by_finite_differences() -> None:
    a = randn(5, 4).requires_grad_()
    b = randn(5, 4, seed=1).requires_grad_()
    queue = randn(3, 4, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda q, k, n: info_nce(q, k, n, temperature=0.5, in_batch=True), (a, b, queue)
    )
    assert torch.autograd.gradcheck(lambda x, y: nt_xent(x, y, temperature=0.5), (a, b))


def test_modules_hold_what_the_functions_are_given() -> None:
    a, b = randn(6, 4), randn(6, 4, seed=1)
    assert InfoNCE(0.3, similarity="dot", reduction="sum")(a, b) == info_nce(
        a, b, temperature=0.3, similarity="dot", reduction="sum"
    )
    assert NTXent(0.3)(a, b) == nt_xent(a, b, temperature=0.3)


@pytest.mark.parametrize("temperature", [0.0, -0.1, float("nan"), float("inf")])
def test_a_temperature_that_is_none_is_refused(temperature: float) -> None:
    with pytest.raises(InputError, match="not positive and finite"):
        info_nce(randn(3, 2), randn(3, 2), temperature=temperature)


def test_vectors_that_cannot_be_compared_are_refused_by_name_and_row() -> None:
    good = randn(4, 3)
    zero, broken = good.clone(), good.clone()
    zero[2] = 0
    broken[1, 1] = float("nan")
    with pytest.raises(InputError, match="row 2 of queries is the zero vector"):
        info_nce(zero, good)
    with pytest.raises(InputError, match="row 1 of view_b holds nan"):
        nt_xent(good, broken)
    with pytest.raises(InputError, match="row 1 of negatives holds nan"):
        info_nce(good, good, broken)
    assert torch.isfinite(info_nce(zero, good, similarity="dot"))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="one positive for each row"):
        info_nce(randn(4, 3), randn(5, 3))
    with pytest.raises(InputError, match=r"give \(n, d\)"):
        nt_xent(randn(0, 3), randn(0, 3))
    with pytest.raises(InputError, match="as wide as"):
        info_nce(randn(4, 3), randn(4, 3), randn(6, 2))
    with pytest.raises(InputError, match="leaves no candidates"):
        info_nce(randn(4, 3), randn(4, 3), in_batch=False)
    with pytest.raises(InputError, match="floating-point"):
        info_nce(torch.ones(4, 3, dtype=torch.long), torch.ones(4, 3, dtype=torch.long))
