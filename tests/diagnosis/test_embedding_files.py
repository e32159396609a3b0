"""Embeddings from every kind of file, and what is said of files that are not what they should be."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from temperance import InputError
from temperance.diagnosis.files import Where, read_labels, read_vectors

X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
Y = X[::-1].copy()
LABELS = np.array(["a", "b", "c"] * 10)


def written(folder: Path, kind: str) -> Path:
    path = folder / f"x{kind}"
    if kind == ".npy":
        np.save(path, X)
    elif kind == ".npz":
        np.savez(path, x=X, y=Y, kinds=LABELS)
    elif kind == ".safetensors":
        save_file({"x": torch.from_numpy(X), "y": torch.from_numpy(Y).bfloat16()}, path)
    elif kind in (".parquet", ".arrow"):
        pa = pytest.importorskip("pyarrow")
        lists = pa.array(X.tolist(), type=pa.list_(pa.float32()))
        fixed = pa.FixedSizeListArray.from_arrays(pa.array(Y.ravel()), 4)
        table = pa.table({"x": lists, "y": fixed, "kinds": LABELS})
        if kind == ".parquet":
            import pyarrow.parquet as pq

            pq.write_table(table, path, row_group_size=7)
        else:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
                out.write_table(table, max_chunksize=11)
    else:
        rows = [",".join(["d0", "kinds", "d1", "d2", "d3"])]
        rows += [
            f"{r[0]!r},{k},{r[1]!r},{r[2]!r},{r[3]!r}"
            for r, k in zip(X.tolist(), LABELS, strict=True)
        ]
        path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("kind", [".npy", ".npz", ".safetensors", ".parquet", ".arrow", ".csv"])
def test_every_kind_of_file_gives_the_same_vectors(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    column = None if kind in (".npy", ".csv") else "x"
    labels = "kinds" if kind in (".npz", ".parquet", ".arrow", ".csv") else None
    found = read_vectors(Where(str(path), column, labels))
    np.testing.assert_allclose(found.vectors, X, rtol=1e-6)
    if labels:
        assert found.labels is not None
        assert list(found.labels) == list(LABELS)
    if column:
        other = read_vectors(Where(str(path), "y")).vectors
        np.testing.assert_allclose(other, Y, rtol=1e-2)
        with pytest.raises(InputError, match="name one with --column"):
            read_vectors(Where(str(path)))
        with pytest.raises(InputError, match="has no column 'z'"):
            read_vectors(Where(str(path), "z"))


def test_an_array_is_read_where_it_lies(tmp_path: Path) -> None:
    assert isinstance(read_vectors(Where(str(written(tmp_path, ".npy")))).vectors, np.memmap)


def test_a_file_that_cannot_be_mapped_has_to_fit_the_memory(tmp_path: Path) -> None:
    for kind in (".npz", ".parquet", ".csv"):
        column = None if kind == ".csv" else "x"
        with pytest.raises(InputError, match="more than --memory"):
            read_vectors(Where(str(written(tmp_path, kind)), column, memory=100.0))


class Bomb:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("exploded"),))


def test_pickles_are_refused_whatever_they_are_called(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    objects = np.array([Bomb()], dtype=object)
    np.save("objects.npy", objects, allow_pickle=True)
    np.savez("objects.npz", x=objects)
    for name in ("plain.npy", "x.pkl", "x.pt"):
        Path(name).write_bytes(pickle.dumps(Bomb()))
    for name in ("objects.npy", "objects.npz", "plain.npy", "x.pkl", "x.pt"):
        with pytest.raises(InputError, match="is a pickle, which can run code and is never opened"):
            read_vectors(Where(name))
    with pytest.raises(InputError, match="is a pickle"):
        read_labels(Path("objects.npy"))
    assert not Path("exploded").exists()


@pytest.mark.parametrize("kind", [".npy", ".npz", ".safetensors", ".parquet", ".arrow"])
def test_a_file_that_was_cut_short_is_said_to_be(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(InputError, match="is damaged or cut short") as caught:
        read_vectors(Where(str(path), None if kind == ".npy" else "x"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("1,2\n3\n", "line 2 of .* has 1 fields, the first 2"),
        ("1,2\n3,cat\n", "line 2 of .* holds what is no number"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_vectors(Where(str(path)))


def test_rows_of_different_lengths_are_refused(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    for rows in ([[1.0, 2.0], [1.0]], [[1.0, 2.0], None], [[1.0, 2.0, 3.0], [1.0]]):
        path = tmp_path / "x.parquet"
        pq.write_table(pa.table({"x": pa.array(rows, type=pa.list_(pa.float32()))}), path)
        with pytest.raises(InputError, match="missing or of another length"):
            read_vectors(Where(str(path)))


def test_labels_are_lines_or_an_array(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\n")
    np.save(tmp_path / "labels.npy", np.array([3, 4]))
    assert list(read_labels(tmp_path / "labels.txt")) == ["a", "b"]
    assert list(read_labels(tmp_path / "labels.npy")) == [3, 4]


def test_what_there_is_not(tmp_path: Path) -> None:
    for name, message in (
        ("none.npy", "there is no file"),
        ("hf:none", "needs the library datasets|cannot be loaded"),
    ):
        with pytest.raises(InputError, match=message):
            read_vectors(Where(name))
    (tmp_path / "x.txt").write_text("1 2")
    with pytest.raises(InputError, match="of no known kind"):
        read_vectors(Where(str(tmp_path / "x.txt")))
