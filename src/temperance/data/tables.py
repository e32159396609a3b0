"""Parquet tables with encoded images in a column."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from temperance.data.images import ImageSet
from temperance.data.pictures import Picture, files_of, gathered_pictures, one_line, plain
from temperance.errors import InputError

ENDING = ".parquet"
LABELS = ("label", "labels", "class", "cls")
ROWS = 256


def read_tables(path: Path, size: int | None = None) -> ImageSet:
    """Read a table, or all ``*.parquet`` of a folder.

    The images are the first column of bytes, or of structures with ``bytes`` in them, as Hugging Face writes
    them; the labels, text or whole numbers, are the column ``label``, ``labels``, ``class`` or ``cls``.

    Args:
        path: a Parquet file, or a folder of them.
        size: side of the squares, in pixels; see ``pictures.gathered_pictures``.

    Raises:
        InputError: if pyarrow is missing, a table is damaged or has no such column, or no image can be read.
    """
    tables = files_of(path, ENDING)
    pictures = (picture for table in tables for picture in _pictures(table))
    return gathered_pictures(plain(path), pictures, size)


def _pictures(path: Path) -> Iterator[Picture]:
    try:
        import pyarrow as arrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InputError(
            f"{plain(path)} is read by pyarrow; install it with: pip install 'temperance[parquet]'"
        ) from error
    try:
        with ParquetFile(path) as table:
            schema = table.schema_arrow
            image = next((field.name for field in schema if _holds_bytes(field.type)), None)
            if image is None:
                raise InputError(
                    f"{plain(path)} has no column of image bytes, only {', '.join(schema.names)}; write one"
                )
            label = next((name for name in LABELS if name in schema.names), None)
            columns = [image] if label is None else [image, label]
            number = 0
            for batch in table.iter_batches(ROWS, columns=columns):
                for row in batch.to_pylist():
                    content = row[image]["bytes"] if isinstance(row[image], dict) else row[image]
                    told = None if label is None else row[label]
                    known = told if isinstance(told, int | str) else None
                    yield Picture(f"row {number} of {plain(path)}", content or b"", known)
                    number += 1
    except (arrow.ArrowException, OSError) as error:
        raise InputError(
            f"{plain(path)} is damaged ({one_line(error)}); fetch it again, or leave it out"
        ) from error


def _holds_bytes(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))
