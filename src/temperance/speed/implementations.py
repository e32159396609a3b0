"""Who computes a loss: Temperance, plain automatic differentiation, and other libraries where installed."""

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from temperance.contrast import Backend
from temperance.functional import clip, info_nce, nt_xent
from temperance.speed.case import LOSSES, Case

# Two views, a queue or None, and a temperature.
Loss = Callable[[Tensor, Tensor, Tensor | None, float], Tensor]
# How many numbers are held at once, beside some copies of the vectors.
Numbers = Callable[[Case], float]


@dataclass(frozen=True)
class Implementation:
    """One way to compute some of the losses.

    Attributes:
        name: as a table and pip call it.
        holds: for each loss that it takes, how many numbers it holds at its peak.
        make: the loss, given its name and the module.
        module: what is to be imported for it, or None.
        cuda: whether it runs on CUDA devices alone.
    """

    name: str
    holds: Mapping[str, Numbers]
    make: Callable[[str, Any], Loss]
    module: str | None = None
    cuda: bool = False

    @property
    def installed(self) -> bool:
        """Whether its package is there; nothing is imported."""
        package = (self.module or "temperance").split(".")[0]
        return importlib.util.find_spec(package) is not None

    def loss(self, name: str) -> Loss:
        """The loss of that name, with what it needs imported."""
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # what a library remarks on itself is not about this run
            return self.make(name, importlib.import_module(self.module) if self.module else None)


def implementations_of(loss: str) -> list[Implementation]:
    """All that take a loss and are installed; Temperance and dense come first."""
    return [x for x in IMPLEMENTATIONS if loss in x.holds and x.installed]


def absent_peers(loss: str, device: torch.device) -> list[str]:
    """The libraries that would take a loss on that device, were they installed."""
    able = [x for x in IMPLEMENTATIONS if loss in x.holds and (device.type == "cuda" or not x.cuda)]
    return [x.name for x in able if not x.installed]


def tiled_loss(name: str, backend: Backend = "auto") -> Loss:
    """Temperance's own; with backend ``"dense"`` the form that subtracts nothing."""
    function: Any = {"clip": clip, "nt_xent": nt_xent}.get(name, info_nce)

    def loss(a: Tensor, b: Tensor, queue: Tensor | None, tau: float) -> Tensor:
        negatives = () if queue is None else (queue,)
        value: Tensor = function(a, b, *negatives, temperature=tau, backend=backend)
        return value

    return loss


def dense_loss(name: str) -> Loss:
    """As one writes it: the whole matrix, ``cross_entropy``, and automatic differentiation."""

    def loss(a: Tensor, b: Tensor, queue: Tensor | None, tau: float) -> Tensor:
        a, b = normalize(a, dim=1), normalize(b, dim=1)
        own = torch.arange(len(a), device=a.device)
        if queue is not None:
            positive = (a * b).sum(1, keepdim=True)
            logits = torch.cat([positive, a @ normalize(queue, dim=1).T], 1) / tau
            return cross_entropy(logits, torch.zeros_like(own))
        if name == "nt_xent":
            z = torch.cat([a, b])
            itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
            logits = (z @ z.T / tau).masked_fill(itself, float("-inf"))
            return cross_entropy(logits, torch.cat([own + len(a), own]))
        logits = a @ b.T / tau
        if name == "clip":
            return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
        return cross_entropy(logits, own)

    return loss


def _lightly(name: str, module: Any) -> Loss:
    return lambda a, b, q, t: module.NTXentLoss(temperature=t)(a, b)


def _metric_learning(name: str, module: Any) -> Loss:
    def loss(a: Tensor, b: Tensor, q: Tensor | None, t: float) -> Tensor:
        value: Tensor = module.SelfSupervisedLoss(module.NTXentLoss(temperature=t))(a, b)
        return value

    return loss


def _info_nce_pytorch(name: str, module: Any) -> Loss:
    return lambda a, b, q, t: module.info_nce(a, b, q, temperature=t)


def _open_clip(name: str, module: Any) -> Loss:
    return lambda a, b, q, t: module.ClipLoss()(normalize(a, dim=1), normalize(b, dim=1), 1 / t)


def _sentence_transformers(name: str, module: Any) -> Loss:
    both = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}

    def given(features: dict[str, Tensor]) -> dict[str, Tensor]:
        """In the place of a model: the embeddings as they are."""
        return {"sentence_embedding": features["vectors"]}

    def loss(a: Tensor, b: Tensor, q: Tensor | None, t: float) -> Tensor:
        ranking = module.MultipleNegativesRankingLoss
        made = ranking(given, scale=1 / t, **(both if name == "clip" else {}))
        value: Tensor = made([{"vectors": a}, {"vectors": b}], None)
        return value

    return loss


def _memeff(name: str, module: Any) -> Loss:
    # Not stable: "stable" gradients are those of the loss times another number.
    if name == "clip":
        return lambda a, b, q, t: module.MemoryEfficientCLIPLoss(t, stable=False)(a, b)
    # A margin of 2 leaves no negative out.
    return lambda a, b, q, t: module.MemoryEfficientQwen3Loss(t, margin=2, stable=False)(a, b)


def _inf_cl(name: str, module: Any) -> Loss:
    def loss(a: Tensor, b: Tensor, q: Tensor | None, t: float) -> Tensor:
        a, b = normalize(a, dim=1), normalize(b, dim=1)
        heads = {"scale": 1 / t, "head_dim": min(256, a.shape[1])}
        value: Tensor = module.cal_flash_loss(a, b, **heads).mean()
        if name == "clip":
            value = (value + module.cal_flash_loss(b, a, **heads).mean()) / 2
        return value

    return loss


def _pairs(count: float) -> Numbers:
    return lambda case: count * case.rows * case.columns


def _triples(count: float) -> Numbers:
    return lambda case: count * float(case.rows) ** 3


TEMPERANCE = Implementation(
    "temperance",
    dict.fromkeys(LOSSES, _pairs(0.0)),
    lambda name, module: tiled_loss(name),
)
DENSE = Implementation(
    "dense",
    {"info_nce": _pairs(3.0), "clip": _pairs(4.0), "nt_xent": _pairs(3.25), "moco": _pairs(3.0)},
    lambda name, module: dense_loss(name),
)
IMPLEMENTATIONS = (
    TEMPERANCE,
    DENSE,
    Implementation("lightly", {"nt_xent": _pairs(4.6)}, _lightly, "lightly.loss"),
    Implementation(
        "pytorch-metric-learning",
        {"nt_xent": _triples(4.25)},
        _metric_learning,
        "pytorch_metric_learning.losses",
    ),
    Implementation(
        "info-nce-pytorch",
        {"info_nce": _pairs(3.0), "moco": _pairs(4.0)},
        _info_nce_pytorch,
        "info_nce",
    ),
    Implementation("open_clip_torch", {"clip": _pairs(4.0)}, _open_clip, "open_clip.loss"),
    Implementation(
        "sentence-transformers",
        {"info_nce": _pairs(4.0), "clip": _pairs(5.0)},
        _sentence_transformers,
        "sentence_transformers.sentence_transformer.losses",
    ),
    Implementation(
        "memeff", {"info_nce": _pairs(0.0), "clip": _pairs(0.0)}, _memeff, "memeff", cuda=True
    ),
    Implementation(
        "inf-cl", {"info_nce": _pairs(0.0), "clip": _pairs(0.0)}, _inf_cl, "inf_cl", cuda=True
    ),
)
