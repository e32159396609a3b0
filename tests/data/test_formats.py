"""Data as they lie on disk: small files in the formats that people have, written here."""

import bz2
import hashlib
import io
import json
import pickle
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from temperance import InputError
from temperance.data import ImageSet, load_images, split

RANDOM = np.random.default_rng(0)
N = 40


def picture(width: int = 20, height: int = 20, kind: str = "png") -> bytes:
    out = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 256, (height, width, 3), np.uint8)).save(out, kind)
    return out.getvalue()


def write_shard(path: Path, samples: list[dict[str, bytes]]) -> None:
    with tarfile.open(path, "w") as tar:
        for number, sample in enumerate(samples):
            for ending, content in sample.items():
                member = tarfile.TarInfo(f"part/{number:04d}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


class TestShards:
    def test_labels_come_from_cls_or_json(self, tmp_path: Path) -> None:
        cls = [{"png": picture(), "cls": str(10 + i % 2).encode()} for i in range(N)]
        write_shard(tmp_path / "a.tar", cls)
        named = [
            {"json": json.dumps({"label": "ab"[i % 2]}).encode(), "JPG": picture(kind="jpeg")}
            for i in range(N)
        ]
        write_shard(tmp_path / "b.tar", named)
        numbers, names = (load_images(str(tmp_path / f"{x}.tar")) for x in "ab")
        assert numbers.images.shape == names.images.shape == (N, 3, 20, 20)
        assert numbers.classes == ("10", "11")
        assert names.classes == ("a", "b")
        assert names.labels.tolist() == [0, 1] * (N // 2)
        both = load_images(str(tmp_path))
        assert len(both) == 2 * N
        assert both.classes == ("10", "11", "a", "b")

    def test_none_need_labels_and_pickles_are_passed_over(self, tmp_path: Path) -> None:
        write_shard(tmp_path / "a.tar", [{"png": picture(), "pyd": b"evil"} for _ in range(N)])
        assert load_images(str(tmp_path / "a.tar")).labels is None

    def test_some_without_labels_leave_all_without(self, tmp_path: Path) -> None:
        samples = [{"png": picture(), "cls": b"1"} for _ in range(N)]
        del samples[3]["cls"]
        write_shard(tmp_path / "a.tar", samples)
        images = load_images(str(tmp_path / "a.tar"))
        assert images.labels is None
        assert "1 of 40 images" in images.notes[0]

    def test_other_sizes_are_made_squares_of_one(self, tmp_path: Path) -> None:
        sizes = [(20, 20), (30, 30), (50, 25), (300, 200)]
        write_shard(tmp_path / "a.tar", [{"png": picture(*sizes[i % 4])} for i in range(N)])
        assert load_images(str(tmp_path / "a.tar")).size == 32
        assert load_images(str(tmp_path / "a.tar"), size=48).size == 48

    def test_unreadable_images_are_named(self, tmp_path: Path) -> None:
        samples = [{"png": picture()} for _ in range(N)]
        samples[7] = {"png": b"broken"}
        write_shard(tmp_path / "a.tar", samples)
        images = load_images(str(tmp_path / "a.tar"))
        assert len(images) == N - 1
        assert "a.tar/part/0007" in images.notes[0]

    @pytest.mark.parametrize("kept", [0.3, 0.5, 0.8])
    def test_a_broken_shard_is_refused(self, tmp_path: Path, kept: float) -> None:
        path = tmp_path / "a.tar"
        write_shard(path, [{"png": picture()} for _ in range(N)])
        path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
        with pytest.raises(InputError, match=r"a\.tar is damaged \(.*\); fetch it again"):
            load_images(str(path))

    def test_a_shard_broken_between_entries_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tar"
        write_shard(path, [{"png": picture()} for _ in range(N)])
        with tarfile.open(path) as tar:
            half = tar.getmembers()[20].offset
        path.write_bytes(path.read_bytes()[:half])
        with pytest.raises(InputError, match="breaks off after 20 entries"):
            load_images(str(path))
        path.write_bytes(path.read_bytes() + b"rubbish" * 1000)
        with pytest.raises(InputError, match="breaks off after 20 entries"):
            load_images(str(path))

    def test_what_is_none_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tar"
        path.write_bytes(b"no tar at all" * 100)
        with pytest.raises(InputError, match="is damaged"):
            load_images(str(path))
        write_shard(path, [{"txt": b"words"}])
        with pytest.raises(InputError, match=r"a\.tar holds no images"):
            load_images(str(path))
        write_shard(path, [{"png": picture(), "json": b"{"}])
        with pytest.raises(InputError, match=r"the label of .*0000 cannot be read"):
            load_images(str(path))

    def test_a_tar_beside_images_is_not_taken_for_them(self, tmp_path: Path) -> None:
        write_shard(tmp_path / "a.tar", [{"png": picture()}])
        for i in range(N):
            (tmp_path / f"{i}.png").write_bytes(picture())
        assert len(load_images(str(tmp_path))) == N


class TestTables:
    @pytest.fixture(autouse=True)
    def _pyarrow(self) -> None:
        pytest.importorskip("pyarrow")

    @staticmethod
    def write(path: Path, **columns: object) -> None:
        import pyarrow as arrow
        from pyarrow import parquet

        parquet.write_table(arrow.table(columns), path)

    @pytest.mark.parametrize("nested", [False, True])
    def test_bytes_and_structures_of_bytes(self, tmp_path: Path, nested: bool) -> None:
        images = [picture() for _ in range(N)]
        column = [{"bytes": x, "path": None} for x in images] if nested else images
        self.write(tmp_path / "a.parquet", image=column, label=[i % 3 for i in range(N)])
        found = load_images(str(tmp_path / "a.parquet"))
        assert found.images.shape == (N, 3, 20, 20)
        assert found.labels.tolist() == [i % 3 for i in range(N)]
        first = np.asarray(Image.open(io.BytesIO(images[0]))).transpose(2, 0, 1)
        np.testing.assert_array_equal(found.images[0], first)
        self.write(tmp_path / "b.parquet", image=column)
        assert len(load_images(str(tmp_path))) == 2 * N

    def test_rows_that_cannot_be_read_are_named(self, tmp_path: Path) -> None:
        images = [picture() for _ in range(N)]
        images[3], images[5] = None, b"broken"
        self.write(tmp_path / "a.parquet", image=images)
        found = load_images(str(tmp_path / "a.parquet"))
        assert found.labels is None
        assert "skipped 2 of 40" in found.notes[0]
        assert "row 3 of" in found.notes[0]

    def test_what_is_none_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        self.write(path, number=[1, 2])
        with pytest.raises(InputError, match="has no column of image bytes, only number"):
            load_images(str(path))
        path.write_bytes(b"PAR1 and no more")
        with pytest.raises(InputError, match=r"a\.parquet is damaged"):
            load_images(str(path))


class TestArrays:
    @pytest.mark.parametrize(
        ("shape", "channels"),
        [
            ((N, 9, 9), 1),
            ((N, 9, 9, 3), 3),
            ((N, 3, 9, 9), 3),
            ((N, 1, 9, 9), 1),
            ((N, 9, 9, 1), 1),
        ],
    )
    def test_channels_stand_where_they_like(self, tmp_path: Path, shape, channels: int) -> None:
        given = RANDOM.integers(0, 256, shape, np.uint8)
        np.save(tmp_path / "a.npy", given)
        np.savez(tmp_path / "a.npz", images=given, labels=np.arange(N) % 4 + 6)
        plain, labelled = (load_images(str(tmp_path / name)) for name in ("a.npy", "a.npz"))
        assert plain.images.shape == labelled.images.shape == (N, channels, 9, 9)
        assert plain.labels is None
        assert labelled.classes == ("6", "7", "8", "9")
        if shape[-1] == 3:
            np.testing.assert_array_equal(plain.images[0, 1], given[0, ..., 1])

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"images": np.zeros((N, 8, 8))}, "are float64; give bytes"),
            ({"images": np.zeros((N, 8, 9), np.uint8)}, "give squares"),
            ({"images": np.zeros((N, 8, 8, 4), np.uint8)}, "1 or 3 channels"),
            ({"images": np.zeros((N, 8), np.uint8)}, r"have shape \(40, 8\)"),
            ({"x": np.zeros((N, 8, 8), np.uint8)}, "holds x; call the array of images 'images'"),
            (
                {"images": np.zeros((N, 8, 8), np.uint8), "labels": np.zeros(3, int)},
                r"labels of .* are int64 of shape \(3,\)",
            ),
            ({"images": np.zeros((3, 8, 8), np.uint8)}, "holds 3 readable images"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, tmp_path: Path, arrays, message: str) -> None:
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(InputError, match=message):
            load_images(str(tmp_path / "a.npz"))

    def test_pickles_and_damaged_files_are_refused(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
        (tmp_path / "b.npy").write_bytes(pickle.dumps([1]))
        (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 and no more")
        for name in ("a.npy", "b.npy", "c.npz"):
            with pytest.raises(InputError, match="cannot be read"):
                load_images(str(tmp_path / name))
        np.savez(tmp_path / "d.npz", images=np.array([{}], dtype=object))
        with pytest.raises(InputError, match="cannot be read"):
            load_images(str(tmp_path / "d.npz"))

    def test_arrays_have_a_size_of_their_own(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.zeros((N, 8, 8), np.uint8))
        with pytest.raises(InputError, match="has a size of its own"):
            load_images(str(tmp_path / "a.npy"), size=32)


class TestPublished:
    """torchvision's own readers, on files in the formats that they download."""

    @pytest.fixture
    def datasets(self):
        return pytest.importorskip("torchvision").datasets

    @staticmethod
    def both_parts(images: ImageSet, train: int, test: int, shape: tuple[int, ...]) -> None:
        assert images.images.shape == (train + test, *shape)
        assert images.test.tolist() == [False] * train + [True] * test
        parts = split(images)
        assert parts.test.tolist() == list(range(train, train + test))
        assert len(parts.train) + len(parts.validation) == train

    @pytest.mark.parametrize(("name", "key"), [("cifar10", "labels"), ("cifar100", "fine_labels")])
    def test_cifar(self, datasets, tmp_path: Path, monkeypatch, name: str, key: str) -> None:
        kind = getattr(datasets, name.upper())
        folder = tmp_path / kind.base_folder
        folder.mkdir()

        def write(file: str, content: object) -> str:
            (folder / file).write_bytes(pickle.dumps(content))
            return hashlib.md5((folder / file).read_bytes()).hexdigest()

        def batch(rows: int) -> dict[str, object]:
            data = RANDOM.integers(0, 256, (rows, 3072), np.uint8)
            return {"data": data, key: [i % 2 for i in range(rows)]}

        lists = [
            [[file, write(file, batch(20))] for file, _ in files]
            for files in (kind.train_list, kind.test_list)
        ]
        meta = {**kind.meta}
        meta["md5"] = write(meta["filename"], {meta["key"]: ["cat", "dog"]})
        monkeypatch.setattr(kind, "train_list", lists[0])
        monkeypatch.setattr(kind, "test_list", lists[1])
        monkeypatch.setattr(kind, "meta", meta)
        images = load_images(name, root=tmp_path)
        assert images.classes == ("cat", "dog")
        self.both_parts(images, 20 * len(lists[0]), 20, (3, 32, 32))

    def test_a_cifar_that_is_not_its_authors_is_not_read(
        self, datasets, tmp_path: Path, monkeypatch
    ) -> None:
        folder = tmp_path / datasets.CIFAR10.base_folder
        folder.mkdir()
        for file, _ in datasets.CIFAR10.train_list + datasets.CIFAR10.test_list:
            (folder / file).write_bytes(pickle.dumps({"data": 0}))
        monkeypatch.setattr(datasets.cifar, "download_and_extract_archive", unreachable)
        with pytest.raises(InputError, match=r"cifar10 is not in .*cannot be downloaded \(no net"):
            load_images("cifar10", root=tmp_path)

    @pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist"])
    def test_idx_files(self, datasets, tmp_path: Path, name: str) -> None:
        kind = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}[name]
        folder = tmp_path / kind / "raw"
        folder.mkdir(parents=True)
        for part, n in (("train", 50), ("t10k", 10)):
            head = b"".join(x.to_bytes(4, "big") for x in (0x803, n, 28, 28))
            (folder / f"{part}-images-idx3-ubyte").write_bytes(head + bytes(n * 784))
            head = b"".join(x.to_bytes(4, "big") for x in (0x801, n))
            labels = bytes(i % 10 for i in range(n))
            (folder / f"{part}-labels-idx1-ubyte").write_bytes(head + labels)
        images = load_images(name, root=tmp_path)
        assert len(images.classes) == 10
        self.both_parts(images, 50, 10, (1, 28, 28))

    def test_svhn(self, datasets, tmp_path: Path, monkeypatch) -> None:
        lists = {}
        for part, n in (("train", 50), ("test", 10)):
            path = tmp_path / f"{part}_32x32.mat"
            labels = np.arange(n, dtype=np.uint8)[:, None] % 10 + 1
            pixels = RANDOM.integers(0, 256, (32, 32, 3, n), np.uint8)
            scipy.io.savemat(path, {"X": pixels, "y": labels})
            lists[part] = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
        monkeypatch.setattr(datasets.SVHN, "split_list", lists)
        images = load_images("svhn", root=tmp_path)
        assert images.classes == tuple("0123456789")
        assert images.labels[9] == 0  # which they call 10
        self.both_parts(images, 50, 10, (3, 32, 32))

    def test_stl10(self, datasets, tmp_path: Path, monkeypatch) -> None:
        kind = datasets.STL10
        folder = tmp_path / kind.base_folder
        folder.mkdir()
        (folder / kind.class_names_file).write_text("\n".join("abcdefghij"))
        rows = {"train": 50, "test": 10, "unlabeled": 40}
        for files in ("train_list", "test_list"):
            written = []
            for file, _ in getattr(kind, files):
                n = rows[file.split("_")[0]]
                one = bytes(i % 10 + 1 for i in range(n)) if "_y" in file else bytes(n * 27648)
                (folder / file).write_bytes(one)
                written.append([file, hashlib.md5(one).hexdigest()])
            monkeypatch.setattr(kind, files, written)
        images = load_images("stl10", root=tmp_path)
        assert images.classes == tuple("abcdefghij")
        self.both_parts(images, 50, 10, (3, 96, 96))
        unlabelled = load_images("stl10-unlabeled", root=tmp_path)
        assert (len(unlabelled), unlabelled.labels, unlabelled.test) == (40, None, None)

    def test_usps(self, datasets, tmp_path: Path, monkeypatch) -> None:
        lists = {}
        for part, n in (("train", 40), ("test", 10)):
            pixels = " ".join(f"{i + 1}:{-1 + i / 128:.4f}" for i in range(256))
            path = tmp_path / f"usps.{part}.bz2"
            text = "\n".join(f"{k % 10 + 1} {pixels}" for k in range(n))
            path.write_bytes(bz2.compress(text.encode()))
            lists[part] = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
        monkeypatch.setattr(datasets.USPS, "split_list", lists)
        images = load_images("usps", root=tmp_path)
        assert images.classes == tuple("0123456789")
        self.both_parts(images, 40, 10, (1, 16, 16))

    def test_without_torchvision_the_remedy_is_said(self, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, "torchvision", None)
        with pytest.raises(InputError, match=r"pip install 'temperance\[vision\]'"):
            load_images("cifar10")


def unreachable(*_: object, **__: object) -> None:
    raise OSError("no net\nhere")


class TestHub:
    @pytest.fixture(autouse=True)
    def _datasets(self) -> None:
        pytest.importorskip("datasets").disable_progress_bars()

    @staticmethod
    def write(folder: Path, part: str, n: int, **features: object) -> None:
        import datasets
        import pyarrow as arrow
        from pyarrow import parquet

        folder.mkdir(exist_ok=True)
        columns = {
            "image": [{"bytes": picture(), "path": None} for _ in range(n)],
            "label": [i % 2 for i in range(n)],
        }
        kinds = datasets.Features({"image": datasets.Image(), **features})
        table = arrow.table({k: columns[k] for k in kinds}, schema=kinds.arrow_schema)
        parquet.write_table(table, folder / f"{part}-00000.parquet")

    def test_parts_labels_and_names(self, tmp_path: Path) -> None:
        import datasets

        label = datasets.ClassLabel(names=["cat", "dog"])
        self.write(tmp_path / "pets", "train", N, label=label)
        self.write(tmp_path / "pets", "test", 10, label=label)
        images = load_images(f"hf:{tmp_path}/pets", root=tmp_path / "cache")
        assert images.images.shape == (N + 10, 3, 20, 20)
        assert images.classes == ("cat", "dog")
        assert images.test.tolist() == [False] * N + [True] * 10

    def test_none_need_labels(self, tmp_path: Path) -> None:
        self.write(tmp_path / "bare", "train", N)
        images = load_images(f"hf:{tmp_path}/bare", size=16, root=tmp_path / "cache")
        assert images.images.shape == (N, 3, 16, 16)
        assert images.labels is None

    def test_what_is_not_there_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="cannot be loaded"):
            load_images(f"hf:{tmp_path}/empty", root=tmp_path / "cache")
