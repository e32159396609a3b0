"""Embeddings and labels from files; what can be mapped into memory is, and nothing is ever unpickled."""

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from temperance.diagnosis.inputs import vectors_of
from temperance.diagnosis.rows import Vectors
from temperance.errors import InputError

HUB = "hf:"
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt", ".bin")
ARROW = (".arrow", ".feather", ".ipc")
PARQUET = (".parquet", ".pq")
TABLES = (".csv", ".tsv")
KNOWN = ".npy, .npz, .safetensors, .parquet, .arrow, .csv or hf:NAME"
GIGABYTE = 1e9


@dataclass(frozen=True)
class Where:
    """Where vectors are to be read from.

    Attributes:
        file: a path, or ``hf:NAME`` for a data set that the library datasets can load.
        column: which of several arrays or columns; None where there is one.
        labels: the column of the classes, or None.
        memory: how many bytes may be taken by what cannot be mapped.
    """

    file: str
    column: str | None = None
    labels: str | None = None
    memory: float = 2 * GIGABYTE


@dataclass(frozen=True, eq=False)
class Found:
    """What a file holds: ``(n, d)`` vectors and, where asked for, n labels."""

    vectors: Vectors
    labels: npt.NDArray[Any] | None = None


def read_vectors(where: Where) -> Found:
    """Read embeddings, in place where the format allows it.

    ``.npy`` and ``.safetensors`` are mapped; ``.npz``, Parquet, Arrow and CSV are read whole.

    Raises:
        InputError: if the file is missing, of another kind, damaged, a pickle, or larger than the memory
            allowed; or if it holds several arrays and none is named.

    Example:
        >>> read_vectors(Where("model.pt"))
        Traceback (most recent call last):
        ...
        temperance.errors.InputError: model.pt is a pickle, which can run code and is never opened; save ...
    """
    if where.file.startswith(HUB):
        return _from_columns(where, _of_hub(where))
    path = Path(where.file)
    kind = path.suffix.lower()
    if kind in PICKLES:
        raise _pickle(path)
    if not path.is_file():
        raise InputError(f"there is no file {path}; give embeddings as {KNOWN}")
    if kind == ".npy":
        for name in (where.column, where.labels):
            if name is not None:
                raise InputError(f"{path} is one array and has no column {name!r}; give a file")
        return Found(_array(path, "r"))
    if kind == ".npz":
        return _from_archive(where, path)
    if kind == ".safetensors":
        return _from_safetensors(where, path)
    if kind in (*PARQUET, *ARROW):
        return _from_columns(where, _of_file(path, kind))
    if kind in TABLES:
        return _from_text(where, path)
    raise InputError(f"{path} is of no known kind; give {KNOWN}")


def read_embeddings(
    file: str, column: str | None = None, labels: str | None = None, memory: float = 2 * GIGABYTE
) -> Found:
    """Read embeddings, and classes from a file of their own or from a column beside them.

    Args:
        file: as ``Where``.
        column: as ``Where``.
        labels: a file (``.npy``, or one label a line), else a column of the embeddings' file.
        memory: as ``Where``.

    Raises:
        InputError: as ``read_vectors`` and ``read_labels``.
    """
    path = None if labels is None else Path(labels)
    if path is None or not path.is_file():
        return read_vectors(Where(file, column, labels, memory))
    return Found(read_vectors(Where(file, column, None, memory)).vectors, read_labels(path))


def read_labels(path: Path) -> npt.NDArray[Any]:
    """One label a row: a ``.npy``, or a text file with a label on each line.

    Raises:
        InputError: if it is missing, or no list of labels.
    """
    return _array(path, None) if path.suffix.lower() == ".npy" else np.array(read_lines(path))


def read_lines(path: Path) -> list[str]:
    """The lines of a text file.

    Raises:
        InputError: if it cannot be read as UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text; save it as such, one entry a line") from error


def _pickle(path: Path) -> InputError:
    return InputError(
        f"{path} is a pickle, which can run code and is never opened; save the array itself with "
        "numpy.save or "
        "as safetensors"
    )


def _array(path: Path, mode: Any) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        if "pickle" in str(error) or "Python objects" in str(error):
            raise _pickle(path) from error
        raise _damaged(path, error) from error
    return array


def _damaged(path: Path | str, error: Exception) -> InputError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"{path} is damaged or cut short ({reason}); write it again")


def _from_archive(where: Where, path: Path) -> Found:
    try:
        # A file that numpy opens itself stays open if it is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            sizes = {
                info.filename.removesuffix(".npy"): info.file_size
                for info in archive.zip.infolist()
            }
            name = _chosen(path, where.column, [n for n in sizes if n != where.labels])
            _afford(path, sizes[name], where.memory)
            labels = None
            if where.labels is not None:
                _present(path, where.labels, sizes)
                labels = archive[where.labels]
            return Found(archive[name], labels)
    except InputError:
        raise
    except Exception as error:  # a damaged archive fails in many ways
        if "pickle" in str(error):
            raise _pickle(path) from error
        raise _damaged(path, error) from error


def _from_safetensors(where: Where, path: Path) -> Found:
    try:
        with safe_open(path, framework="pt") as tensors:
            names = list(tensors.keys())
            name = _chosen(path, where.column, [n for n in names if n != where.labels])
            piece = tensors.get_slice(name)
            if piece.get_dtype() == "BF16":  # which numpy does not know: it is widened in memory
                _afford(path, 4 * math.prod(piece.get_shape()), where.memory)
            labels = None
            if where.labels is not None:
                _present(path, where.labels, names)
                labels = tensors.get_tensor(where.labels).numpy()
            return Found(vectors_of(str(path), tensors.get_tensor(name)), labels)
    except SafetensorError as error:
        raise _damaged(path, error) from error


@dataclass(frozen=True, eq=False)
class _Columns:
    """Columns of Arrow: their types, how many rows, and their pieces by name."""

    name: str
    types: dict[str, Any]
    rows: int
    pieces: Any


def _of_file(path: Path, kind: str) -> _Columns:
    pa = _arrow()
    try:
        if kind in PARQUET:
            import pyarrow.parquet as pq

            table = pq.ParquetFile(path)
            schema, rows = table.schema_arrow, table.metadata.num_rows

            def pieces(name: str) -> Iterator[Any]:
                for batch in table.iter_batches(columns=[name]):
                    yield batch.column(0)

            return _Columns(str(path), {f.name: f.type for f in schema}, rows, pieces)
        source = pa.memory_map(str(path))
        try:
            whole = pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            whole = pa.ipc.open_stream(source).read_all()
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error
    return _of_table(str(path), whole)


def _of_table(name: str, table: Any) -> _Columns:
    types = {field.name: field.type for field in table.schema}
    return _Columns(name, types, table.num_rows, lambda column: table.column(column).chunks)


def _of_hub(where: Where) -> _Columns:
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            f"{where.file} needs the library datasets; pip install datasets"
        ) from error
    name, _, split = where.file.removeprefix(HUB).partition(":")
    try:
        loaded = datasets.load_dataset(name, split=split or None)
    except Exception as error:  # the network, the name, the format: it raises what it likes
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{where.file} cannot be loaded ({reason}); give hf:NAME or hf:NAME:SPLIT"
        ) from error
    if isinstance(loaded, dict):
        if len(loaded) > 1:
            raise InputError(
                f"{where.file} has splits {', '.join(loaded)}; name one: hf:{name}:SPLIT"
            )
        (loaded,) = loaded.values()
    return _of_table(where.file, loaded.with_format("arrow")[:])


def _arrow() -> Any:
    try:
        import pyarrow as pa
        import pyarrow.ipc
    except ImportError as error:
        raise InputError(
            "Parquet and Arrow need pyarrow; pip install 'temperance[parquet]', or save the embeddings as "
            ".npy"
        ) from error
    return pa


def _from_columns(where: Where, columns: _Columns) -> Found:
    pa = _arrow()
    lists = [n for n, kind in columns.types.items() if _is_vector(pa, kind)]
    name = _chosen(columns.name, where.column, lists)
    try:
        vectors = _stacked(columns, name, where.memory)
        labels = None
        if where.labels is not None:
            _present(columns.name, where.labels, columns.types)
            parts = [p.to_numpy(zero_copy_only=False) for p in columns.pieces(where.labels)]
            labels = np.concatenate(parts)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(columns.name, error) from error
    return Found(vectors, labels)


def _is_vector(pa: Any, kind: Any) -> bool:
    of = pa.types
    lists = of.is_list(kind) or of.is_large_list(kind) or of.is_fixed_size_list(kind)
    return bool(lists and of.is_floating(kind.value_type))


def _stacked(columns: _Columns, name: str, memory: float) -> Vectors:
    """The lists of a column below one another."""
    whole, row = None, 0
    for piece in columns.pieces(name):
        if len(piece) == 0:
            continue
        values = piece.flatten().to_numpy(zero_copy_only=False)
        width, rest = divmod(len(values), len(piece))
        lengths = piece.value_lengths() if hasattr(piece, "value_lengths") else None
        same = lengths is None or set(lengths.unique().to_pylist()) == {width}
        if piece.null_count or rest or not same or (whole is not None and width != whole.shape[1]):
            raise InputError(
                f"column {name} of {columns.name} has rows that are missing or of another length; leave "
                "them out"
            )
        if whole is None:
            _afford(columns.name, columns.rows * width * values.itemsize, memory)
            whole = np.empty((columns.rows, width), values.dtype)
        whole[row : row + len(piece)] = values.reshape(len(piece), width)
        row += len(piece)
    if whole is None:
        raise InputError(f"{columns.name} has no rows; give some")
    return whole


def _from_text(where: Where, path: Path) -> Found:
    if where.column is not None:
        raise InputError(
            f"{path} is one table of numbers; --column is for files with several arrays"
        )
    # A number of 4 bytes takes about as many characters or more.
    _afford(path, path.stat().st_size, where.memory)
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        try:
            return _table(where, path, [line for line in lines if line])
        except (UnicodeDecodeError, csv.Error) as error:
            raise _damaged(path, error) from error


def _table(where: Where, path: Path, lines: list[list[str]]) -> Found:
    if not lines:
        raise InputError(f"{path} is empty; give one vector a line")
    head = lines[0] if not all(map(_is_number, lines[0])) else None
    body = lines[1:] if head else lines
    aside = None
    if where.labels is not None:
        names = head or [str(i) for i in range(len(lines[0]))]
        _present(path, where.labels, names)
        aside = names.index(where.labels)
    vectors, labels = [], []
    for i, line in enumerate(body, start=2 if head else 1):
        if len(line) != len(lines[0]):
            raise InputError(
                f"line {i} of {path} has {len(line)} fields, the first {len(lines[0])}; mend it"
            )
        numbers = [field for j, field in enumerate(line) if j != aside]
        try:
            vectors.append(np.array(numbers, dtype=np.float32))
        except ValueError as error:
            raise InputError(
                f"line {i} of {path} holds what is no number; name the column of classes with --labels"
            ) from error
        if aside is not None:
            labels.append(line[aside])
    found = np.stack(vectors) if vectors else np.empty((0, 0), np.float32)
    return Found(found, np.array(labels) if aside is not None else None)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _chosen(path: Path | str, column: str | None, names: Iterable[str]) -> str:
    """The array asked for, or the only one."""
    known = list(names)
    if column is not None:
        return _present(path, column, known)
    if len(known) != 1:
        listed = ", ".join(known) or "none"
        raise InputError(
            f"{path} holds {len(known)} arrays of vectors ({listed}); name one with --column"
        )
    return known[0]


def _present(path: Path | str, column: str, names: Iterable[str]) -> str:
    if column not in names:
        raise InputError(f"{path} has no column {column!r}; there are {', '.join(names) or 'none'}")
    return column


def _afford(path: Path | str, needed: int, memory: float) -> None:
    if needed > memory:
        raise InputError(
            f"{path} takes {needed / GIGABYTE:.2g} GB of memory, more than --memory "
            f"{memory / GIGABYTE:g}; save it "
            "as .npy, which is read in place, or allow more"
        )
