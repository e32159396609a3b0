"""Every detector learns a few scenes: its classes, its boxes and its losses are put together right."""

from pathlib import Path

import pytest
import torch

from temperance.data import scenes
from temperance.data.annotated import AnnotatedSet, load_annotated
from temperance.encoders import Encoder, EncoderSpec
from temperance.transfer.detection import DETECTORS, Detection

pytestmark = pytest.mark.slow

# What they reached was 0.65, 0.47 and 0.48; a class number too high or boxes off by a scale leave nothing.
# RetinaNet finds little before 500 steps, and how much then depends on the processor.
STEPS = {"fcos": (300, 0.35), "retinanet": (600, 0.12), "faster-rcnn": (150, 0.25)}


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> AnnotatedSet:
    pytest.importorskip("pycocotools")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "COUNTS", {"train": 12, "test": 8})
        folder: Path = tmp_path_factory.mktemp("scenes")
        return load_annotated("digit-scenes", folder).train


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_detector_finds_what_it_was_shown(few: AnnotatedSet, detector: str) -> None:
    torch.manual_seed(0)
    extractor = Encoder(EncoderSpec(1, 28, (0.4,), (0.3,), widths=(16, 32, 32))).eval()
    steps, least = STEPS[detector]
    head = Detection(extractor, detector=detector, steps=steps).fit(few)
    assert head.score(few).metrics["ap50"] > least
    for found in head.predict(few):
        assert found.labels.min(initial=0) >= 0
        assert found.labels.max(initial=0) < len(few.classes)
        assert (found.boxes[:, 2:] >= found.boxes[:, :2]).all()
        assert (found.scores[:-1] >= found.scores[1:]).all()
