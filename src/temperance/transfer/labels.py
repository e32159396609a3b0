"""Training an extractor with labels: fine-tuning on few, and supervised pretraining to compare with."""

import copy

import numpy as np
import torch
from jaxtyping import Int64
from torch import nn
from torch.nn.functional import cross_entropy

from temperance.data import ImageSet, Views
from temperance.encoders import Encoder
from temperance.transfer.dense import OnStep, run_steps, shuffled
from temperance.transfer.frozen import Classifier, labels_of

BATCH = 64


class FineTuning(Classifier):
    """A linear classifier on an extractor, both trained on a share of the labels.

    The protocol of SimCLR's semi-supervised table (Chen et al. 2020, arXiv 2002.05709): every class keeps its
    share, at least one image.

    Args:
        encoder: the extractor; a copy of it is trained.
        share: of the labelled images, in (0, 1].
        steps: of training, up to 64 images each.
        seed: of the choice, the head and the order.
        on_step: called with the number of finished steps.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        share: float = 0.1,
        steps: int = 200,
        seed: int = 0,
        on_step: OnStep = lambda step: None,
    ) -> None:
        self.encoder, self.share, self.steps = encoder, share, steps
        self.seed, self.on_step = seed, on_step

    def fit(self, data: ImageSet) -> "FineTuning":
        """Train on the chosen images."""
        rows = _share(labels_of(data), self.share, self.seed)
        own = copy.deepcopy(self.encoder)
        self.model_ = _trained(
            own, data, rows, self.steps, self.seed, recipe=None, on_step=self.on_step
        )
        return self


def supervised(
    like: Encoder,
    data: ImageSet,
    *,
    steps: int,
    seed: int,
    recipe: str,
    on_step: OnStep = lambda step: None,
) -> Encoder:
    """An extractor of the same shape, trained with labels: what contrastive pretraining is held against.

    Args:
        like: whose sizes and input statistics it takes.
        data: labelled images, those of the contrastive pretraining.
        steps: of training, up to 256 images each; as many as the pretraining had.
        seed: of weights, order and views.
        recipe: of the views, one of each image; see ``temperance.data.Views``.
        on_step: called with the number of finished steps.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        own = Encoder(like.spec)
    rows = np.arange(len(data))
    _trained(own, data, rows, steps, seed, recipe=recipe, batch=256, on_step=on_step)
    return own.eval()


def _share(labels: Int64[np.ndarray, " n"], share: float, seed: int) -> Int64[np.ndarray, " m"]:
    random = np.random.default_rng(seed)
    kept = []
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        kept.append(rows[: max(1, round(share * len(rows)))])
    return np.sort(np.concatenate(kept))


def _trained(
    encoder: Encoder,
    data: ImageSet,
    rows: Int64[np.ndarray, " m"],
    steps: int,
    seed: int,
    *,
    recipe: str | None,
    batch: int = BATCH,
    on_step: OnStep,
) -> nn.Module:
    """The extractor with a linear classifier on its features, both trained; views, if a recipe is named."""
    spec = encoder.spec
    encoder.head.requires_grad_(False)
    images = torch.from_numpy(data.images[rows])
    labels = torch.from_numpy(labels_of(data)[rows])
    views = None if recipe is None else Views(spec.channels, spec.size, recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(encoder, nn.Linear(spec.features, len(data.classes))).train()
    random = np.random.default_rng(seed)

    def loss(chosen: Int64[np.ndarray, " b"]) -> torch.Tensor:
        given = images[chosen]
        number = int(random.integers(2**31))
        seen = given.float() / 255 if views is None else views.pair(given, number)[0]
        return cross_entropy(model(seen), labels[chosen])

    run_steps(
        [p for p in model.parameters() if p.requires_grad],
        shuffled(len(rows), min(batch, len(rows)), steps, seed),
        loss,
        steps,
        on_step=on_step,
    )
    return model.eval()
