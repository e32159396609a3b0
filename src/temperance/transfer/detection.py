"""Detection: torchvision's detectors on an extractor's maps, scored as COCO does."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from temperance.data.annotated import AnnotatedSet, Sample
from temperance.encoders import Encoder, FeatureMaps
from temperance.errors import InputError
from temperance.transfer.dense import (
    BATCH,
    SIDE,
    DenseTask,
    OnStep,
    as_images,
    in_batches,
    need,
)
from temperance.transfer.evaluator import Score

# Objects of a few tens of pixels are found on the map of this stride and coarser ones.
FINEST = 8
WIDTH = 64
CONVOLUTIONS = 2
# Boxes less sure than this are not told; COCO takes the hundred surest of an image.
LEAST, MOST = 0.05, 100


@dataclass(frozen=True)
class Detections:
    """What a detector says of one picture.

    Attributes:
        boxes: ``(n, 4)`` left, top, right, bottom, in pixels of the square that it was given.
        scores: ``(n,)`` falling, in [0, 1].
        labels: ``(n,)`` class numbers, from 0.
    """

    boxes: Float32[np.ndarray, "n 4"]
    scores: Float32[np.ndarray, " n"]
    labels: Int64[np.ndarray, " n"]


class Detection(DenseTask):
    """A detector with a feature pyramid (Lin et al. 2017, arXiv 1612.03144) on an extractor's maps.

    ``"fcos"`` (Tian et al. 2019, arXiv 1904.01355), ``"retinanet"`` (Lin et al. 2017, arXiv 1708.02002) or
    ``"faster-rcnn"`` (Ren et al. 2015, arXiv 1506.01497), as torchvision has them, with heads of 64 channels
    that suit small extractors. The pyramid begins at stride 8.

    Args:
        encoder: the extractor; a copy of it is trained, or frozen.
        detector: one of those above.
        steps: of training, 16 pictures each; None for 2,250.
        frozen: train the detector only.
        side: pictures are scaled so that their longer side is this many pixels.
        seed: of the head's weights and the order of pictures.
        on_step: called with the number of finished steps.

    Raises:
        InputError: if there is no such detector; from ``fit``, if torchvision, torchmetrics or pycocotools is
            missing.
    """

    default_steps = 2250
    batch = 16
    needed = ("torchvision", "torchmetrics", "pycocotools")

    def __init__(
        self,
        encoder: Encoder,
        *,
        detector: str = "fcos",
        steps: int | None = None,
        frozen: bool = False,
        side: int = SIDE,
        seed: int = 0,
        on_step: OnStep = lambda step: None,
    ) -> None:
        if detector not in DETECTORS:
            raise InputError(
                f"detector {detector!r} is unknown; give one of {', '.join(DETECTORS)}"
            )
        super().__init__(encoder, steps=steps, frozen=frozen, side=side, seed=seed, on_step=on_step)
        self.detector = detector

    def predict(self, data: AnnotatedSet) -> list[Detections]:
        """The boxes that it finds in each picture."""
        found = []
        with torch.no_grad():
            for rows in in_batches(len(data), BATCH):
                images = as_images([s.image for s in self.samples(data, rows)])
                found += [self._told(x) for x in self.model_(list(images))]
        return found

    def score(self, data: AnnotatedSet) -> Score:
        """AP50, AP (over overlaps of .5 to .95) and AP75; and AP for each class.

        Boxes are measured on the squares that the detector sees. Crowds and difficult objects neither count
        nor count against.
        """
        rows = range(len(data))
        truth = (data.sample(row, self.encoder.spec.channels, self.side) for row in rows)
        return average_precision(self.predict(data), list(truth), data.classes)

    def check(self, data: AnnotatedSet) -> None:
        """Boxes are needed."""
        if not data.boxed:
            raise InputError(f"{data.name} has masks and no boxes; detection needs COCO or VOC")

    def built(self, maps: FeatureMaps, classes: int) -> nn.Module:
        """The detector."""
        return _built(self.detector, maps, classes, self.side)

    def loss(self, batch: list[Sample]) -> Float[Tensor, ""]:
        """The sum of the losses of the detector; what is ignored is left out."""
        first = _FIRST_CLASS[self.detector]
        targets = [
            {
                "boxes": torch.from_numpy(s.boxes[~s.ignored]),
                "labels": torch.from_numpy(s.labels[~s.ignored]) + first,
            }
            for s in batch
        ]
        losses: dict[str, Tensor] = self.model_(list(as_images([s.image for s in batch])), targets)
        return torch.stack(list(losses.values())).sum()

    def _told(self, found: dict[str, Tensor]) -> Detections:
        order = found["scores"].argsort(descending=True)
        return Detections(
            found["boxes"][order].numpy(),
            found["scores"][order].numpy(),
            found["labels"][order].numpy() - _FIRST_CLASS[self.detector],
        )


def average_precision(
    found: list[Detections], truth: list[Sample], classes: tuple[str, ...]
) -> Score:
    """COCO's average precision by pycocotools: AP50, AP, AP75, and AP of each class.

    Args:
        found: for each picture.
        truth: for each picture; what is ignored there is a crowd to COCO.
        classes: names.

    Raises:
        InputError: if torchvision, torchmetrics or pycocotools is missing.
    """
    need(*Detection.needed)
    from torchmetrics.detection import MeanAveragePrecision

    # In float64, as COCO has them: in the library's own float32 some fall on the other side of a recall.
    metric = MeanAveragePrecision(
        iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
        rec_thresholds=np.linspace(0, 1, 101).tolist(),
        class_metrics=True,
    )
    metric.update(
        [
            {
                "boxes": torch.from_numpy(x.boxes),
                "scores": torch.from_numpy(x.scores),
                "labels": torch.from_numpy(x.labels),
            }
            for x in found
        ],
        [
            {
                "boxes": torch.from_numpy(x.boxes),
                "labels": torch.from_numpy(x.labels),
                "iscrowd": torch.from_numpy(x.ignored.astype(np.int64)),
            }
            for x in truth
        ],
    )
    value = metric.compute()
    ours = {"ap50": "map_50", "ap": "map", "ap75": "map_75"}
    # COCO says -1 where there is nothing to find.
    per_class = zip(
        value["classes"].view(-1).tolist(), value["map_per_class"].view(-1).tolist(), strict=True
    )
    return Score(
        {name: max(0.0, float(value[key])) for name, key in ours.items()},
        {classes[label]: ap for label, ap in per_class if ap >= 0},
    )


class _Pyramid(nn.Module):
    """Maps of the strides that detectors look at, all of one width."""

    def __init__(self, maps: FeatureMaps) -> None:
        from torchvision.ops import FeaturePyramidNetwork

        super().__init__()
        self.maps = maps
        finest = min(FINEST, maps.strides[-1])
        self.levels = [i for i, stride in enumerate(maps.strides) if stride >= finest]
        self.strides = [maps.strides[i] for i in self.levels]
        self.pyramid = FeaturePyramidNetwork([maps.channels[i] for i in self.levels], WIDTH)
        self.out_channels = WIDTH

    def forward(self, images: Float[Tensor, "n c h w"]) -> OrderedDict[str, Tensor]:
        found = self.maps(images)
        named: OrderedDict[str, Tensor] = self.pyramid(
            OrderedDict((str(i), found[level]) for i, level in enumerate(self.levels))
        )
        return named


def _built(detector: str, maps: FeatureMaps, classes: int, side: int) -> nn.Module:
    channels = maps.encoder.spec.channels
    # The extractor takes its own mean off, and samples are squares of one size already.
    asis = {
        "min_size": side,
        "max_size": side,
        "image_mean": [0.0] * channels,
        "image_std": [1.0] * channels,
    }
    return DETECTORS[detector](_Pyramid(maps), classes, asis)


def _fcos(pyramid: _Pyramid, classes: int, asis: dict[str, Any]) -> nn.Module:
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.fcos import FCOS, FCOSHead

    anchors = AnchorGenerator(
        tuple((stride,) for stride in pyramid.strides), ((1.0,),) * len(pyramid.strides)
    )
    head = FCOSHead(WIDTH, 1, classes, CONVOLUTIONS)
    told = {"score_thresh": LEAST, "detections_per_img": MOST}
    model: nn.Module = FCOS(pyramid, classes, anchor_generator=anchors, head=head, **asis, **told)
    return model


def _retinanet(pyramid: _Pyramid, classes: int, asis: dict[str, Any]) -> nn.Module:
    from torchvision.models.detection.retinanet import RetinaNet

    told = {"score_thresh": LEAST, "detections_per_img": MOST}
    model: nn.Module = RetinaNet(
        pyramid, classes, anchor_generator=_anchors(pyramid), **asis, **told
    )
    return model


def _faster_rcnn(pyramid: _Pyramid, classes: int, asis: dict[str, Any]) -> nn.Module:
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.ops import MultiScaleRoIAlign

    levels = [str(i) for i in range(len(pyramid.strides))]
    told = {"box_score_thresh": LEAST, "box_detections_per_img": MOST}
    # A twentieth of the usual proposals: pictures here hold some ten objects.
    few = {
        f"rpn_{when}_top_n_{what}": 100
        for when in ("pre_nms", "post_nms")
        for what in ("train", "test")
    }
    model: nn.Module = FasterRCNN(
        pyramid,
        rpn_anchor_generator=_anchors(pyramid),
        box_roi_pool=MultiScaleRoIAlign(levels, output_size=7, sampling_ratio=2),
        box_head=TwoMLPHead(WIDTH * 49, 256),
        box_predictor=FastRCNNPredictor(256, classes + 1),
        box_batch_size_per_image=64,
        **asis,
        **told,
        **few,
    )
    return model


def _anchors(pyramid: _Pyramid) -> Any:
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    sizes = tuple(tuple(round(x * stride) for x in (2, 3, 4)) for stride in pyramid.strides)
    return AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))


DETECTORS: dict[str, Callable[[_Pyramid, int, dict[str, Any]], nn.Module]] = {
    "fcos": _fcos,
    "retinanet": _retinanet,
    "faster-rcnn": _faster_rcnn,
}
# Where class numbers begin: Faster R-CNN keeps 0 for what is no object.
_FIRST_CLASS = {"fcos": 0, "retinanet": 0, "faster-rcnn": 1}
