"""Every loss against its equation written out in float64, by each way there is to compute it."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid, normalize

from temperance import (
    DCL,
    CLIPLoss,
    HardContrastive,
    InfoNCE,
    InputError,
    NTXent,
    SigmoidLoss,
    SimpleContrastive,
    SupCon,
)
from temperance.contrast import grid, threads, tiled
from temperance.functional import (
    at_temperatures,
    clip,
    decoupled,
    hard_contrastive,
    info_nce,
    instance_softmax,
    nt_xent,
    sigmoid,
    simple_contrastive,
    sup_con,
)

N, D, TAU = 24, 5, 0.3
NONE = float("-inf")


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch) -> None:
    monkeypatch.setattr(threads, "SMALL", 0)
    monkeypatch.setattr(tiled, "FLAT", (7, 10))
    monkeypatch.setattr(grid, "SIDE", 10)
    monkeypatch.setattr(tiled, "BLOCK", 64)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def similarity(name: str, a: Tensor, b: Tensor) -> Tensor:
    match name:
        case "cosine":
            return normalize(a, dim=1) @ normalize(b, dim=1).T
        case "dot":
            return a @ b.T
    return -(a[:, None] - b).square().sum(2)


def gradients(function, *inputs: Tensor) -> list[Tensor]:
    """The value and its gradients in all inputs, with unequal weights where it is one for each anchor."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    value = function(*leaves)
    if value.ndim:
        value = torch.dot(value, torch.linspace(0.5, 1.5, len(value), dtype=value.dtype))
    return [value.detach(), *torch.autograd.grad(value, leaves)]


def agree(found, true, *inputs: Tensor) -> None:
    for x, y in zip(gradients(found, *inputs), gradients(true, *inputs), strict=True):
        torch.testing.assert_close(x, y)


A, B, QUEUE = randn(N, D), randn(N, D, seed=1), randn(40, D, seed=2)
T = torch.tensor(TAU, dtype=torch.float64)
PER_ANCHOR = torch.linspace(0.1, 0.6, N, dtype=torch.float64)
LABELS = torch.arange(N) % 5
LABELS[3] = 99  # alone in its class
EYE = torch.eye(N, dtype=torch.bool)

every = pytest.mark.parametrize("name", ["cosine", "dot", "euclidean"])
each_way = pytest.mark.parametrize("backend", ["tiled", "dense"])
reduced = pytest.mark.parametrize("reduction", ["mean", "none"])


@every
@each_way
@reduced
@pytest.mark.parametrize("tau", [T, PER_ANCHOR], ids=["one", "per anchor"])
def test_info_nce(name: str, backend: str, reduction: str, tau: Tensor) -> None:
    options = {"similarity": name, "backend": backend, "reduction": reduction}

    def dense(a: Tensor, b: Tensor, q: Tensor, t: Tensor) -> Tensor:
        logits = torch.cat([similarity(name, a, b), similarity(name, a, q)], 1)
        return cross_entropy(logits / t.reshape(-1, 1), torch.arange(N), reduction=reduction)

    agree(
        lambda a, b, q, t: info_nce(a, b, q, temperature=t, in_batch=True, **options),
        dense,
        *(A, B, QUEUE, tau),
    )

    def queue(a: Tensor, b: Tensor, q: Tensor, t: Tensor) -> Tensor:
        own = similarity(name, a, b).diagonal()[:, None]
        logits = torch.cat([own, similarity(name, a, q)], 1) / t.reshape(-1, 1)
        return cross_entropy(logits, torch.zeros(N, dtype=torch.long), reduction=reduction)

    agree(lambda a, b, q, t: info_nce(a, b, q, temperature=t, **options), queue, A, B, QUEUE, tau)


@every
@each_way
@reduced
@pytest.mark.parametrize("tau", [T, torch.linspace(0.1, 0.6, 2 * N).double()], ids=["one", "each"])
def test_nt_xent_and_dcl(name: str, backend: str, reduction: str, tau: Tensor) -> None:
    options = {"similarity": name, "backend": backend, "reduction": reduction}
    own = torch.arange(2 * N).roll(N)

    def dense(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
        z = torch.cat([a, b])
        logits = similarity(name, z, z) / t.reshape(-1, 1)
        logits = logits.masked_fill(torch.eye(2 * N, dtype=torch.bool), NONE)
        return cross_entropy(logits, own, reduction=reduction)

    agree(lambda a, b, t: nt_xent(a, b, temperature=t, **options), dense, A, B, tau)

    def without(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
        z = torch.cat([a, b])
        logits = similarity(name, z, z) / t.reshape(-1, 1)
        positive = logits.gather(1, own[:, None])[:, 0]
        out = torch.eye(2 * N, dtype=torch.bool)
        negatives = logits.masked_fill(out | out.roll(N, 1), NONE)
        losses = negatives.logsumexp(1) - positive
        return losses if reduction == "none" else losses.mean()

    agree(lambda a, b, t: decoupled(a, b, temperature=t, **options), without, A, B, tau)


@every
@each_way
@reduced
def test_clip(name: str, backend: str, reduction: str) -> None:
    def dense(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
        logits = similarity(name, a, b) / t
        own = torch.arange(N)
        rows = cross_entropy(logits, own, reduction=reduction)
        return (rows + cross_entropy(logits.T, own, reduction=reduction)) / 2

    options = {"similarity": name, "backend": backend, "reduction": reduction}
    agree(lambda a, b, t: clip(a, b, temperature=t, **options), dense, A, B, T)


@every
@each_way
@reduced
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("tau", [T, PER_ANCHOR], ids=["one", "per anchor"])
def test_sup_con(name: str, backend: str, reduction: str, inside: bool, tau: Tensor) -> None:
    positive = (LABELS[:, None] == LABELS) & ~EYE

    def dense(z: Tensor, t: Tensor) -> Tensor:
        logits = (similarity(name, z, z) / t.reshape(-1, 1)).masked_fill(EYE, NONE)
        logs = logits.log_softmax(1)
        count = positive.sum(1)
        if inside:
            losses = count.log() - logs.masked_fill(~positive, NONE).logsumexp(1)
        else:
            losses = -logs.masked_fill(~positive, 0.0).sum(1) / count
        losses = losses[count > 0]
        if reduction == "mean":
            return losses.mean()
        return torch.zeros(N, dtype=z.dtype).masked_scatter(count > 0, losses)

    options = {"similarity": name, "backend": backend, "reduction": reduction}
    agree(lambda z, t: sup_con(z, LABELS, temperature=t, inside=inside, **options), dense, A, tau)


@each_way
def test_several_positives_by_label(backend: str) -> None:
    positive = LABELS[:, None] == LABELS

    def dense(a: Tensor, b: Tensor, q: Tensor) -> Tensor:
        logits = torch.cat([similarity("cosine", a, b), similarity("cosine", a, q)], 1) / TAU
        logs = logits.log_softmax(1)[:, :N]
        return (-(logs * positive).sum(1) / positive.sum(1)).mean()

    def found(a: Tensor, b: Tensor, q: Tensor) -> Tensor:
        options = {"in_batch": True, "labels": LABELS, "backend": backend}
        return info_nce(a, b, q, temperature=TAU, **options)

    agree(found, dense, A, B, QUEUE)


def hard(logits: Tensor, share: float) -> Tensor:
    """Whether each entry is among the hardest share of its row, where -inf is no negative."""
    count = torch.ceil((logits > NONE).sum(1) * share).long()
    order = logits.argsort(1, descending=True).argsort(1)
    return order < count[:, None]


@every
@each_way
@reduced
@pytest.mark.parametrize("share", [0.01, 0.25, 1.0])
def test_hard_contrastive_and_hard_simple(
    name: str, backend: str, reduction: str, share: float
) -> None:
    def negatives(a: Tensor, b: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        s = similarity(name, a, b)
        return s.diagonal(), torch.cat([s.masked_fill(EYE, NONE), similarity(name, a, q)], 1)

    def dense(a: Tensor, b: Tensor, q: Tensor, t: Tensor) -> Tensor:
        own, others = negatives(a, b, q)
        kept = (others.masked_fill(others == NONE, 0.0) / t).masked_fill(~hard(others, share), NONE)
        logits = torch.cat([own[:, None] / t, kept], 1)
        return cross_entropy(logits, torch.zeros(N, dtype=torch.long), reduction=reduction)

    options = {"share": share, "similarity": name, "backend": backend, "reduction": reduction}
    agree(
        lambda a, b, q, t: hard_contrastive(a, b, q, temperature=t, in_batch=True, **options),
        dense,
        *(A, B, QUEUE, T),
    )

    def simple(a: Tensor, b: Tensor, q: Tensor) -> Tensor:
        own, others = negatives(a, b, q)
        kept = hard(others, share)
        losses = others.masked_fill(~kept, 0.0).sum(1) / kept.sum(1) - own
        return losses if reduction == "none" else losses.mean()

    few = {"hardest": share, "similarity": name, "reduction": reduction, "in_batch": True}
    agree(lambda a, b, q: simple_contrastive(a, b, q, **few), simple, A, B, QUEUE)


@every
def test_simple_is_the_limit_of_info_nce(name: str) -> None:
    def dense(a: Tensor, b: Tensor) -> Tensor:
        s = similarity(name, a, b)
        return (-s.diagonal() + 0.7 * (s.sum(1) - s.diagonal())).sum()

    options = {"similarity": name, "weight": 0.7, "reduction": "sum"}
    agree(lambda a, b: simple_contrastive(a, b, **options), dense, A, B)
    tau = 1e6
    losses = info_nce(A, B, temperature=tau, similarity=name, reduction="none")
    simple = simple_contrastive(A, B, similarity=name, reduction="none")
    limit = math.log(N) + (N - 1) / N * simple / tau
    torch.testing.assert_close(losses, limit, rtol=0, atol=1e-9)


@every
@reduced
def test_sigmoid(name: str, reduction: str) -> None:
    def dense(a: Tensor, b: Tensor, t: Tensor, bias: Tensor) -> Tensor:
        z = 2 * torch.eye(N, dtype=a.dtype) - 1
        losses = -logsigmoid(z * (similarity(name, a, b) / t + bias)).sum(1)
        return losses if reduction == "none" else losses.mean()

    def found(a: Tensor, b: Tensor, t: Tensor, bias: Tensor) -> Tensor:
        return sigmoid(a, b, temperature=t, bias=bias, similarity=name, reduction=reduction)

    agree(found, dense, A, B, T, torch.tensor(-3.0, dtype=torch.float64))


class Bilinear(nn.Module):
    """A similarity with a weight of its own."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.tanh(a @ self.weight @ b.T)


@pytest.mark.parametrize("loss", [info_nce, nt_xent, clip, decoupled])
def test_a_similarity_of_ones_own(loss, monkeypatch) -> None:
    monkeypatch.setattr("temperance.contrast.custom.SIDE", 16)
    weight = randn(D, D, seed=5)

    def own(a: Tensor, b: Tensor, w: Tensor, t: Tensor) -> Tensor:
        model = Bilinear(w)
        value = loss(a, b, temperature=t, similarity=model)
        # The module holds a parameter of its own: bring its gradient to w.
        (slope,) = torch.autograd.grad(value, model.weight, retain_graph=True)
        return value + torch.dot((w - w.detach()).flatten(), slope.flatten())

    def dense(a: Tensor, b: Tensor, w: Tensor, t: Tensor) -> Tensor:
        z = torch.cat([a, b])
        logits = (
            torch.tanh(
                (a if loss in (info_nce, clip) else z)
                @ w
                @ (b if loss in (info_nce, clip) else z).T
            )
            / t
        )
        rows = torch.arange(len(logits))
        if loss is info_nce:
            return cross_entropy(logits, rows)
        if loss is clip:
            return (cross_entropy(logits, rows) + cross_entropy(logits.T, rows)) / 2
        positive = logits.gather(1, rows.roll(N)[:, None])
        itself = torch.eye(2 * N, dtype=torch.bool)
        left_out = itself | itself.roll(N, 1) if loss is decoupled else itself
        return (logits.masked_fill(left_out, NONE).logsumexp(1) - positive[:, 0]).mean()

    agree(own, dense, A, B, weight, T)


@each_way
@pytest.mark.parametrize("loss", [info_nce, nt_xent, clip])
def test_weights_make_a_weighted_mean(loss, backend: str) -> None:
    n = 2 * N if loss is nt_xent else N
    weights = torch.linspace(0, 2, n, dtype=torch.float64)
    each = loss(A, B, reduction="none", backend=backend)
    mean = loss(A, B, weights=weights, backend=backend)
    torch.testing.assert_close(mean, (each * weights).sum() / weights.sum())
    total = loss(A, B, weights=weights, reduction="sum", backend=backend)
    torch.testing.assert_close(total, (each * weights).sum())
    weighted = loss(A, B, weights=weights, reduction="none", backend=backend)
    torch.testing.assert_close(weighted, each * weights)


@each_way
def test_statistics(backend: str) -> None:
    _, told = info_nce(
        A,
        B,
        QUEUE,
        temperature=TAU,
        in_batch=True,
        classes=LABELS,
        statistics=True,
        backend=backend,
    )
    s = torch.cat([similarity("cosine", A, B), similarity("cosine", A, QUEUE)], 1)
    others = s.clone()
    others[:, :N].masked_fill_(EYE, NONE)
    share = (others / TAU).softmax(1)
    entropy = torch.special.entr(share).sum(1)
    torch.testing.assert_close(told.positive_similarity, s[:, :N].diagonal())
    torch.testing.assert_close(told.hardest_negative, others.amax(1))
    torch.testing.assert_close(told.entropy, entropy)
    torch.testing.assert_close(told.effective_negatives, entropy.exp())
    same = (LABELS[:, None] == LABELS) & ~EYE
    torch.testing.assert_close(told.false_negative_mass, (share[:, :N] * same).sum(1))
    assert float(told.histogram.sum()) == pytest.approx(1)
    assert told.uniformity < 0


@each_way
@pytest.mark.parametrize("loss", [nt_xent, clip, decoupled, hard_contrastive])
def test_statistics_of_the_other_losses(loss, backend: str) -> None:
    value, told = loss(A, B, temperature=TAU, statistics=True, backend=backend)
    assert value == loss(A, B, temperature=TAU, backend=backend)
    z = torch.cat([A, B]) if loss in (nt_xent, decoupled) else None
    s = similarity("cosine", A, B) if z is None else similarity("cosine", z, z)
    if z is not None:
        itself = torch.eye(2 * N, dtype=torch.bool)
        left_out = itself | itself.roll(N, 1)
    else:
        left_out = EYE
    others = s.masked_fill(left_out, NONE)
    if loss is clip:
        others = torch.cat([others, others.T])
    if loss is hard_contrastive:
        others = others.masked_fill(~hard(others, 0.08), NONE)
    torch.testing.assert_close(told.hardest_negative, others.amax(1))
    entropy = torch.special.entr((others / TAU).softmax(1)).sum(1)
    torch.testing.assert_close(told.entropy, entropy, rtol=1e-5, atol=1e-9)


def test_modules_hold_what_the_functions_are_given() -> None:
    tau = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
    pairs = [
        (
            InfoNCE(tau, similarity="dot", reduction="sum"),
            info_nce,
            (A, B, QUEUE),
            {"similarity": "dot", "reduction": "sum"},
        ),
        (NTXent(tau), nt_xent, (A, B), {}),
        (DCL(tau), decoupled, (A, B), {}),
        (CLIPLoss(tau), clip, (A, B), {}),
        (SupCon(tau, inside=True), sup_con, (A, LABELS), {"inside": True}),
        (HardContrastive(tau, share=0.5), hard_contrastive, (A, B), {"share": 0.5}),
        (SigmoidLoss(tau, bias=-2.0), sigmoid, (A, B), {"bias": -2.0}),
    ]
    for module, function, inputs, options in pairs:
        assert list(module.parameters()) == [tau]
        assert module(*inputs) == function(*inputs, temperature=tau, **options)
    assert SimpleContrastive(hardest=0.5)(A, B) == simple_contrastive(A, B, hardest=0.5)
    with pytest.raises(InputError, match="backend 'triton' is unknown here"):
        SimpleContrastive(backend="triton")(A, B)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: info_nce(A, B, weights=-torch.ones(N)), "a weight is negative"),
        (lambda: info_nce(A, B, weights=torch.ones(3)), "one for each of the 24 anchors"),
        (lambda: info_nce(A, B, weights=torch.zeros(N)), "all weights are 0"),
        (lambda: info_nce(A, B, temperature=torch.ones(3)), "one for each of the 24 anchors"),
        (lambda: info_nce(A, B, similarity="angle"), "similarity 'angle' is unknown"),
        (lambda: info_nce(A, B, reduction="max"), "reduction 'max' is unknown"),
        (lambda: info_nce(A, B, QUEUE, labels=LABELS), "give in_batch=True"),
        (lambda: info_nce(A, B, labels=LABELS[:3]), "one whole number for each of the 24 rows"),
        (lambda: clip(A, B, temperature=PER_ANCHOR), "images and texts share it"),
        (lambda: decoupled(A[:1], B[:1]), "no negatives"),
        (lambda: sup_con(A, torch.arange(N)), "no class has two members"),
        (lambda: hard_contrastive(A, B, share=0.0), r"share 0 is not in \(0, 1\]"),
        (lambda: simple_contrastive(A, B, weight=-1.0), "weight -1 is negative"),
        (lambda: sigmoid(A, B, bias=float("nan")), "not one finite number"),
        (lambda: sigmoid(A, B, temperature=0.0), "temperature 0 is not positive"),
        (lambda: hard_contrastive(A, B, similarity=Bilinear(randn(D, D))), "is unknown here"),
    ],
)
def test_what_makes_no_loss_is_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_step_breaks_at_the_loss_alone() -> None:
    encoder = nn.Linear(D, D).double()

    def step(a: Tensor, b: Tensor) -> Tensor:
        return 2 * info_nce(encoder(a), encoder(b), temperature=T) + 1

    true = gradients(step, A, B)
    torch._dynamo.reset()
    explained = torch._dynamo.explain(step)(A, B)
    assert explained.graph_break_count == 1
    compiled = torch.compile(step, backend="aot_eager")
    for x, y in zip(gradients(compiled, A, B), true, strict=True):
        torch.testing.assert_close(x, y)


def test_a_similarity_of_ones_own_may_hold_frozen_weights_and_be_asked_in_half_precision() -> None:
    model = Bilinear(randn(D, D, seed=5)).requires_grad_(False)
    a = A.clone().requires_grad_()
    info_nce(a, B, similarity=model).backward()
    assert a.grad is not None
    half = info_nce(A.half(), B.half(), similarity=model.float(), reduction="none")
    assert half.dtype == torch.float32
    weight = nn.Parameter(randn(D, D))
    with pytest.raises(InputError, match="parameters that need a gradient"):
        info_nce(A, B, similarity=lambda x, y: x @ weight @ y.T)


def test_a_similarity_of_ones_own_has_second_derivatives_when_dense() -> None:
    a = A.clone().requires_grad_()
    loss = info_nce(a, B, similarity=lambda x, y: torch.tanh(x @ y.T), backend="dense")
    (slope,) = torch.autograd.grad(loss, a, create_graph=True)
    assert torch.autograd.grad(slope.square().sum(), a)[0].abs().sum() > 0


@pytest.mark.parametrize("loss", [nt_xent, clip])
def test_autocast_changes_nothing_anywhere(loss) -> None:
    a, b = A.float().requires_grad_(), B.float().requires_grad_()

    def run() -> list[Tensor]:
        value, told = loss(a, b, temperature=0.05, statistics=True)
        grads = torch.autograd.grad(value, (a, b))
        seen = at_temperatures(a, b, temperatures=[0.05])
        return [value, *grads, told.histogram, seen.loss, seen.positive_similarity]

    plain = run()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = run()
    for x, y in zip(mixed, plain, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=0)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_queries_of_autocast_meet_a_queue_and_a_bank_of_float32(half: torch.dtype) -> None:
    stored, ids = randn(40, D, seed=3).float(), torch.arange(len(A))

    def of(x: Tensor, kind: torch.dtype) -> list[Tensor]:
        q = x.to(kind).requires_grad_()
        values = info_nce(q, B.to(kind), stored), instance_softmax(q, stored, ids)
        return [v.detach() for v in values] + [*torch.autograd.grad(sum(values), q)]

    mixed, plain = of(A.to(half), half), of(A.to(half).float(), torch.float32)
    assert mixed[-1].dtype == half
    # Keys were rounded, too, in the first of the losses.
    torch.testing.assert_close(mixed[1], plain[1])
    torch.testing.assert_close(mixed[0], plain[0], rtol=0.02, atol=0)
    torch.testing.assert_close(mixed[-1].float(), plain[-1], rtol=0.05, atol=0.01)


@pytest.mark.parametrize("loss", [info_nce, nt_xent, clip])
def test_small_gradients_of_float16_survive_until_the_loss_is_scaled(loss) -> None:
    """As a GradScaler does it: alone they would be 0 in float16, scaled they are not."""
    anchors = 2 * len(A) if loss is nt_xent else len(A)

    def of(kind: torch.dtype) -> list[Tensor]:
        a, b = (x.half().to(kind).requires_grad_() for x in (A, B))
        light = torch.full((anchors,), 1e-9, dtype=torch.float64)
        value = loss(a, b, temperature=0.5, weights=light, reduction="sum")
        return [x.double() for x in torch.autograd.grad(2.0**30 * value, (a, b))]

    for mixed, true in zip(of(torch.float16), of(torch.float64), strict=True):
        assert float(true.abs().max()) / 2**30 < torch.finfo(torch.float16).smallest_normal
        assert float((mixed - true).norm() / true.norm()) < 2e-3


def test_distances_of_vectors_far_from_the_origin_keep_their_digits() -> None:
    far = 100.0
    found = gradients(
        lambda a, b: info_nce(a, b, temperature=50.0, similarity="euclidean"),
        (A + far).float(),
        (B + far).float(),
    )
    a, b = (A + far).float().double(), (B + far).float().double()
    true = gradients(
        lambda x, y: cross_entropy(similarity("euclidean", x, y) / 50.0, torch.arange(N)), a, b
    )
    for x, y in zip(found, true, strict=True):
        torch.testing.assert_close(x.double(), y, rtol=1e-4, atol=1e-8)


def test_exactly_the_hardest_share_is_kept() -> None:
    a, b = randn(201, 8), randn(201, 8, seed=1)
    _, told = hard_contrastive(a, b, share=0.075, temperature=1e5, statistics=True)
    torch.testing.assert_close(told.effective_negatives, torch.full((201,), 15.0).double())


@pytest.mark.parametrize(
    "loss", [info_nce, nt_xent, clip, hard_contrastive, simple_contrastive, sigmoid]
)
def test_inference_mode(loss) -> None:
    with torch.inference_mode():
        found = loss(A, B)
        at_temperatures(A, B, temperatures=[0.1])
    assert found == loss(A, B)


def test_statistics_where_there_is_little_to_tell() -> None:
    _, told = info_nce(A[:1], B[:1], QUEUE, statistics=True)
    assert math.isnan(told.uniformity)
    _, told = nt_xent(A[:1], B[:1], classes=LABELS[:1], statistics=True)
    assert told.effective_negatives.tolist() == [0, 0]
    assert told.false_negative_mass.tolist() == [0, 0]


@pytest.mark.parametrize("backend", ["ring", "gather"])
def test_one_rank_alone_gives_the_loss_itself(backend: str) -> None:
    weights = torch.linspace(0.5, 2, N, dtype=torch.float64)

    def run(backend: str) -> list[Tensor]:
        return gradients(
            lambda a, b, w: info_nce(a, b, weights=w, similarity="dot", backend=backend),
            *(A, B, weights),
        )

    for x, y in zip(run(backend), run("dense"), strict=True):
        torch.testing.assert_close(x, y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: info_nce(A, B, similarity=torch.cdist, backend="ring"), "backend 'ring' takes"),
        (lambda: info_nce(A, B, backend="dens"), "backend 'dens' is unknown"),
        (lambda: sup_con(A, LABELS, backend="dens"), "backend 'dens' is unknown"),
        (lambda: sigmoid(A, B, backend="triton"), "backend 'triton' is unknown here"),
        (lambda: info_nce(A, B, classes=LABELS), "give statistics=True"),
        (lambda: info_nce(A, B, labels=LABELS, statistics=True), "there are no statistics"),
        (
            lambda: info_nce(A, B, classes=LABELS[:1], statistics=True),
            "one whole number for each of the 24 rows",
        ),
        (lambda: sup_con(A, LABELS, weights=torch.ones(3)), "one for each of the 24 anchors"),
        (lambda: sigmoid(A, B, temperature=PER_ANCHOR), "give one number"),
        (lambda: simple_contrastive(A, B, weight=float("nan")), "not finite"),
        (lambda: decoupled(A[:1], B[:1], backend="ring"), "no negatives"),
    ],
)
def test_options_that_do_not_go_together_are_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
