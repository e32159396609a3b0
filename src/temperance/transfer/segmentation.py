"""Segmentation: a small fully convolutional head on an extractor's maps, scored by overlap."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, interpolate

from temperance.data.annotated import VOID, AnnotatedSet, Sample
from temperance.encoders import FeatureMaps
from temperance.errors import InputError
from temperance.transfer.dense import (
    BATCH,
    DenseTask,
    as_images,
    in_batches,
    need,
)
from temperance.transfer.evaluator import Score

# Of the maps, those up to this stride, or all where the extractor's are coarser.
COARSEST = 8
# Edges need few channels, on fine maps; classes need many, on the coarsest, where they are cheap.
FINE, WIDE = 16, 128
# While it trains, classes are asked of these rows and columns: the middle ones of each four.
ASKED = slice(2, None, 4)

ClassMap = UInt8[np.ndarray, "s s"]


class Segmentation(DenseTask):
    """Which class is each pixel? A fully convolutional head with skips (Long et al. 2015, arXiv 1411.4038).

    Two questions have two branches and two losses. Whether there is something, is answered from the
    extractor's map of stride 8 down to its finest, adding each map on the way (binary cross-entropy on all
    pixels). What it is, is answered on the map of stride 8 (cross-entropy on pixels where there is
    something). With a single cross-entropy, thin things on much ground collapse to ground.
    """

    default_steps = 2000
    rate = 4e-3
    needed = ("torchmetrics",)

    def predict(self, data: AnnotatedSet) -> list[ClassMap]:
        """The class of each pixel of each picture: 0 for the ground, class number + 1."""
        found: list[ClassMap] = []
        with torch.no_grad():
            for rows in in_batches(len(data), BATCH):
                there, what = self.model_(as_images([s.image for s in self.samples(data, rows)]))
                classes = torch.where(there > 0, what.argmax(1) + 1, 0)
                found += list(classes.byte().numpy())
        return found

    def score(self, data: AnnotatedSet) -> Score:
        """Mean overlap (intersection over union) of the classes without the ground, and with it.

        Pixels are those of the squares that the head sees; void ones do not count.
        """
        self.check(data)
        rows = range(len(data))
        truth = (data.sample(row, self.encoder.spec.channels, self.side).class_map for row in rows)
        return overlap(self.predict(data), [x for x in truth if x is not None], data.classes)

    def check(self, data: AnnotatedSet) -> None:
        """Each picture needs a class map."""
        if not data.masked:
            missing = next(p.path.name for p in data.pictures if p.class_map is None)
            raise InputError(
                f"{data.name} has no mask for {missing}; segmentation needs one for each picture"
            )

    def built(self, maps: FeatureMaps, classes: int) -> nn.Module:
        """The head."""
        return _Head(maps, classes)

    def loss(self, batch: list[Sample]) -> Float[Tensor, ""]:
        """Of there being something, and of what it is; void pixels teach nothing."""
        there, what = self.model_(as_images([s.image for s in batch]))
        truth = torch.from_numpy(
            np.stack([s.class_map for s in batch if s.class_map is not None])
        ).long()
        known, thing = truth != VOID, (truth > 0) & (truth != VOID)
        loss = binary_cross_entropy_with_logits(there[known], thing[known].float())
        thing, truth = thing[:, ASKED, ASKED], truth[:, ASKED, ASKED]
        if thing.any():
            loss = loss + cross_entropy(what.permute(0, 2, 3, 1)[thing], truth[thing] - 1)
        return loss


def overlap(found: list[ClassMap], truth: list[ClassMap], classes: tuple[str, ...]) -> Score:
    """Intersection over union over all pixels of all pictures, class by class.

    Args:
        found: class maps, 0 for the ground.
        truth: likewise; void pixels do not count.
        classes: names; those that the truth does not hold are left out of the mean.

    Raises:
        InputError: if torchmetrics is missing.
    """
    need(*Segmentation.needed)
    from torchmetrics.classification import MulticlassJaccardIndex

    metric = MulticlassJaccardIndex(len(classes) + 1, average=None, ignore_index=VOID)
    present = np.zeros(VOID + 1, bool)
    for ours, theirs in zip(found, truth, strict=True):
        metric.update(torch.from_numpy(ours).long()[None], torch.from_numpy(theirs).long()[None])
        present[np.unique(theirs)] = True
    values = metric.compute().tolist()
    per_class = {
        name: value
        for number, (name, value) in enumerate(zip(classes, values[1:], strict=True), 1)
        if present[number]
    }
    ground = [values[0]] if present[0] else []
    return Score(
        {
            "miou": float(np.mean([*per_class.values()])) if per_class else 0.0,
            "miou_with_ground": float(np.mean([*ground, *per_class.values()])),
        },
        per_class,
    )


class _Head(nn.Module):
    """From maps to two answers for each pixel: whether there is something, and what.

    In training, the second is given for the rows and columns that are asked for.
    """

    def __init__(self, maps: FeatureMaps, classes: int) -> None:
        super().__init__()
        self.maps = maps
        coarsest = max(COARSEST, maps.strides[0])
        self.levels = [i for i, stride in enumerate(maps.strides) if stride <= coarsest]
        self.sides = nn.ModuleList(nn.Conv2d(maps.channels[i], FINE, 1) for i in self.levels)
        self.blocks = nn.ModuleList(_block(FINE, FINE) for _ in self.levels)
        self.there = nn.Conv2d(FINE, 1, 1)
        self.what = nn.Sequential(
            _block(maps.channels[self.levels[-1]], WIDE),
            _block(WIDE, WIDE),
            nn.Conv2d(WIDE, classes, 1),
        )

    def forward(
        self, images: Float[Tensor, "n c h w"]
    ) -> tuple[Float[Tensor, "n h w"], Float[Tensor, "n k h2 w2"]]:
        maps = self.maps(images)
        found = [maps[i] for i in self.levels]
        steps = zip(found, self.sides, self.blocks, strict=True)
        x = None
        for finer, side, block in reversed(list(steps)):
            add = side(finer)
            x = block(add if x is None else add + interpolate(x, add.shape[-2:], mode="nearest"))
        whole = images.shape[-2:]
        asked = [len(range(*ASKED.indices(side))) for side in whole] if self.training else whole
        return _scaled(self.there(x), whole)[:, 0], _scaled(self.what(found[-1]), asked)


def _scaled(maps: Float[Tensor, "n c h w"], size: Sequence[int]) -> Float[Tensor, "n c h2 w2"]:
    return interpolate(maps, list(size), mode="bilinear", align_corners=False)


def _block(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
