"""A few scenes, written once, and a small extractor."""

import pytest
import torch

from temperance.data import scenes as room
from temperance.data.annotated import AnnotatedSplits, load_annotated
from temperance.encoders import Encoder, EncoderSpec


@pytest.fixture(scope="session")
def few_scenes(tmp_path_factory) -> AnnotatedSplits:
    pytest.importorskip("pycocotools")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "COUNTS", {"train": 12, "test": 8})
        return load_annotated("digit-scenes", tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def extractor() -> Encoder:
    torch.manual_seed(0)
    return Encoder(EncoderSpec(1, 28, (0.4,), (0.3,), widths=(8, 16, 16))).eval()
