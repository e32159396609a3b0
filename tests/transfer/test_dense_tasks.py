"""Detection and segmentation: scores against COCO's own evaluation and sums by hand; heads that learn."""

import contextlib
import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from temperance import InputError
from temperance.data.annotated import VOID, AnnotatedSplits, Sample, cut_out
from temperance.encoders import Encoder
from temperance.report.answers import COLOURS, answers
from temperance.transfer import dense
from temperance.transfer.dense import DenseTask, jitter
from temperance.transfer.detection import Detection, Detections, average_precision
from temperance.transfer.evaluating import Extractor, evaluate
from temperance.transfer.results import Settings
from temperance.transfer.segmentation import Segmentation, overlap

coco = pytest.importorskip("pycocotools.coco")
RANDOM = np.random.default_rng(0)
CLASSES = ("a", "b", "c")


def boxes(count: int) -> np.ndarray:
    corner, size = RANDOM.uniform(0, 60, (count, 2)), RANDOM.uniform(10, 40, (count, 2))
    return np.hstack([corner, corner + size]).astype(np.float32)


def case() -> tuple[list[Detections], list[Sample]]:
    found, truth = [], []
    for _ in range(12):
        real, labels = boxes(6), RANDOM.integers(0, 3, 6)
        ignored = np.arange(6) == 5
        near = real + RANDOM.normal(0, 3, real.shape).astype(np.float32)
        told = np.vstack([near, boxes(3)])
        scores = np.sort(RANDOM.uniform(size=9).astype(np.float32))[::-1].copy()
        guessed = np.concatenate([labels, RANDOM.integers(0, 3, 3)])
        found.append(Detections(told, scores, guessed))
        truth.append(Sample(np.zeros((1, 100, 100), np.uint8), real, labels, ignored, None))
    return found, truth


def by_coco(found: list[Detections], truth: list[Sample]) -> list[float]:
    evaluation = pytest.importorskip("pycocotools.cocoeval")

    def corner_and_size(box: np.ndarray) -> list[float]:
        return [float(x) for x in (box[0], box[1], box[2] - box[0], box[3] - box[1])]

    annotations = [
        {
            "image_id": i,
            "category_id": int(label),
            "iscrowd": int(crowd),
            "bbox": corner_and_size(box),
            "area": float((box[2] - box[0]) * (box[3] - box[1])),
        }
        for i, s in enumerate(truth)
        for box, label, crowd in zip(s.boxes, s.labels, s.ignored, strict=True)
    ]
    known = coco.COCO()
    known.dataset = {
        "images": [{"id": i} for i in range(len(truth))],
        "annotations": [{"id": i + 1, **a} for i, a in enumerate(annotations)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        known.createIndex()
        told = known.loadRes(
            [
                {
                    "image_id": i,
                    "category_id": int(k),
                    "bbox": corner_and_size(b),
                    "score": float(s),
                }
                for i, x in enumerate(found)
                for b, s, k in zip(x.boxes, x.scores, x.labels, strict=True)
            ]
        )
        run = evaluation.COCOeval(known, told, "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return [float(run.stats[i]) for i in (1, 0, 2)]


def test_training_moves_a_picture_its_boxes_and_its_masks_together() -> None:
    image, class_map = np.zeros((1, 64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    image[0, 20:40, 24:48] = 255
    class_map[20:40, 24:48] = 2
    box = np.array([[24, 20, 48, 40]], np.float32)
    sample = Sample(image, box, np.array([1]), np.array([True]), class_map)
    torch.manual_seed(0)
    found = jitter([sample] * 50)
    sides = []
    for one in found:
        assert one.image.dtype == one.class_map.dtype == np.uint8
        assert set(np.unique(one.class_map)) <= {0, 2, VOID}
        assert (one.labels.tolist(), one.ignored.tolist()) == ([1], [True])
        rows, columns = np.nonzero(one.class_map == 2)
        drawn = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(one.boxes[0], drawn, atol=1.5)
        bright = np.argwhere(one.image[0] > one.image.max() / 2)
        np.testing.assert_allclose(bright.min(0), [drawn[1], drawn[0]], atol=1.5)
        sides.append(one.boxes[0, 2] - one.boxes[0, 0])
    assert min(sides) < 0.9 * 24 < 1.1 * 24 < max(sides)


def test_what_the_move_leaves_nothing_of_teaches_nothing() -> None:
    image, box = np.zeros((1, 64, 64), np.uint8), np.array([[0, 0, 3, 3]], np.float32)
    sample = Sample(image, box, np.array([0]), np.array([False]), None)
    assert len(jitter([sample])[0].boxes) == len(jitter([sample])[0].labels) == 0


def test_a_move_is_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    side, scale = 48, 1.2
    image = RANDOM.integers(0, 256, (3, side, side)).astype(np.uint8)
    class_map = RANDOM.integers(0, 4, (side, side)).astype(np.uint8)
    box = np.array([[20, 20, 30, 26]], np.float32)
    sample = Sample(image, box, np.array([0]), np.array([False]), class_map)
    monkeypatch.setattr(dense, "SCALED", (scale, scale))
    monkeypatch.setattr(dense, "LIGHT", 0.0)
    torch.manual_seed(0)
    (found,) = jitter([sample])
    move = (found.boxes[0, :2] - ((box[0, :2] - side / 2) * scale + side / 2)).tolist()
    assert min(map(abs, move)) > 0.1
    affine = partial(functional.affine, angle=0.0, translate=move, scale=scale, shear=[0.0, 0.0])
    drawn = affine(
        torch.from_numpy(image) / 255, interpolation=functional.InterpolationMode.BILINEAR
    )
    np.testing.assert_allclose(found.image / 255, drawn.numpy(), atol=0.5 / 255 + 1e-4)
    where = affine(torch.from_numpy(class_map)[None], fill=[VOID])
    np.testing.assert_array_equal(found.class_map, where[0].numpy())


@pytest.mark.parametrize("head", [Detection, Segmentation])
def test_a_missing_library_is_told_before_training(
    head: type[DenseTask],
    extractor: Encoder,
    few_scenes: AnnotatedSplits,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(dense, "find_spec", lambda name: None)
    missing = r"torchmetrics.* is missing; install with: pip install"
    with pytest.raises(InputError, match=missing):
        head(extractor, steps=1).fit(few_scenes.train)
    # Nor is any other task begun.
    settings = Settings(images=None, pictures="digit-scenes", steps=1, frozen=False)
    one = Extractor(tmp_path / "none", extractor, {})
    with pytest.raises(InputError, match=missing):
        evaluate([one], ["knn", head.__name__.lower()], settings, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_average_precision_is_cocos() -> None:
    found, truth = case()
    score = average_precision(found, truth, CLASSES)
    assert list(score.metrics) == ["ap50", "ap", "ap75"]
    np.testing.assert_allclose(list(score.metrics.values()), by_coco(found, truth), atol=1e-6)
    assert 0.2 < score.headline < 0.95
    assert np.mean(list(score.per_class.values())) == pytest.approx(score.metrics["ap"], abs=1e-6)


def test_overlap_is_intersection_over_union_without_void() -> None:
    truth = [RANDOM.integers(0, 4, (20, 20)).astype(np.uint8) for _ in range(3)]
    found = [np.where(RANDOM.random(x.shape) < 0.7, x, 1).astype(np.uint8) for x in truth]
    for x in truth:
        x[:, :4] = VOID
    score = overlap(found, truth, ("a", "b", "c", "never"))
    ours, theirs = np.stack(found), np.stack(truth)
    known = theirs != VOID
    wanted = [
        ((ours == k) & (theirs == k) & known).sum() / (((ours == k) | (theirs == k)) & known).sum()
        for k in range(4)
    ]
    assert list(score.per_class) == ["a", "b", "c"]
    np.testing.assert_allclose(list(score.per_class.values()), wanted[1:], atol=1e-6)
    assert score.headline == pytest.approx(np.mean(wanted[1:]), abs=1e-6)
    assert score.metrics["miou_with_ground"] == pytest.approx(np.mean(wanted), abs=1e-6)


@pytest.mark.parametrize("kind", [Detection, Segmentation])
@pytest.mark.parametrize("frozen", [True, False])
def test_heads_learn_and_leave_the_extractor_alone(
    few_scenes: AnnotatedSplits, extractor: Encoder, kind: type, frozen: bool
) -> None:
    before = {name: x.clone() for name, x in extractor.state_dict().items()}
    steps: list[int] = []
    head = kind(extractor, steps=3, frozen=frozen, side=64, on_step=steps.append)
    found = head.fit(few_scenes.train).predict(few_scenes.test)
    assert steps == [1, 2, 3]
    assert len(found) == len(few_scenes.test)
    assert not extractor.training
    for name, x in extractor.state_dict().items():
        torch.testing.assert_close(x, before[name], rtol=0, atol=0)
    moved = any(
        not torch.equal(x, before[name.split("encoder.")[1]])
        for name, x in head.model_.state_dict().items()
        if "encoder.backbone" in name
    )
    assert moved != frozen
    assert 0 <= head.score(few_scenes.test).headline <= 1


def test_the_same_seed_gives_the_same_head(few_scenes: AnnotatedSplits, extractor: Encoder) -> None:
    first, again, other = (
        Segmentation(extractor, steps=2, side=64, seed=seed).fit(few_scenes.train).model_
        for seed in (1, 1, 2)
    )
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert not torch.equal(next(first.blocks.parameters()), next(other.blocks.parameters()))


def test_objects_are_cut_out_with_their_labels(few_scenes: AnnotatedSplits) -> None:
    data = few_scenes.test
    found = cut_out(data, size=28, channels=1)
    assert found.images.shape == (sum(len(p.labels) for p in data.pictures), 1, 28, 28)
    wanted = np.concatenate([p.labels for p in data.pictures])
    np.testing.assert_array_equal(found.labels, wanted)
    assert found.classes == tuple("0123456789")


def test_what_cannot_be_done_is_said(few_scenes: AnnotatedSplits, extractor: Encoder) -> None:
    with pytest.raises(InputError, match="detector 'yolo' is unknown; give one of fcos"):
        Detection(extractor, detector="yolo")


def test_sheets_show_the_truth_and_what_is_found(
    few_scenes: AnnotatedSplits, extractor: Encoder
) -> None:
    head = Segmentation(extractor, steps=1, side=64).fit(few_scenes.train)
    content = answers(head, few_scenes.train, few_scenes.test)
    assert content is not None
    with Image.open(io.BytesIO(content)) as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape[0] == 3 * (256 + 6)
    truth = few_scenes.test.sample(0, 1, 64).class_map
    seen = pixels[:256:4, :256:4]
    label = truth[truth > 0][0]
    np.testing.assert_array_equal(seen[truth == label][0], COLOURS[(label - 1) % len(COLOURS)])
    assert (seen[truth == 0] == seen[truth == 0][:, :1]).all()
