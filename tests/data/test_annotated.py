"""COCO, VOC and mask folders in their exact formats, with what real ones hold, and their faults."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from temperance import InputError
from temperance.data.annotated import (
    VOID,
    is_annotated,
    load_annotated,
    read_coco,
    read_masks,
    read_voc,
)

pytest.importorskip("pycocotools")

COCO: dict[str, Any] = {
    "info": {"description": "two pictures", "version": "1.0", "year": 2017},
    "licenses": [{"id": 1, "name": "none", "url": ""}],
    "images": [
        {"id": 139, "file_name": "000000000139.jpg", "height": 20, "width": 30, "license": 1},
        {"id": 285, "file_name": "000000000285.jpg", "height": 24, "width": 16, "license": 1},
    ],
    "annotations": [
        {
            "id": 1,
            "image_id": 139,
            "category_id": 18,
            "iscrowd": 0,
            "area": 60.0,
            "bbox": [2.0, 3.0, 10.0, 6.0],
            "segmentation": [[2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0]],
        },
        {
            "id": 2,
            "image_id": 139,
            "category_id": 1,
            "iscrowd": 1,
            "area": 40,
            "bbox": [20, 0, 2, 20],
            "segmentation": {"size": [20, 30], "counts": [400, 40, 160]},
        },
        {
            "id": 900100259190,
            "image_id": 139,
            "category_id": 1,
            "iscrowd": 0,
            "area": 12.0,
            "bbox": [4.0, 4.0, 4.0, 3.0],
            "segmentation": [[4.0, 4.0, 8.0, 4.0, 8.0, 7.0, 4.0, 7.0]],
        },
        {
            "id": 3,
            "image_id": 139,
            "category_id": 1,
            "iscrowd": 0,
            "area": 0.0,
            "bbox": [5.0, 5.0, 0.0, 4.0],
            "segmentation": [[5.0, 5.0, 5.0, 9.0, 5.0, 9.0]],
        },
    ],
    "categories": [
        {"id": 18, "name": "dog", "supercategory": "animal"},
        {"id": 1, "name": "person", "supercategory": "person"},
    ],
}


def write_coco(folder: Path, whole: dict[str, Any] = COCO) -> Path:
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "val2017").mkdir(exist_ok=True)
    for image in COCO["images"]:
        size = (image["width"], image["height"])
        Image.new("RGB", size, (200, 100, 50)).save(folder / "val2017" / image["file_name"])
    path = folder / "annotations" / "instances_val2017.json"
    path.write_text(json.dumps(whole))
    return path


def test_coco_with_a_crowd_an_empty_image_and_a_box_without_area(tmp_path: Path) -> None:
    found = read_coco(write_coco(tmp_path))
    assert found.classes == ("person", "dog")
    assert found.notes == ("instances_val2017.json: left out 1 boxes without area",)
    first, empty = found.pictures
    np.testing.assert_array_equal(first.boxes, [[2, 3, 12, 9], [20, 0, 22, 20], [4, 4, 8, 7]])
    np.testing.assert_array_equal(first.labels, [1, 0, 0])
    np.testing.assert_array_equal(first.ignored, [False, True, False])
    assert len(empty.boxes) == 0
    classes = first.class_map()
    assert (classes[4:7, 4:8] == 1).all()  # the small person before the dog
    assert (classes[3:9, 2:12] == 2).sum() == 60 - 12
    assert (classes[:, 20:22] == VOID).all()
    assert (classes == 0).sum() == 600 - 60 - 40
    assert (empty.class_map() == 0).all()


def test_a_sample_fits_its_square(tmp_path: Path) -> None:
    found = read_coco(write_coco(tmp_path))
    sample = found.sample(0, channels=3, side=60)
    assert sample.image.shape == (3, 60, 60)
    np.testing.assert_array_equal(sample.boxes[0], [4, 6, 24, 18])
    assert (sample.image[:, 40:] == 0).all()
    assert (sample.class_map[40:] == VOID).all()
    np.testing.assert_allclose(sample.image[:, 20, 5], [200, 100, 50], atol=3)
    assert found.sample(0, channels=1, side=30).image.shape == (1, 30, 30)


def coco_fault(change: str) -> dict[str, Any]:
    whole = deepcopy(COCO)
    first = whole["annotations"][0]
    if change == "outside":
        first["bbox"] = [25.0, 3.0, 10.0, 6.0]
    elif change == "category":
        first["category_id"] = 7
    elif change == "image":
        first["image_id"] = 5
    elif change == "numbers":
        first["bbox"] = [1.0, 2.0]
    elif change == "file":
        whole["images"][1]["file_name"] = "gone.jpg"
    elif change == "climbs":
        whole["images"][1]["file_name"] = "../../secret.jpg"
    elif change == "keys":
        del whole["categories"]
    return whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("outside", r"annotation 1 of 000000000139.jpg has its box \(25, 3, 35, 9.*30 × 20 pixels"),
        ("category", "annotation 1 of 000000000139.jpg has category 7, which is not listed"),
        ("image", "annotation 1 is of image 5, which is not listed"),
        ("numbers", "annotation 1 lacks image_id, category_id or a bbox of four numbers"),
        ("file", "image gone.jpg is not in .*val2017; restore it"),
        ("climbs", "image 285 names ../../secret.jpg, outside its folder"),
        ("keys", "is no COCO file of instances"),
    ],
)
def test_faults_of_coco_are_named(tmp_path: Path, change: str, message: str) -> None:
    path = write_coco(tmp_path, coco_fault(change))
    with pytest.raises(InputError, match=message) as raised:
        read_coco(path)
    assert "\n" not in str(raised.value)


def test_a_picture_of_another_size_than_said_is_named(tmp_path: Path) -> None:
    path = write_coco(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "val2017" / "000000000139.jpg")
    with pytest.raises(InputError, match=r"000000000139.jpg is 8 × 8 pixels.*says 30 × 20"):
        read_coco(path).sample(0, 3, 32)


def test_one_coco_file_is_divided(tmp_path: Path) -> None:
    whole = deepcopy(COCO)
    whole["annotations"] = []
    path = write_coco(tmp_path, whole)
    with pytest.raises(InputError, match="holds 2 pictures; give at least 5"):
        load_annotated(str(path))
    whole["images"] = [{**whole["images"][0], "id": i} for i in range(10)]
    sets = load_annotated(str(write_coco(tmp_path, whole)))
    assert (len(sets.train), len(sets.test)) == (8, 2)


OBJECT = """<object><name>{name}</name><pose>Left</pose><truncated>1</truncated>
<difficult>{difficult}</difficult><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>
<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"""
PERSON, HARD = ("person", 0, (1, 1, 10, 20)), ("dog", 1, (5.5, 6, 30, 20))


def write_voc(folder: Path, objects: list[tuple[Any, ...]]) -> Path:
    for kind in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Main"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for name, inside in (("2007_000027", objects), ("2007_000032", [])):
        Image.new("RGB", (30, 20), (9, 9, 9)).save(folder / "JPEGImages" / f"{name}.jpg")
        body = "".join(OBJECT.format(name=n, difficult=d, box=b) for n, d, b in inside)
        text = f"<annotation><filename>{name}.jpg</filename>{body}</annotation>"
        (folder / "Annotations" / f"{name}.xml").write_text(text)
    mask = np.zeros((20, 30), np.uint8)
    mask[:, :10], mask[0] = 15, 255
    drawn = Image.fromarray(mask, mode="L").convert("P")
    drawn.putdata(mask.ravel().tolist())
    drawn.putpalette([x for i in range(256) for x in (i, 0, 255 - i)])
    drawn.save(folder / "SegmentationClass" / "2007_000027.png")
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(
        folder / "SegmentationClass" / "2007_000032.png"
    )
    (folder / "ImageSets" / "Main" / "train.txt").write_text("2007_000027\n2007_000032\n")
    (folder / "ImageSets" / "Main" / "val.txt").write_text("2007_000032 -1\n")
    return folder


def test_voc_with_a_difficult_object_an_empty_image_and_a_palette_mask(tmp_path: Path) -> None:
    sets = load_annotated(str(write_voc(tmp_path, [PERSON, HARD])))
    assert len(sets.train) == 2
    assert len(sets.test) == 1
    assert len(sets.train.classes) == 20
    first, empty = sets.train.pictures
    np.testing.assert_array_equal(first.boxes, [[0, 0, 10, 20], [4.5, 5, 30, 20]])
    assert [sets.train.classes[i] for i in first.labels] == ["person", "dog"]
    np.testing.assert_array_equal(first.ignored, [False, True])
    assert len(empty.boxes) == 0
    classes = first.class_map()
    assert (classes[0] == VOID).all()
    assert (classes[1:, :10] == 15).all()
    assert (classes[1:, 10:] == 0).all()
    assert sets.train.classes[15 - 1] == "person"


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (("person", 0, (1, 1, 40, 20)), "2007_000027.xml: object 1 has its box .0, 0, 40, 20"),
        (
            ("unicorn", 0, (1, 1, 9, 9)),
            "2007_000027.xml: object 1 is a 'unicorn', which is no class",
        ),
        (("dog", 0, ("x", 1, 9, 9)), "2007_000027.xml: object 1 has no bndbox of four numbers"),
        (("dog", 0, (9, 9, 8, 9)), "2007_000027.xml: object 1 has a box without area"),
    ],
)
def test_faults_of_voc_are_named(tmp_path: Path, thing: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_voc(write_voc(tmp_path, [thing]), "train")


def test_missing_files_of_voc_are_named(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, [PERSON])
    (folder / "JPEGImages" / "2007_000032.jpg").unlink()
    with pytest.raises(InputError, match="picture 2007_000032: there is no file"):
        read_voc(folder, "train")
    with pytest.raises(InputError, match=r"holds no .*test.txt"):
        read_voc(folder, "test")
    (folder / "Annotations" / "2007_000027.xml").write_text("<annotation>")
    with pytest.raises(InputError, match=r"2007_000027.xml is not XML"):
        read_voc(folder, "train")


def write_masks(folder: Path) -> Path:
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    numbers = np.zeros((6, 8), np.uint16)
    numbers[:3, :4], numbers[5] = 2, 65535
    for name in ("a", "b"):
        Image.new("L", (8, 6), 90).save(folder / "images" / f"{name}.jpg")
    Image.fromarray(numbers).save(folder / "masks" / "a.png")
    palette = Image.new("P", (8, 6), 3)
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    palette.save(folder / "masks" / "b.png")
    return folder


def test_masks_of_16_bits_and_of_a_palette(tmp_path: Path) -> None:
    found = read_masks(write_masks(tmp_path))
    assert found.classes == ("1", "2", "3")
    assert found.masked
    assert not found.boxed
    first, second = (picture.class_map() for picture in found.pictures)
    assert (first[:3, :4] == 2).all()
    assert (first[5] == VOID).all()
    assert (first == 0).sum() == 48 - 12 - 8
    assert (second == 3).all()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (None, "b.jpg has no mask"),
        (np.zeros((5, 8), np.uint8), r"b.png is 8 × 5 pixels, its picture 8 × 6"),
        (np.full((6, 8), 9, np.uint8), r"b.png holds class 9, and there are 2 besides the ground"),
        (np.zeros((6, 8, 3), np.uint8), r"b.png is in colours \(RGB\)"),
    ],
)
def test_faults_of_masks_are_named(tmp_path: Path, mask: np.ndarray | None, message: str) -> None:
    folder = write_masks(tmp_path)
    (folder / "classes.txt").write_text("cat\ndog\n")
    (folder / "masks" / "b.png").unlink()
    if mask is not None:
        Image.fromarray(mask).save(folder / "masks" / "b.png")
    with pytest.raises(InputError, match=message):
        read_masks(folder).sample(1, 1, 8)


def test_what_is_annotated_is_told_from_what_is_not(tmp_path: Path) -> None:
    assert is_annotated("digit-scenes")
    assert not is_annotated("digits")
    assert not is_annotated(str(tmp_path))
    assert is_annotated(str(write_masks(tmp_path / "m")))
    with pytest.raises(InputError, match="no annotated pictures 'glyphs'; give scenes"):
        load_annotated("glyphs")
