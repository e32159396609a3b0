"""Scenes are what they are said to be, the same for everybody, and what they write reads back."""

import json
from pathlib import Path

import numpy as np
import pytest

from temperance.data import ImageSet, load_images, split
from temperance.data import scenes as room
from temperance.data.annotated import load_annotated, read_masks
from temperance.data.scenes import Scene, scenes


@pytest.fixture(scope="module")
def letters() -> ImageSet:
    return load_images("glyphs")


@pytest.fixture(scope="module")
def made(letters: ImageSet) -> list[Scene]:
    return list(scenes(letters, split(letters).test, count=60, seed=5))


def test_three_to_ten_objects_half_in_sight_at_least(made: list[Scene]) -> None:
    counts = {len(scene.labels) for scene in made}
    assert counts <= set(range(3, 11))
    assert {3, 10} <= counts
    hidden = np.concatenate([scene.hidden for scene in made])
    assert hidden.min() >= 0
    assert 0.4 < hidden.max() <= 0.5
    for scene in made:
        assert scene.image.shape == (128, 128)
        assert scene.masks.any(axis=(1, 2)).all()
        assert (scene.masks.sum(axis=0) <= 1).all()


def test_some_neighbours_share_their_grey(made: list[Scene]) -> None:
    shared = [len(scene.greys) - len(np.unique(scene.greys)) for scene in made]
    assert 0.1 < sum(shared) / sum(len(scene.greys) for scene in made) < 0.4


def test_ink_stands_off_its_ground(made: list[Scene]) -> None:
    scene = made[0]
    ground = scene.image[~scene.masks.any(axis=0)]
    assert ground.std() > 3
    for mask in scene.masks:
        assert abs(float(scene.image[mask].mean()) - float(ground.mean())) > 20


def test_the_same_seed_gives_the_same_scenes(letters: ImageSet, made: list[Scene]) -> None:
    again = next(scenes(letters, split(letters).test, count=1, seed=5))
    other = next(scenes(letters, split(letters).test, count=1, seed=6))
    np.testing.assert_array_equal(again.image, made[0].image)
    assert not np.array_equal(other.image, made[0].image)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "COUNTS", {"train": 6, "test": 4})
        return room.write_scenes("scenes", tmp_path_factory.mktemp("cache"))


def test_what_is_written_once_reads_back_as_it_was_drawn(written: Path, letters: ImageSet) -> None:
    before = (written / "images" / "test" / "000000.png").stat().st_mtime_ns
    assert room.write_scenes("scenes", written.parent) == written
    assert (written / "images" / "test" / "000000.png").stat().st_mtime_ns == before
    sets = load_annotated("scenes", written.parent)
    assert sets.test.classes == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert (len(sets.train), len(sets.test)) == (6, 4)
    drawn = list(scenes(letters, split(letters).test, count=4, seed=1))
    plain = read_masks(written, "test")
    for i, scene in enumerate(drawn):
        sample = sets.test.sample(i, channels=1, side=128)
        np.testing.assert_array_equal(sample.image[0], scene.image)
        np.testing.assert_array_equal(sample.labels, scene.labels)
        classes = (scene.masks * (scene.labels + 1)[:, None, None]).sum(axis=0)
        np.testing.assert_array_equal(sample.class_map, classes)
        np.testing.assert_array_equal(plain.sample(i, 1, 128).class_map, classes)
        for box, mask in zip(sample.boxes, scene.masks, strict=True):
            down, across = np.nonzero(mask)
            edges = [across.min(), down.min(), across.max() + 1, down.max() + 1]
            np.testing.assert_array_equal(box, edges)


def test_pycocotools_reads_the_file_as_standard_coco(written: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    known = coco.COCO(str(written / "annotations" / "instances_train.json"))
    for annotation in known.loadAnns(known.getAnnIds()):
        mask = known.annToMask(annotation)
        assert mask.sum() == annotation["area"]
        left, top, width, height = annotation["bbox"]
        assert mask[top : top + height, left : left + width].sum() == annotation["area"]
    assert [c["name"] for c in known.loadCats(known.getCatIds())] == list(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    )
    json.loads((written / "annotations" / "instances_test.json").read_text())
