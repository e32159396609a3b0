"""Rules for the temperature against their equations, in float64 and over whole matrices."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid, normalize

from temperance import CLIPLoss, InfoNCE, InputError, NTXent, SigmoidLoss, SupCon
from temperance.functional import (
    clip,
    decoupled,
    hard_contrastive,
    info_nce,
    nt_xent,
    sigmoid,
    sup_con,
)
from temperance.temperatures import (
    AlignmentAware,
    Batch,
    Cosine,
    EffectiveNegatives,
    Fixed,
    Learnable,
    Linear,
    Pairwise,
    PerAnchor,
    Policy,
    Schedule,
    Steps,
    TemperatureFree,
    WarmUp,
)

N, D, K = 24, 6, 40
LABELS = torch.arange(N) % 5


def vectors(n: int, seed: int) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


A, B, QUEUE = vectors(N, 0), vectors(N, 0) + 0.7 * vectors(N, 1), vectors(K, 2)


def gradients(loss: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    leaves = [x.clone().requires_grad_() for x in inputs]
    value = loss(*leaves)
    return [value.detach(), *torch.autograd.grad(value, leaves)]


def cosines(a: Tensor, b: Tensor) -> Tensor:
    return normalize(a, dim=1) @ normalize(b, dim=1).T


# What each link makes of a whole matrix, by plain automatic differentiation.
def pairwise(s: Tensor, through: bool = False) -> Tensor:
    tau = 0.07 + 0.065 * (1 + torch.cos(math.pi * (1 + s)))
    return s / (tau if through else tau.detach())


def free(s: Tensor) -> Tensor:
    return torch.log((1 + s) / (1 - s))


LINKS: dict[str, tuple[Policy, Callable[[Tensor], Tensor]]] = {
    "pairwise": (Pairwise(0.07, 0.2), pairwise),
    "pairwise, through": (Pairwise(0.07, 0.2, through=True), lambda s: pairwise(s, True)),
    "free": (TemperatureFree(), free),
}


def of_all(logits: Tensor, own: Tensor, left_out: Tensor) -> Tensor:
    return cross_entropy(logits.masked_fill(left_out, -math.inf), own)


def true_info_nce(f, a, b):
    return cross_entropy(f(cosines(a, b)), torch.arange(N))


def true_queue(f, a, b):
    own = f((normalize(a, dim=1) * normalize(b, dim=1)).sum(1, keepdim=True))
    return cross_entropy(torch.cat([own, f(cosines(a, QUEUE))], 1), torch.zeros(N).long())


def true_labels(f, a, b):
    logs = f(cosines(a, b)).log_softmax(dim=1)
    same = (LABELS[:, None] == LABELS).double()
    return -((logs * same).sum(1) / same.sum(1)).mean()


def true_clip(f, a, b):
    logits = f(cosines(a, b))
    return (cross_entropy(logits, torch.arange(N)) + cross_entropy(logits.T, torch.arange(N))) / 2


def two_views(f, a, b):
    z = torch.cat([a, b])
    # A row with itself is left out before the link, which may be infinite there.
    eye = torch.eye(2 * N, dtype=torch.bool)
    return f(cosines(z, z).masked_fill(eye, 0.0)), eye, torch.arange(2 * N).roll(N)


def true_nt_xent(f, a, b):
    logits, eye, own = two_views(f, a, b)
    return of_all(logits, own, eye)


def true_decoupled(f, a, b):
    logits, eye, own = two_views(f, a, b)
    positive = logits.gather(1, own[:, None])[:, 0]
    rest = logits.masked_fill(eye | eye.roll(N, 1), -math.inf)
    return (rest.logsumexp(1) - positive).mean()


def true_sup_con(f, a, b, inside: bool):
    z, labels = torch.cat([a, b]), LABELS.repeat(2)
    eye = torch.eye(2 * N, dtype=torch.bool)
    logits = f(cosines(z, z).masked_fill(eye, 0.0)).masked_fill(eye, -math.inf)
    same = (labels[:, None] == labels) & ~eye
    if inside:
        up = logits.masked_fill(~same, -math.inf).logsumexp(1) - same.sum(1).log()
        return (logits.logsumexp(1) - up).mean()
    logs = (logits - logits.logsumexp(1, keepdim=True)).masked_fill(~same, 0.0)
    return -(logs.sum(1) / same.sum(1)).mean()


def true_hard(f, a, b):
    logits = f(cosines(a, b))
    eye = torch.eye(N, dtype=torch.bool)
    negatives = logits.masked_fill(eye, -math.inf)
    floor = negatives.topk(math.ceil((N - 1) * 0.3), dim=1).values[:, -1:]
    return of_all(logits, torch.arange(N), (negatives < floor) & ~eye)


def true_sigmoid(f, a, b):
    z = 2 * torch.eye(N, dtype=torch.float64) - 1
    return -logsigmoid(z * (f(cosines(a, b)) - 1)).sum(1).mean()


LOSSES = {
    "info_nce": (info_nce, true_info_nce),
    "queue": (lambda a, b, **k: info_nce(a, b, QUEUE, **k), true_queue),
    "labels": (lambda a, b, **k: info_nce(a, b, labels=LABELS, **k), true_labels),
    "clip": (clip, true_clip),
    "nt_xent": (nt_xent, true_nt_xent),
    "decoupled": (decoupled, true_decoupled),
    "sup_con": (
        lambda a, b, **k: sup_con(torch.cat([a, b]), LABELS.repeat(2), **k),
        lambda f, a, b: true_sup_con(f, a, b, False),
    ),
    "sup_con, inside": (
        lambda a, b, **k: sup_con(torch.cat([a, b]), LABELS.repeat(2), inside=True, **k),
        lambda f, a, b: true_sup_con(f, a, b, True),
    ),
    "hard": (lambda a, b, **k: hard_contrastive(a, b, share=0.3, **k), true_hard),
    "sigmoid": (lambda a, b, **k: sigmoid(a, b, bias=-1.0, **k), true_sigmoid),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("backend", ["tiled", "ring", "gather", "dense"])
def test_a_temperature_of_the_similarity(name: str, link: str, backend: str) -> None:
    (loss, true), (policy, f) = LOSSES[name], LINKS[link]
    found = gradients(lambda a, b: loss(a, b, temperature=policy, backend=backend), A, B)
    wanted = gradients(lambda a, b: true(f, a, b), A, B)
    for x, y in zip(found, wanted, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("link", LINKS)
def test_statistics_under_a_link_are_similarities(link: str) -> None:
    policy, f = LINKS[link]
    for loss in (info_nce, clip, nt_xent):
        _, told = loss(A, B, temperature=policy, statistics=True)
        if loss is info_nce:
            s = cosines(A, B)
            eye = torch.eye(N, dtype=torch.bool)
            shares = f(s).masked_fill(eye, -math.inf).softmax(1)
            entropy = -torch.special.xlogy(shares, shares).sum(1)
            torch.testing.assert_close(told.effective_negatives, entropy.exp())
            torch.testing.assert_close(told.positive_similarity, s.diagonal())
            torch.testing.assert_close(told.hardest_negative, s.masked_fill(eye, -math.inf).amax(1))
        _, dense = loss(A, B, temperature=policy, statistics=True, backend="dense")
        for x, y in zip(vars(told).values(), vars(dense).values(), strict=True):
            if isinstance(x, Tensor):
                torch.testing.assert_close(x, y)


def test_logits_that_would_fall_are_refused() -> None:
    with pytest.raises(InputError, match=r"from 0.07 to 0.5 .* below 0\.\d+"):
        Pairwise(0.07, 0.5)
    # The bound that the message names is the bound.
    with pytest.raises(InputError) as refused:
        Pairwise(0.1, 10.0)
    highest = float(str(refused.value).split("below ")[1])
    Pairwise(0.1, 0.98 * highest)
    with pytest.raises(InputError):
        Pairwise(0.1, 1.05 * highest)
    with pytest.raises(InputError, match="is a function of the cosine"):
        nt_xent(A, B, temperature=TemperatureFree(), similarity="dot")


def test_fixed_is_the_number() -> None:
    for loss in (info_nce, clip, nt_xent, sigmoid):
        assert loss(A, B, temperature=Fixed(0.3)) == loss(A, B, temperature=0.3)


def test_learnable_passes_its_gradient_on() -> None:
    policy = Learnable(0.2)
    loss = NTXent(temperature=policy)
    assert [name for name, _ in loss.named_parameters()] == ["temperature.log_scale"]
    loss(A, B).backward()
    t = torch.tensor(-math.log(0.2), dtype=torch.float64, requires_grad=True)
    nt_xent(A, B, temperature=torch.exp(-t), backend="dense").backward()
    torch.testing.assert_close(policy.log_scale.grad.double(), t.grad, rtol=1e-6, atol=0)
    assert policy.log_line() == "learnable: τ = 0.2, scale 5"


def test_learnable_comes_back_into_its_bounds() -> None:
    policy = Learnable()
    with torch.no_grad():
        policy.log_scale.fill_(9.0)
    assert CLIPLoss(temperature=policy)(A, B).item() == pytest.approx(
        float(clip(A, B, temperature=0.01)), rel=1e-5
    )
    assert policy.at_bound
    assert policy.log_line().endswith("at its bound")
    with torch.no_grad():
        policy.log_scale.fill_(math.nan)
    with pytest.raises(InputError, match="learnable has become nan"):
        nt_xent(A, B, temperature=policy)


@pytest.mark.parametrize("loss", [info_nce, nt_xent, clip])
def test_masks_leave_no_nan_in_a_learned_temperature(loss) -> None:
    # Instances without a negative, and without any but duplicates.
    for a, b in ((A[:1], B[:1]), (A[:1].repeat(3, 1), A[:1].repeat(3, 1))):
        policy = Learnable()
        loss(a, b, temperature=policy).backward()
        assert torch.isfinite(policy.log_scale.grad)


CURVES = {
    "cosine": (Cosine(0.1, 1.0), lambda p: 0.1 + 0.45 * (1 + math.cos(2 * math.pi * p))),
    "linear": (Linear(0.5, 0.1), lambda p: 0.5 - 0.4 * p),
    "warm-up": (WarmUp(0.5, 0.1, share=0.25), lambda p: 0.5 - 0.4 * min(1, 4 * p)),
    "steps": (Steps(0.4, 0.2, 0.1), lambda p: (0.4, 0.2, 0.1, 0.1)[int(3 * p)]),
    "own": (Schedule(lambda p: 0.1 + p), lambda p: 0.1 + p),
}


@pytest.mark.parametrize("name", CURVES)
def test_schedules_follow_their_curve_and_go_on_where_they_were(name: str) -> None:
    policy, true = CURVES[name]
    for progress in (0.0, 0.2, 0.5, 0.9, 1.0):
        policy.advance(progress)
        found = nt_xent(A, B, temperature=policy)
        torch.testing.assert_close(found, nt_xent(A, B, temperature=true(progress)))
    policy.advance(0.6)
    state = copy.deepcopy(NTXent(temperature=policy).state_dict())
    policy.advance(0.0)
    NTXent(temperature=policy).load_state_dict(state)
    assert float(policy.progress) == 0.6
    assert float(nt_xent(A, B, temperature=policy)) == pytest.approx(
        float(nt_xent(A, B, temperature=true(0.6)))
    )
    with pytest.raises(InputError, match=r"progress 1\.5"):
        policy.advance(1.5)


def test_alignment_raises_the_temperature_and_passes_no_gradient() -> None:
    policy = AlignmentAware(0.1, strength=0.5, reference=0.2)
    positives = (normalize(A, dim=1) * normalize(B, dim=1)).sum(1)
    tau = 0.1 * (1 + 0.5 * (float(positives.mean()) - 0.2))
    for loss in (info_nce, nt_xent, clip, sigmoid):
        found = gradients(lambda a, b, f=loss: f(a, b, temperature=policy), A, B)
        wanted = gradients(lambda a, b, f=loss: f(a, b, temperature=tau), A, B)
        for x, y in zip(found, wanted, strict=True):
            torch.testing.assert_close(x, y)
    with pytest.raises(InputError, match="strength"):
        AlignmentAware(0.1, strength=1.0, reference=0.5)


def effective(a: Tensor, b: Tensor, tau: Tensor | float) -> Tensor:
    s = cosines(a, b)
    off = ~torch.eye(len(a), dtype=torch.bool)
    logits = (s / (tau if isinstance(tau, float) else tau[:, None])).masked_fill(~off, -math.inf)
    shares = logits.softmax(1)
    return torch.exp(-torch.special.xlogy(shares, shares).sum(1)) / (len(a) - 1)


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.02, 0.95), n=st.integers(40, 300), seed=st.integers(0, 99))
def test_effective_negatives_are_the_share_asked_for(share: float, n: int, seed: int) -> None:
    share = max(share, 2 / n)
    a, b = vectors(n, seed), vectors(n, seed + 100)
    policy = EffectiveNegatives(share)
    info_nce(a, b, temperature=policy)
    assert policy.clamped == 0
    assert float(effective(a, b, policy.last).mean()) == pytest.approx(share, rel=0.01)
    each = EffectiveNegatives(share, per_anchor=True)
    loss, told = info_nce(a, b, temperature=each, statistics=True, reduction="none")
    inside = told.effective_negatives / (n - 1)
    off = (inside / share - 1).abs() >= 0.01
    assert off.double().mean() <= each.clamped + 1e-9  # two that nearly tie leave some no root
    assert loss.shape == (n,)


def test_effective_negatives_beside_a_plateau_of_ties() -> None:
    """Just above the number of near ties the entropy bends sharply."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(10, 16, generator=generator, dtype=torch.float64)
    for noise, share in ((1e-3, 1.001 * 127 / 1279), (0.05, 0.1)):
        rows = centres.repeat(128, 1)
        rows = rows + noise * torch.randn(rows.shape, generator=generator, dtype=torch.float64)
        policy = EffectiveNegatives(share, per_anchor=True)
        _, told = info_nce(rows, rows, temperature=policy, statistics=True)
        inside = told.effective_negatives / (len(rows) - 1)
        assert float((inside / share - 1).abs().max()) < 0.01


@pytest.mark.parametrize(("prompts", "rows", "seed"), [(2, 300, 0), (2, 500, 1), (5, 2000, 0)])
def test_effective_negatives_where_keys_are_prompts_of_classes(
    prompts: int, rows: int, seed: int
) -> None:
    """All keys of a class tie: almost at the share there is a plateau, on which no step may be long."""
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randn(prompts, 32, generator=generator)[torch.arange(rows) % prompts]
    lengths = 2 * torch.rand(rows, 1, generator=generator)
    queries = keys * lengths + 0.7 * torch.randn(rows, 32, generator=generator)
    rule = EffectiveNegatives(1 / prompts, per_anchor=True)
    _, told = info_nce(queries, keys, temperature=rule, statistics=True)
    off = (told.effective_negatives * prompts / (rows - 1) - 1).abs() >= 0.01
    assert off.double().mean() <= rule.clamped + 1e-9


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.998])
def test_effective_negatives_of_each_anchor_in_an_uneven_space(share: float) -> None:
    """Some anchors stand in tight clusters, some alone, and the share of each answers τ in its own way."""
    generator = torch.Generator().manual_seed(1)
    centres = torch.randn(60, 24, generator=generator)[torch.arange(1500) % 60]
    spread = torch.logspace(-1.5, 1, 60)[torch.randperm(60, generator=generator)]
    a, b = (
        centres + spread.repeat(25)[:, None] * torch.randn(1500, 24, generator=generator)
        for _ in range(2)
    )
    rule = EffectiveNegatives(share, per_anchor=True)
    _, told = info_nce(a, b, temperature=rule, statistics=True)
    off = (told.effective_negatives / (1499 * share) - 1).abs() >= 0.01
    assert off.double().mean() <= rule.clamped + 1e-9


@pytest.mark.parametrize("share", [0.01, 0.02])
def test_effective_negatives_of_anchors_with_a_few_near_copies(share: float) -> None:
    """Their entropy leaps where the bulk comes in behind the copies, so that a step must not be trusted."""
    generator = torch.Generator().manual_seed(0)
    sizes = (60 * torch.rand(400, generator=generator) ** 4).long() + 1
    of = torch.repeat_interleave(torch.arange(400), sizes)
    centres = torch.randn(400, 64, generator=generator)[of]
    spread = 10 ** (1.5 * torch.rand(400, generator=generator) - 1.5)[of, None]
    a, b = (centres + spread * torch.randn(len(of), 64, generator=generator) for _ in range(2))
    kept = torch.randperm(len(of), generator=generator)[:2500]
    rule = EffectiveNegatives(share, per_anchor=True)
    _, told = info_nce(a[kept], b[kept], temperature=rule, statistics=True)
    assert rule.clamped == 0
    assert float((told.effective_negatives / (2499 * share) - 1).abs().max()) < 0.01


@pytest.mark.parametrize("loss", [info_nce, nt_xent, decoupled])
@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_each_anchors_temperature_is_found_in_the_pass_of_the_loss(
    loss: Callable[..., Tensor], similarity: str, monkeypatch
) -> None:
    """As where the statistics are asked for, too, and the rule looks before the loss does."""
    n = 1500 if loss is info_nce else 750
    centres = vectors(40, 3)[torch.arange(n) % 40]
    a, b = centres + vectors(n, 4), centres + 0.5 * vectors(n, 5)
    b[: n // 30] = a[0]  # more tie than are to share the push
    weights = torch.rand(1500, generator=torch.Generator().manual_seed(6)).double()
    options = {"weights": weights, "similarity": similarity}
    within, before = (EffectiveNegatives(0.01, per_anchor=True) for _ in range(2))
    wanted = gradients(
        lambda a, b: loss(a, b, temperature=before, statistics=True, **options)[0], a, b
    )
    monkeypatch.setattr(EffectiveNegatives, "temperature", None)
    found = gradients(lambda a, b: loss(a, b, temperature=within, **options), a, b)
    for x, y in zip(found, wanted, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-12)
    assert within.last == pytest.approx(before.last)
    assert within.clamped == before.clamped > 0


def test_a_rule_made_of_another_is_asked_itself() -> None:
    class Floored(EffectiveNegatives):
        def temperature(self, batch: Batch) -> Tensor:
            return super().temperature(batch).clamp_min(5.0)

    rule = Floored(0.3, per_anchor=True)
    a, b = (vectors(1500, seed).requires_grad_() for seed in range(2))
    info_nce(a, b, temperature=rule)
    assert rule.last == pytest.approx(5)


def test_temperatures_that_no_loss_takes_are_refused_where_they_are_found() -> None:
    rule = EffectiveNegatives(0.01, per_anchor=True, lowest=1e-8)
    same = vectors(1, 0).repeat(1500, 1).requires_grad_()
    with pytest.raises(InputError, match="1e-08 is not between"):
        info_nce(same, same, temperature=rule)


def test_effective_negatives_of_every_loss() -> None:
    for loss in (info_nce, nt_xent, decoupled, clip, hard_contrastive, sigmoid):
        policy = EffectiveNegatives(0.3)
        found = gradients(lambda a, b, f=loss, p=policy: f(a, b, temperature=p), A, B)
        wanted = gradients(lambda a, b, f=loss, t=policy.last: f(a, b, temperature=t), A, B)
        for x, y in zip(found, wanted, strict=True):
            torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-9)
    policy = EffectiveNegatives(0.3)
    sup_con(torch.cat([A, B]), LABELS.repeat(2), temperature=policy)
    info_nce(A, B, QUEUE, temperature=policy)
    shares = (cosines(A, QUEUE) / policy.last).softmax(1)
    found = torch.exp(-torch.special.xlogy(shares, shares).sum(1)).mean() / K
    assert float(found) == pytest.approx(0.3, rel=0.01)


def test_effective_negatives_where_there_is_no_root() -> None:
    same = A[:1].repeat(8, 1)  # all negatives tie, whatever the temperature
    for per_anchor in (False, True):
        policy = EffectiveNegatives(0.3, per_anchor=per_anchor)
        loss = info_nce(same, same, temperature=policy)
        assert torch.isfinite(loss)
        assert policy.clamped == 1
        assert policy.log_line().endswith("at its bound for 100 % of anchors")
        assert torch.isfinite(info_nce(A[:1], B[:1], temperature=policy))
    # It finds its way back at once.
    info_nce(A, B, temperature=policy)
    assert policy.clamped == 0


def slow_per_anchor(s: Tensor, positive: Tensor, mask: Tensor, tau: Tensor, u: Tensor | None):
    """One step of iSogCLR, written from the paper: losses, gradients in s, new u and slopes in τ."""
    gamma, rho = 0.9, 0.3
    losses, slopes, us, weights = [], [], [], []
    for i in range(len(s)):
        d = s[i][mask[i]] - positive[i]
        g = torch.exp(d / tau[i]).mean()
        new = g if u is None else (1 - gamma) * u[i] + gamma * g
        losses.append(tau[i] * (torch.log(new) + rho))
        inner = -(torch.exp(d / tau[i]) * d).mean() / tau[i] ** 2
        slopes.append(torch.log(new) + rho + tau[i] / new * inner)
        weights.append(tau[i] / new * g)
        us.append(new)
    # The gradient of τ/u · g, with u held.
    graph = sum(
        w.detach() * torch.log(torch.exp((s[i][mask[i]] - positive[i]) / tau[i]).mean())
        for i, w in enumerate(weights)
    ) / len(s)
    return torch.stack(losses).mean(), graph, torch.stack(us).detach(), torch.stack(slopes).detach()


def test_a_temperature_for_each_instance_follows_the_paper() -> None:
    policy = PerAnchor(100, initial=0.2, learning_rate=0.05).double()
    loss = InfoNCE(temperature=policy)
    ids = torch.arange(N) * 3 + 1
    tau, u = policy.tau[ids].clone(), None
    mask = ~torch.eye(N, dtype=torch.bool)
    for step in range(4):
        a, b = (x + 0.1 * step * vectors(N, 50 + step) for x in (A, B))
        found = gradients(lambda a, b: loss(a, b, ids=ids), a, b)
        leaves = [x.clone().requires_grad_() for x in (a, b)]
        s = cosines(*leaves)
        value, graph, u, slopes = slow_per_anchor(s, s.diagonal(), mask, tau, u)
        wanted = [value.detach(), *torch.autograd.grad(graph, leaves)]
        for x, y in zip(found, wanted, strict=True):
            torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-12)
        tau = (tau - 0.05 * slopes).clamp(0.05, 0.7)
        torch.testing.assert_close(policy.tau[ids], tau)
        torch.testing.assert_close(policy.log_mean[ids].exp(), u)
    others = policy.tau[torch.arange(0, 99, 3)]
    assert bool((others == others[0]).all())
    assert float(others[0]) == pytest.approx(0.2)
    kept = policy.tau.clone()
    loss.eval()
    loss(A, B, ids=ids)
    assert torch.equal(policy.tau, kept)


def test_two_views_of_an_instance_share_its_temperature() -> None:
    policy = PerAnchor(N)
    loss = nt_xent(A, B, ids=torch.arange(N).flip(0), temperature=policy)
    assert torch.isfinite(loss)
    assert not bool(policy.log_mean.isnan().any())
    assert len(policy.tau.unique()) > 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: info_nce(A, B, temperature=PerAnchor(N)), "give ids"),
        (
            lambda: info_nce(A, B, temperature=PerAnchor(10), ids=torch.arange(N)),
            "ids hold 23, but there are 10 instances",
        ),
        (
            lambda: info_nce(A, B, temperature=PerAnchor(N), ids=torch.arange(N) - 1),
            "ids hold -1",
        ),
        (lambda: info_nce(A, B, temperature=PerAnchor(N), ids=torch.arange(3)), "one whole number"),
        (lambda: clip(A, B, temperature=PerAnchor(N)), "images and texts share"),
        (
            lambda: clip(A, B, temperature=EffectiveNegatives(0.3, per_anchor=True)),
            "images and texts share",
        ),
        (
            lambda: info_nce(A, B, temperature=PerAnchor(N), ids=torch.arange(N), statistics=True),
            "without labels and statistics",
        ),
        (
            lambda: info_nce(A, B, temperature=AlignmentAware(), similarity=lambda x, y: x @ y.T),
            "looks at similarities",
        ),
        (lambda: Fixed(0.0), "temperature 0 is not between"),
        (lambda: Fixed(math.nan), "temperature nan is not between"),
        (lambda: Learnable(0.001), "one within the bounds"),
        (lambda: Cosine(1.0, 0.1), "are no range"),
        (lambda: EffectiveNegatives(1.5), "share 1.5"),
        (lambda: PerAnchor(0), "instances 0"),
        (lambda: Steps(), "no temperatures given"),
    ],
)
def test_what_cannot_be_is_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_a_policy_may_stand_beside_a_similarity_of_ones_own() -> None:
    def similarity(x: Tensor, y: Tensor) -> Tensor:
        return normalize(x, dim=1) @ normalize(y, dim=1).T

    policy = Learnable(0.2)
    loss = InfoNCE(temperature=policy, similarity=similarity)
    loss(A, B).backward()
    assert torch.isfinite(policy.log_scale.grad)


def test_sigmoid_learns_temperature_and_bias() -> None:
    loss = SigmoidLoss(temperature=Learnable(0.1), bias=torch.nn.Parameter(torch.tensor(-10.0)))
    loss(A, B).backward()
    assert {name for name, p in loss.named_parameters() if p.grad is not None} == {
        "temperature.log_scale",
        "bias",
    }


@pytest.mark.parametrize("per_anchor", [False, True])
def test_what_is_no_negative_counts_at_no_temperature(per_anchor: bool) -> None:
    torch.manual_seed(0)
    z = torch.randn(64, 8)
    rule = EffectiveNegatives(0.9, per_anchor=per_anchor, highest=1e5)
    loss = InfoNCE(temperature=rule, similarity="dot", statistics=True)
    _, told = loss(30 * z, 30 * z)
    share = float(told.effective_negatives.mean()) / 63
    assert share == pytest.approx(0.9, rel=0.01)
    alone = EffectiveNegatives(0.3, per_anchor=per_anchor)
    SupCon(temperature=alone)(z.double(), torch.zeros(64, dtype=torch.int64))
    assert alone.clamped == 1
