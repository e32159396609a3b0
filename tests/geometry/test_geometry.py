"""Each measure against its definition, written out pair by pair in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from temperance import InputError
from temperance.geometry import (
    alignment,
    describe,
    effective_negatives,
    effective_rank,
    hardness,
    neighbour_consistency,
    push_by_similarity,
    relative_penalty,
    tolerance,
    uniformity,
    vectors,
)


def randn(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(vectors, "BLOCK", 50)


def test_alignment_is_the_mean_squared_distance_of_unit_vectors() -> None:
    a, b = randn(20, 4), randn(20, 4, 1)
    pairs = [(x / x.norm() - y / y.norm()).norm() ** 2 for x, y in zip(a, b, strict=True)]
    assert alignment(a, b) == pytest.approx(float(sum(pairs) / 20))
    assert alignment(3 * a, 0.1 * a) == pytest.approx(0)


def test_uniformity_leaves_out_each_row_with_itself() -> None:
    x = randn(23, 4)
    u = normalize(x, dim=1)
    terms = [
        math.exp(-2 * float((u[i] - u[j]).norm()) ** 2)
        for i in range(23)
        for j in range(23)
        if i != j
    ]
    assert uniformity(x) == pytest.approx(math.log(sum(terms) / len(terms)))
    assert uniformity(torch.ones(5, 3)) == pytest.approx(0, abs=1e-5)


def test_uniformity_of_the_sphere_is_the_published_ideal() -> None:
    assert uniformity(randn(3000, 128)) == pytest.approx(-3.94, abs=0.01)


def test_tolerance_is_the_mean_over_pairs_of_one_class() -> None:
    x, labels = randn(15, 4), torch.tensor([0, 1, 2] * 4 + [0, 0, 7])
    u = normalize(x, dim=1)
    pairs = [
        float(u[i] @ u[j])
        for i in range(15)
        for j in range(15)
        if i != j and labels[i] == labels[j]
    ]
    assert tolerance(x, labels) == pytest.approx(sum(pairs) / len(pairs))
    with pytest.raises(InputError, match="no class has two members"):
        tolerance(x, torch.arange(15))


def test_effective_rank_counts_the_dimensions_in_use() -> None:
    spread = torch.eye(6, dtype=torch.float64).repeat(4, 1)
    assert effective_rank(spread) == pytest.approx(6)
    assert effective_rank(torch.ones(8, 6)) == pytest.approx(1, abs=1e-4)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=30), st.floats(-3, 3))
def test_shares_sum_to_one_and_effective_negatives_lie_between(
    s: list[float], log_tau: float
) -> None:
    similarities, tau = torch.tensor(s, dtype=torch.float64), 10**log_tau
    shares = relative_penalty(similarities, tau)
    assert float(shares.sum()) == pytest.approx(1)
    assert 1 - 1e-9 <= float(effective_negatives(similarities, tau)) <= len(s) + 1e-9
    # They grow with τ: dH/dτ = Var/τ³ >= 0.
    assert float(effective_negatives(similarities, 2 * tau)) >= (
        float(effective_negatives(similarities, tau)) - 1e-9
    )


def test_hardness_against_each_anchor_by_itself() -> None:
    a, p, labels = randn(17, 5), randn(17, 5, 1), torch.tensor([0, 1] * 8 + [0])
    found = hardness(a, p, 0.2, labels, top=3)
    ua, up = normalize(a, dim=1), normalize(p, dim=1)
    for i in range(17):
        others = torch.tensor([k for k in range(17) if k != i])
        s = up[others] @ ua[i]
        shares = relative_penalty(s, 0.2)
        order = s.argsort(descending=True)[:3]
        assert float(found.positive_similarity[i]) == pytest.approx(float(up[i] @ ua[i]))
        torch.testing.assert_close(found.top_similarity[i], s[order])
        assert found.top_index[i].tolist() == others[order].tolist()
        torch.testing.assert_close(found.top_share[i], shares[order])
        assert float(found.effective_negatives[i]) == pytest.approx(
            float(effective_negatives(s, 0.2))
        )
        assert float(found.false_negative_mass[i]) == pytest.approx(
            float(shares[labels[others] == labels[i]].sum())
        )
        assert bool(found.hits[i]) == (float(up[i] @ ua[i]) > float(s.max()))


def test_the_push_by_similarity_is_a_distribution_that_cools_to_the_right() -> None:
    a, p = randn(40, 6), randn(40, 6, 1)
    centres = torch.linspace(-1, 1, 41, dtype=torch.float64)[:-1] + 0.025
    means = []
    for tau in (10.0, 0.3, 0.01):
        share = push_by_similarity(a, p, tau)
        assert float(share.sum()) == pytest.approx(1)
        means.append(float((share * centres).sum()))
    assert means == sorted(means)


@pytest.mark.parametrize("neighbours", [1, 3, 100])
def test_consistency_counts_the_neighbours_that_two_views_share(neighbours: int) -> None:
    a = randn(40, 5)
    b = a + randn(40, 5, 1) / 3
    k = min(neighbours, 39)

    def nearest(x: torch.Tensor, i: int) -> set[int]:
        similar = torch.cosine_similarity(x, x[i : i + 1])
        return set(similar.argsort(descending=True)[1 : k + 1].tolist())

    expected = [len(nearest(a, i) & nearest(b, i)) / k for i in range(40)]
    found = neighbour_consistency(a, b, neighbours)
    torch.testing.assert_close(found, torch.tensor(expected))
    assert neighbours == 100 or 0 < float(found.mean()) < 1


def test_describe_agrees_with_its_parts() -> None:
    z, a, b, labels = randn(30, 5), randn(30, 5, 1), randn(30, 5, 2), torch.arange(30) % 3
    space = describe(z, a, b, 0.2, labels)
    push = hardness(a, b, 0.2, labels)
    assert space.uniformity == uniformity(z)
    assert space.tolerance == tolerance(z, labels)
    assert space.alignment == alignment(a, b)
    assert space.local_separation == pytest.approx(
        float(push.positive_similarity.mean() - push.top_similarity.mean())
    )
    assert space.neighbour_consistency == pytest.approx(float(neighbour_consistency(a, b).mean()))
    unlabelled = describe(z, a, b, 0.2)
    assert unlabelled.tolerance is None
    assert unlabelled.false_negative_mass is None


@pytest.mark.parametrize("fault", [0.0, float("nan"), float("inf")])
def test_rows_without_direction_are_refused(fault: float) -> None:
    x = randn(5, 3)
    x[3] = fault
    for measure in (uniformity, effective_rank):
        with pytest.raises(InputError, match="row 3"):
            measure(x)
    with pytest.raises(InputError, match="at least 2"):
        uniformity(x[:1])
