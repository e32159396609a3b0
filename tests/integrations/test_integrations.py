"""Every stand-in against its equation written out in float64; no other library is needed."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid, normalize

from temperance import InputError
from temperance.contrast import grid, threads, tiled
from temperance.integrations.conversion import (
    step_factor,
    temperature_from_logit_scale_parameter,
    temperature_from_scale,
)
from temperance.integrations.lightly import NTXentLoss
from temperance.integrations.moco import moco_loss
from temperance.integrations.open_clip import ClipLoss, SigLipLoss
from temperance.integrations.pytorch_metric_learning import NTXentLoss as PairNTXent
from temperance.integrations.pytorch_metric_learning import SupConLoss as PairSupCon
from temperance.integrations.sentence_transformers import MultipleNegativesRankingLoss
from temperance.integrations.supcontrast import SupConLoss

N, D, TAU = 21, 5, 0.3
NONE = float("-inf")


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch) -> None:
    monkeypatch.setattr(threads, "SMALL", 0)
    monkeypatch.setattr(tiled, "FLAT", (7, 10))
    monkeypatch.setattr(grid, "SIDE", 10)
    monkeypatch.setattr(tiled, "BLOCK", 64)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradients(function, *inputs: Tensor) -> list[Tensor]:
    leaves = [x.clone().requires_grad_() for x in inputs]
    value = function(*leaves)
    return [value.detach(), *torch.autograd.grad(value, leaves)]


def agree(found, true, *inputs: Tensor) -> None:
    for x, y in zip(gradients(found, *inputs), gradients(true, *inputs), strict=True):
        torch.testing.assert_close(x, y)


def cosines(a: Tensor, b: Tensor) -> Tensor:
    return normalize(a, dim=1) @ normalize(b, dim=1).T


A, B, C, E = (randn(N, D, seed=i) for i in range(4))
OWN, EYE = torch.arange(N), torch.eye(N, dtype=torch.bool)
LABELS = torch.arange(N) % 4
LABELS[3] = 99  # alone in its class
SCALE, BIAS = torch.tensor(4.0).double(), torch.tensor(-2.0).double()


class Columns(nn.Module):
    """A model whose sentences are embedded already."""

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"sentence_embedding": features["x"]}


def ranking(*embeddings: Tensor, **options) -> Tensor:
    loss = MultipleNegativesRankingLoss(Columns(), **options)
    return loss([{"x": x} for x in embeddings], None)


def test_lightly() -> None:
    def true(a: Tensor, b: Tensor) -> Tensor:
        z = torch.cat([a, b])
        logits = (cosines(z, z) / TAU).masked_fill(torch.eye(2 * N, dtype=torch.bool), NONE)
        return cross_entropy(logits, torch.arange(2 * N).roll(N))

    agree(NTXentLoss(TAU), true, A, B)


def test_lightlys_memory_bank_replaces_the_oldest_rows() -> None:
    loss = NTXentLoss(TAU, memory_bank_size=(50, D)).double()
    bank = loss.memory_bank.bank.clone()
    for begin, end in ((0, N), (N, 2 * N), (2 * N, 50), (0, N)):

        def true(a: Tensor, b: Tensor, bank=bank) -> Tensor:
            positive = torch.linalg.vecdot(normalize(a, dim=1), normalize(b, dim=1))
            logits = torch.cat([positive[:, None], normalize(a, dim=1) @ bank.T], dim=1) / TAU
            return cross_entropy(logits, torch.zeros(N, dtype=torch.long))

        agree(loss, true, A, B)
        bank[begin:end] = normalize(B, dim=1)[: end - begin]
    loss(A, B)  # without a gradient nothing enters
    torch.testing.assert_close(loss.memory_bank.bank, bank, rtol=0, atol=0)


@pytest.mark.parametrize(
    "loss",
    [
        lambda a, b: NTXentLoss(memory_bank_size=(50, D))(a, b),
        lambda a, b: moco_loss(a, b, torch.ones(D, 40)),
        lambda a, b: ClipLoss()(a, b, torch.tensor(10.0)),
        lambda a, b: SigLipLoss()(a, b, torch.tensor(10.0), torch.tensor(-10.0)),
        lambda a, b: ranking(a, b, a),
        lambda a, b: ranking(a, b, b, directions=ALL),
        lambda a, b: PairNTXent()(a, LABELS),
        lambda a, b: PairSupCon()(a, LABELS),
        lambda a, b: SupConLoss()(torch.stack([a, b], dim=1)),
    ],
)
def test_half_precision_as_under_autocast(loss) -> None:
    value, *slopes = gradients(
        lambda a, b: loss(a, b) + 0 * b.float().sum(), A.bfloat16(), B.bfloat16()
    )
    assert value.dtype == torch.float32
    assert all(bool(torch.isfinite(slope).all()) for slope in slopes)


@pytest.mark.parametrize("shape", [(), (1,)])
def test_open_clip(shape: tuple[int, ...]) -> None:
    def true(a: Tensor, b: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        logits = scale * a @ b.T + bias
        return (cross_entropy(logits, OWN) + cross_entropy(logits.T, OWN)) / 2

    inputs = A, B, SCALE.reshape(shape), BIAS.reshape(shape)
    agree(ClipLoss(), true, *inputs)
    found = ClipLoss()(A, B, logit_scale=4.0, logit_bias=-2.0, output_dict=True)
    torch.testing.assert_close(found, {"contrastive_loss": true(*inputs)})

    def true_sigmoid(a: Tensor, b: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        logits = scale * a @ b.T + bias
        return -logsigmoid(torch.where(EYE, logits, -logits)).sum() / N

    agree(SigLipLoss(), true_sigmoid, *inputs)
    found = SigLipLoss()(A, B, logit_scale=4.0, logit_bias=None, output_dict=True)
    unbiased = true_sigmoid(A, B, SCALE, torch.tensor(0.0))
    torch.testing.assert_close(found, {"contrastive_loss": unbiased})


def test_moco_before_its_queue_is_overwritten() -> None:
    queue = randn(D, 40)

    def true(q: Tensor, k: Tensor) -> Tensor:
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ randn(D, 40)], dim=1) / TAU
        return cross_entropy(logits, torch.zeros(N, dtype=torch.long))

    def found(q: Tensor, k: Tensor) -> Tensor:
        loss = moco_loss(q, k, queue, T=TAU)
        queue.zero_()
        return loss

    agree(found, true, A, B)


def test_sentence_transformers() -> None:
    def true(q: Tensor, *docs: Tensor) -> Tensor:
        return cross_entropy(20 * cosines(q, torch.cat(docs)), OWN)

    for columns in ((A, B), (A, B, C), (A, B, C, E)):
        agree(ranking, true, *columns)
    loss = MultipleNegativesRankingLoss(Columns())
    assert loss.temperature == 0.05
    assert loss.get_config_dict()["similarity_fct"] == "cos_sim"


def euclidean(a: Tensor, b: Tensor) -> Tensor:
    return -torch.cdist(a, b)


def test_any_similarity_of_sentences() -> None:
    agree(
        lambda q, d, h: ranking(q, d, h, scale=2.0, similarity_fct=euclidean),
        lambda q, d, h: cross_entropy(2 * euclidean(q, torch.cat([d, h])), OWN),
        A,
        B,
        C,
    )


ALL = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")


@pytest.mark.parametrize(
    ("directions", "mode"),
    [
        (("query_to_doc", "doc_to_query"), "per_direction"),
        (("query_to_doc", "doc_to_query"), "joint"),
        (ALL, "joint"),
    ],
)
@pytest.mark.parametrize("hard", [0, 2])
def test_directions_of_sentences(directions: tuple[str, ...], mode: str, hard: int) -> None:
    def true(q: Tensor, *docs: Tensor) -> Tensor:
        every = torch.cat(docs)
        logits = {
            "query_to_doc": cosines(q, every),
            "query_to_query": cosines(q, q).masked_fill(EYE, NONE),
            "doc_to_query": cosines(docs[0], q),
            "doc_to_doc": cosines(docs[0], every).masked_fill(EYE.repeat(1, len(docs)), NONE),
        }
        kept = [logits[name] * 20 for name in directions]
        if mode == "joint":
            return cross_entropy(torch.cat(kept, dim=1), OWN)
        return sum(cross_entropy(x, OWN) for x in kept) / len(kept)

    columns = [A, B, C, E][: 2 + hard]
    agree(lambda *x: ranking(*x, directions=directions, partition_mode=mode), true, *columns)


def pair_ntxent(a: Tensor, b: Tensor, same: Tensor, other: Tensor) -> Tensor:
    logits = cosines(a, b) / TAU
    negatives = logits.masked_fill(~other, NONE).logsumexp(dim=1, keepdim=True)
    return (torch.logaddexp(logits, negatives) - logits)[same].mean()


def pair_sup_con(a: Tensor, b: Tensor, same: Tensor, other: Tensor) -> Tensor:
    logits = (cosines(a, b) / TAU).masked_fill(~(same | other), NONE)
    log_p = (logits - logits.logsumexp(dim=1, keepdim=True)).masked_fill(~same, 0.0)
    has = same.any(dim=1)
    return -(log_p.sum(dim=1)[has] / same.sum(dim=1)[has]).mean()


@pytest.mark.parametrize(
    ("loss", "equation"), [(PairNTXent, pair_ntxent), (PairSupCon, pair_sup_con)]
)
def test_pytorch_metric_learning(loss, equation) -> None:
    same = LABELS[:, None] == LABELS
    agree(
        lambda a: loss(TAU)(a, LABELS),
        lambda a: equation(a, a, same & ~EYE, ~same),
        A,
    )
    theirs = torch.arange(13) % 3
    same = LABELS[:, None] == theirs
    agree(
        lambda a, b: loss(TAU)(a, LABELS, ref_emb=b, ref_labels=theirs),
        lambda a, b: equation(a, b, same, ~same),
        A,
        randn(13, D, seed=7),
    )


@pytest.mark.parametrize("loss", [PairNTXent, PairSupCon])
def test_a_batch_without_pairs_costs_nothing(loss) -> None:
    for labels in (torch.arange(N), torch.zeros(N)):
        value, slope = gradients(lambda a, y=labels: loss(TAU)(a, y), A)
        assert value == 0
        assert not slope.any()
    # Some anchors have no negatives: their pairs cost nothing, and hurt nothing.
    labels, theirs = torch.tensor([0, 0, 1]), torch.tensor([0, 0])
    slope = gradients(lambda a: loss(TAU)(a, labels, ref_emb=B[:2], ref_labels=theirs), A[:3])[1]
    assert bool(torch.isfinite(slope).all())


def khosla(features: Tensor, mask: Tensor, one: bool) -> Tensor:
    views = features.shape[1]
    z = features.flatten(2).transpose(0, 1).flatten(0, 1)
    itself = torch.eye(len(z), dtype=torch.bool)
    logits = (z @ z.T / TAU).masked_fill(itself, NONE)
    log_p = (logits - logits.logsumexp(dim=1, keepdim=True)).masked_fill(itself, 0.0)
    weights = mask.double().repeat(views, views).masked_fill(itself, 0.0)
    losses = -(weights * log_p).sum(1) / weights.sum(1).where(weights.sum(1) > 0, 1.0)
    return TAU / 0.07 * (losses[:N] if one else losses).mean()


@pytest.mark.parametrize("mode", ["all", "one"])
@pytest.mark.parametrize("views", [1, 2, 3])
def test_supcontrast(mode: str, views: int) -> None:
    features = randn(N, views, D)
    loss = SupConLoss(TAU, contrast_mode=mode)
    same = LABELS[:, None] == LABELS
    mask = randn(N, N, seed=5).clamp_min(0)  # not symmetric, and each its own weight
    for given, true in (({"labels": LABELS}, same), ({"mask": mask}, mask), ({}, EYE)):
        agree(
            lambda x, given=given: loss(x, **given),
            lambda x, true=true: khosla(x, true, mode == "one"),
            features,
        )
    torch.testing.assert_close(loss(randn(N, views, 2, 3)), loss(randn(N, views, 2, 3).flatten(2)))


def test_conversions() -> None:
    assert temperature_from_scale(20.0) == 0.05
    assert temperature_from_logit_scale_parameter(math.log(1 / 0.07)) == pytest.approx(0.07)
    assert step_factor(0.14, 0.07) == pytest.approx(2)
    found = gradients(temperature_from_scale, SCALE)
    torch.testing.assert_close(found, [1 / SCALE, -1 / SCALE**2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NTXentLoss(0.0)(A, B), "temperature 0 is not positive"),
        (lambda: NTXentLoss(memory_bank_size=4096), "give such as"),
        (lambda: NTXentLoss(memory_bank_size=(-1, 3)), "both positive"),
        (lambda: ClipLoss()(A, B, 0.0), "scale 0 is not positive"),
        (lambda: ClipLoss(use_horovod=True), "use torch.distributed"),
        (lambda: ClipLoss(world_size=2), "gather_with_grad=False on 2 ranks"),
        (lambda: ClipLoss(gather_with_grad=True, world_size=2)(A, B, 1.0), "world_size 2 is not"),
        (lambda: ranking(A), "1 column is no pair"),
        (lambda: ranking(A, B, scale=-1.0), "scale -1 is not positive"),
        (lambda: ranking(A, B, hardness_mode="all_negatives"), "hardness_mode"),
        (lambda: ranking(A, B, directions=("doc_to_doc",)), "query_to_doc among them"),
        (lambda: ranking(A, B, directions=ALL, partition_mode="per_direction"), "no loss of their"),
        (lambda: ranking(A, B, partition_mode="both"), "partition_mode 'both' is unknown"),
        (lambda: ranking(A, B, gather_across_devices=True, directions=ALL), "leave one of them"),
        (lambda: ranking(A, B, C, gather_across_devices=True), "takes no hard negatives"),
        (lambda: PairNTXent(distance=None), "distance cannot be set here"),
        (lambda: PairSupCon()(A, LABELS, indices_tuple=(OWN,) * 4), "leave the miner out"),
        (lambda: PairNTXent()(A, LABELS[:3]), "give one for each of the 21 vectors"),
        (lambda: PairNTXent()(A, LABELS, ref_emb=B), "ref_labels have shape None"),
        (lambda: SupConLoss(contrast_mode="two"), "give 'all' or 'one'"),
        (lambda: SupConLoss(base_temperature=0.0)(A[:, None]), "base_temperature 0"),
        (lambda: SupConLoss()(A), "give (n, views, d)"),
        (lambda: SupConLoss()(A[:, None], LABELS, EYE), "give one of them"),
        (lambda: SupConLoss()(A[:, None], LABELS[:2]), "give one for each of the 21 instances"),
        (lambda: SupConLoss()(A[:, None], mask=EYE[:2]), "give (21, 21)"),
        (lambda: temperature_from_logit_scale_parameter(-1e4), "no finite temperature"),
    ],
)
def test_what_cannot_be_computed_is_refused(call, message: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
