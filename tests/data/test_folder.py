"""Folders of images as people have them."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from temperance import InputError
from temperance.data import load_images, split
from temperance.data.folder import read_folder

RANDOM = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(20):
            Image.fromarray(RANDOM.integers(0, 256, (30, 40, 3), np.uint8)).save(
                tmp_path / name / f"{i}.png"
            )
    return tmp_path


def test_sub_folders_are_classes(folder: Path) -> None:
    images = load_images(str(folder))
    assert images.images.shape == (40, 3, 32, 32)
    assert images.classes == ("cat", "dog")
    assert images.labels.tolist() == [0] * 20 + [1] * 20
    assert images.notes == ()


def test_no_sub_folders_no_labels(folder: Path) -> None:
    flat = folder / "flat"
    flat.mkdir()
    for path in folder.glob("*/*.png"):
        path.rename(flat / f"{path.parent.name}{path.name}")
    images = load_images(str(flat), size=16)
    assert images.labels is None
    assert images.images.shape == (40, 3, 16, 16)


def test_every_mode_is_read(folder: Path) -> None:
    odd = folder / "cat"
    red = Image.new("RGBA", (50, 20), (255, 0, 0, 0))
    red.save(odd / "clear.png")
    Image.new("RGB", (9, 9), (0, 0, 255)).convert("P").save(odd / "palette.gif")
    Image.new("L", (1, 1), 7).save(odd / "tiny.png")
    Image.fromarray(np.full((8, 8), 65535, np.uint16)).save(odd / "deep.png")
    Image.new("LA", (8, 8), (0, 0)).save(odd / "grey-alpha.png")
    Image.new("CMYK", (8, 8)).save(odd / "print.jpg")
    images = load_images(str(folder))
    names = sorted(p.name for p in odd.iterdir())
    of = {name: images.images[i] for i, name in enumerate(names)}
    assert of["clear.png"].min() == 255  # laid on white
    assert of["deep.png"].min() == 255
    assert of["grey-alpha.png"].min() == 255
    assert of["palette.gif"][:, 0, 0].tolist() == [0, 0, 255]
    assert of["tiny.png"].max() == 7


def test_grey_pictures_make_one_channel(tmp_path: Path) -> None:
    for i in range(30):
        Image.new("RGB", (8, 8), (i, i, i)).save(tmp_path / f"{i}.png")
    assert load_images(str(tmp_path)).channels == 1


def test_a_turned_photograph_is_turned_back(folder: Path) -> None:
    wide = Image.new("RGB", (64, 32))
    wide.paste((255, 255, 255), (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to view
    wide.save(folder / "cat" / "!first.jpg", exif=exif, quality=95)
    seen = load_images(str(folder)).images[0].mean(axis=0)
    assert seen[:8].mean() > 200 > 60 > seen[-8:].mean()


def test_unreadable_files_are_left_out_and_named(folder: Path) -> None:
    (folder / "cat" / "0.png").write_bytes(b"not a picture")
    whole = (folder / "dog" / "1.png").read_bytes()
    (folder / "dog" / "1.png").write_bytes(whole[: len(whole) // 2])
    images = load_images(str(folder))
    assert len(images) == 38
    (note,) = images.notes
    assert "skipped 2 of 40" in note
    assert "cat/0.png" in note
    assert "dog/1.png" in note


def test_all_unreadable_is_an_error(tmp_path: Path) -> None:
    for i in range(40):
        (tmp_path / f"{i}.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match="none of the 40 images"):
        load_images(str(tmp_path))


def test_too_little_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no images"):
        load_images(str(tmp_path))
    (tmp_path / "only").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "only" / "one.png")
    with pytest.raises(InputError, match="holds 1 readable image; give at least 30"):
        load_images(str(tmp_path))


def test_a_class_too_small_to_measure_trains_only(folder: Path) -> None:
    (folder / "owl").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "owl" / "one.png")
    images = load_images(str(folder))
    assert any("owl (1)" in note for note in images.notes)
    parts = split(images)
    owl = images.classes.index("owl")
    assert owl in images.labels[parts.train]
    assert owl not in images.labels[parts.validation]
    assert owl not in images.labels[parts.test]


def test_one_class_is_no_label(folder: Path) -> None:
    (folder / "dog").rename(folder / "cat" / "more")
    images = load_images(str(folder))
    assert images.labels is None
    assert "one class only" in images.notes[0]


def test_pictures_beside_the_classes_make_all_unlabelled(folder: Path) -> None:
    Image.new("RGB", (8, 8)).save(folder / "loose.png")
    images = load_images(str(folder))
    assert images.labels is None
    assert "1 of 41 images lie beside" in images.notes[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("glpyhs", "did you mean 'glyphs'"),
        ("digit", "did you mean 'digits'"),
        ("nothing-like-it", "there are glyphs, digits, mnist5k, .*, or give a folder"),
    ],
)
def test_an_unknown_name_says_what_there_is(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_images(name)


def test_a_file_is_no_folder(folder: Path) -> None:
    with pytest.raises(InputError, match="is a file; give a folder"):
        load_images(str(folder / "cat" / "0.png"))


def test_built_in_sets_have_a_size_of_their_own() -> None:
    with pytest.raises(InputError, match="has a size of its own"):
        load_images("digits", size=16)
    digits = load_images("digits")
    assert digits.images.shape == (1797, 1, 8, 8)
    assert digits.images.max() == 255


def test_mnist5k() -> None:
    images = load_images("mnist5k")
    assert images.images.shape == (5000, 1, 28, 28)
    assert np.bincount(images.labels).tolist() == [500] * 10


def test_the_fingerprint_knows_pixels_and_labels(folder: Path) -> None:
    before = load_images(str(folder)).fingerprint
    assert load_images(str(folder)).fingerprint == before
    (folder / "cat" / "0.png").rename(folder / "dog" / "moved.png")
    assert load_images(str(folder)).fingerprint != before


def picture(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (12, 12), shade).save(path)


def test_links_are_followed_once_and_what_is_hidden_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    for i in range(4):
        picture(folder / "birds" / f"{i}.png", i)
        picture(tmp_path / "elsewhere" / f"{i}.png", 100 + i)
        picture(folder / ".ipynb_checkpoints" / f"{i}.png", 200 + i)
    (folder / "cats").symlink_to(tmp_path / "elsewhere")
    (folder / "birds" / "round").symlink_to(folder)
    images = read_folder(folder, 12)
    assert images.classes == ("birds", "cats")
    assert len(images) == 8


def test_names_of_any_bytes_can_be_written_down(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    for name in (b"caf\xe9", b"bar"):
        for i in range(3):
            picture(Path(os.fsdecode(os.fsencode(folder) + b"/" + name)) / f"{i}.png", i)
    images = read_folder(folder, 12)
    assert images.classes == ("bar", "caf\N{REPLACEMENT CHARACTER}")
    "".join((images.name, *images.classes)).encode()


def test_grey_fractions_are_not_all_black(tmp_path: Path) -> None:
    pixels = np.linspace(0, 1, 144, dtype=np.float32).reshape(12, 12)
    (tmp_path / "pictures").mkdir()
    Image.fromarray(pixels, mode="F").save(tmp_path / "pictures" / "0.tif")
    assert read_folder(tmp_path / "pictures", 12).images.max() > 250


def test_reading_leaves_the_filters_of_warnings_as_they_were(tmp_path: Path) -> None:
    picture(tmp_path / "pictures" / "0.png")
    before = list(warnings.filters)
    read_folder(tmp_path / "pictures", 12)
    assert warnings.filters == before
