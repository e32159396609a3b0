"""Files written whole or not at all, and read with one clear line when they are not what they should be."""

import errno
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from temperance.errors import InputError

PARTIAL = ".partial"


def make_folder(folder: Path) -> Path:
    """Make a folder and its parents, and make sure that it can be written to.

    Args:
        folder: where a command is to leave its files.

    Raises:
        InputError: if it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def write_atomic(path: Path, content: bytes | str | Callable[[Path], None]) -> None:
    """Write a file so that it is never seen half-written.

    Args:
        path: the file; its folder exists.
        content: bytes, text (UTF-8), or a function that writes to the path that it is given.

    Raises:
        InputError: if the disk is full or the folder cannot be written to; the old file is kept.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        if callable(content):
            content(temporary)
        else:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Remove what processes that were killed while writing have left in a folder that is now this one's."""
    for file in folder.glob(f".*{PARTIAL}"):
        writer = Path(file.stem).suffix[1:]
        if writer.isdigit() and file.is_file() and not _runs(int(writer)):
            with suppress(OSError):  # another was as quick, or may, and it is in nobody's way
                file.unlink()


def _runs(process: int) -> bool:
    """Whether there is such a process beside this one."""
    if process == os.getpid():
        return False
    if os.name != "posix":
        return True  # elsewhere asking might end it
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, with ``null`` refused for nan and infinity rather than invented for them."""
    write_atomic(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: if it is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); restore it or remove it") from error


def _unwritable(path: Path, error: OSError) -> InputError:
    remedy = "free some space or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return InputError(
        f"cannot write {path}: {error.strerror or error}; {remedy}name another folder with --out"
    )
