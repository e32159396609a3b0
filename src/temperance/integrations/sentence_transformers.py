"""In place of ``sentence_transformers.losses``."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from temperance.contrast import Layout
from temperance.errors import InputError
from temperance.functional import info_nce
from temperance.integrations.conversion import temperature_from_scale
from temperance.losses.inputs import Similarity, checked_temperature, logits, named

Direction = Literal["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]
Partition = Literal["joint", "per_direction"]
# Their functions by name, so that the library need not be loaded to know them.
NAMED: dict[str, Similarity] = {
    "cos_sim": "cosine",
    "pytorch_cos_sim": "cosine",
    "dot_score": "dot",
}


class MultipleNegativesRankingLoss(nn.Module):
    r"""Each anchor's positive against all positives and hard negatives of the batch.

    With q the anchors and d all documents, the positives first,

    .. math:: L_i = -\log \frac{e^{s(q_i, d_i)/\tau}}{\sum_k e^{s(q_i, d_k)/\tau}},
              \qquad \tau = 1/\text{scale}

    which is ``temperance.functional.info_nce``. Other directions add sums over queries, or over documents as
    anchors, to the denominator (``"joint"``), or losses of their own, of which the mean is taken
    (``"per_direction"``).

    Args:
        model: a SentenceTransformer, or any module that gives ``{"sentence_embedding": (n, d)}``.
        scale: 1/τ.
        similarity_fct: ``cos_sim``, ``dot_score``, or any callable that gives ``(h, w)`` for ``(h, d)`` and
            ``(w, d)``; None is ``cos_sim``.
        gather_across_devices: whether the batch is that of all ranks of ``torch.distributed``; only for
            anchors and positives in the one direction from anchor to document.
        directions: which sums stand in the loss; ``"query_to_doc"`` is one of them.
        partition_mode: see above; ``"per_direction"`` takes no ``"query_to_query"`` and ``"doc_to_doc"``.
        hardness_mode: must be None.
        hardness_strength: without effect, as there, without a mode.

    Raises:
        InputError: on what is refused above, and as ``temperance.functional.info_nce``.

    Example:
        >>> import torch
        >>> loss = MultipleNegativesRankingLoss(torch.nn.Identity(), scale=2.0)
        >>> columns = [{"sentence_embedding": torch.eye(4)}] * 2
        >>> loss(columns, labels=None)
        tensor(0.3408)
    """

    def __init__(
        self,
        model: nn.Module,
        scale: float = 20.0,
        similarity_fct: Callable[[Tensor, Tensor], Tensor] | None = None,
        gather_across_devices: bool = False,
        directions: tuple[Direction, ...] = ("query_to_doc",),
        partition_mode: Partition = "joint",
        hardness_mode: None = None,
        hardness_strength: float = 0.0,
    ) -> None:
        super().__init__()
        _check_directions(directions, partition_mode)
        if hardness_mode is not None:
            raise InputError(
                f"hardness_mode {hardness_mode!r} is not supported; leave it out, or keep "
                "sentence-transformers' own loss"
            )
        if gather_across_devices and tuple(directions) != ("query_to_doc",):
            raise InputError(
                f"gather_across_devices goes with directions=('query_to_doc',) alone, not {directions}; "
                "leave one of them out"
            )
        self.model = model
        self.scale = scale
        self.similarity_fct = similarity_fct
        self.gather_across_devices = gather_across_devices
        self.directions = tuple(dict.fromkeys(directions))
        self.partition_mode = partition_mode
        self.hardness_mode = hardness_mode
        self.hardness_strength = hardness_strength

    def forward(
        self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None
    ) -> Float[Tensor, ""]:
        """The loss of one batch.

        Args:
            sentence_features: what the model takes, for anchors, positives, and any number of hard negatives.
            labels: without effect.
        """
        columns = [self.model(features)["sentence_embedding"] for features in sentence_features]
        return self.compute_loss_from_embeddings(columns, labels)

    def compute_loss_from_embeddings(
        self, embeddings: list[Float[Tensor, "n d"]], labels: Tensor | None
    ) -> Float[Tensor, ""]:
        """The loss of what the model gave, column by column."""
        if len(embeddings) < 2:
            raise InputError(f"{len(embeddings)} column is no pair; give anchors and positives")
        queries, positives, *hard = embeddings
        if self.directions != ("query_to_doc",):
            return self._of_directions(queries, torch.cat(embeddings[1:]))
        if hard and self.gather_across_devices:
            raise InputError(
                "gather_across_devices takes no hard negatives; leave those columns out"
            )
        loss = info_nce(
            queries,
            positives,
            torch.cat(hard) if hard else None,
            temperature=self.temperature,
            in_batch=True,
            similarity=self._similarity,
            backend="ring" if self.gather_across_devices else "auto",
        )
        return cast(Tensor, loss)

    def _of_directions(self, queries: Tensor, documents: Tensor) -> Tensor:
        n = len(queries)
        similarity = named(self._similarity)
        tau = checked_temperature(self.temperature, queries, 0)
        each = torch.arange(n, device=queries.device)
        others = Layout(anchor_class=each, candidate_class=each.repeat(len(documents) // n))
        sides = {
            "query_to_doc": (queries, documents, Layout()),
            "query_to_query": (queries, queries, Layout(itself=each)),
            "doc_to_query": (documents[:n], queries, Layout()),
            "doc_to_doc": (documents[:n], documents, others),
        }
        sums = []
        for name in self.directions:
            anchors, candidates, layout = sides[name]
            space = logits(similarity, tau, {"anchors": anchors}, {"candidates": candidates})
            if name == "query_to_doc":
                positive = (space.anchors * space.positions(0)[:n]).sum(dim=1)
            nothing = tau.new_zeros(n)
            sums.append(space.contrast(nothing, layout, target_in_sum=False)[0])
        together = torch.stack(sums)
        joint = self.partition_mode == "joint"
        log_sum = together.logsumexp(dim=0) if joint else together.mean(dim=0)
        return (log_sum - positive).mean()

    @property
    def temperature(self) -> float:
        """τ = 1/scale."""
        return temperature_from_scale(self.scale)

    @property
    def _similarity(self) -> Similarity:
        if self.similarity_fct is None:
            return "cosine"
        theirs = self.similarity_fct.__module__.startswith("sentence_transformers.")
        name = _name(self.similarity_fct) if theirs else ""
        return NAMED.get(name, self.similarity_fct)

    def get_config_dict(self) -> dict[str, Any]:
        """What a model card says of the loss."""
        return {
            "scale": self.scale,
            "similarity_fct": _name(self.similarity_fct) if self.similarity_fct else "cos_sim",
            "gather_across_devices": self.gather_across_devices,
            "directions": self.directions,
            "partition_mode": self.partition_mode,
            "hardness_mode": self.hardness_mode,
            "hardness_strength": self.hardness_strength,
        }

    @property
    def citation(self) -> str:
        """Of InfoNCE, for the model card."""
        return """
@article{oord2018representation,
    title={Representation Learning with Contrastive Predictive Coding},
    author={van den Oord, A{\\"a}ron and Li, Yazhe and Vinyals, Oriol},
    journal={arXiv preprint arXiv:1807.03748},
    year={2018}
}
"""


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _check_directions(directions: tuple[Direction, ...], partition_mode: Partition) -> None:
    known = get_args(Direction)
    if "query_to_doc" not in directions or not set(directions) <= set(known):
        raise InputError(
            f"directions {directions} are not some of {', '.join(known)}, query_to_doc among them; give such"
        )
    if partition_mode not in get_args(Partition):
        raise InputError(
            f"partition_mode {partition_mode!r} is unknown; give 'joint' or 'per_direction'"
        )
    if partition_mode == "per_direction" and {"query_to_query", "doc_to_doc"} & set(directions):
        raise InputError(
            "query_to_query and doc_to_doc hold no positive and so no loss of their own; "
            "give partition_mode='joint'"
        )
