"""Shards of WebDataset: tar files in which what belongs together bears one name and follows one another.

They are plain tar files, read here by Python's own reader, which runs nothing: entries of other kinds, such
as pickles, are passed over.
"""

import json
import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from temperance.data.folder import ENDINGS
from temperance.data.images import ImageSet
from temperance.data.pictures import Label, Picture, files_of, gathered_pictures, one_line, plain
from temperance.errors import InputError

ENDING = ".tar"


def read_shards(path: Path, size: int | None = None) -> ImageSet:
    """Read a shard, or all ``*.tar`` of a folder.

    Of each sample its image is taken, and as its label what is in its ``.cls``, or under ``label`` in its
    ``.json``.

    Args:
        path: a tar file, or a folder of them.
        size: side of the squares, in pixels; see ``pictures.gathered_pictures``.

    Raises:
        InputError: if a shard is damaged, or holds no images that can be read.
    """
    shards = files_of(path, ENDING)
    pictures = (picture for shard in shards for picture in _pictures(shard))
    return gathered_pictures(plain(path), pictures, size)


def _pictures(shard: Path) -> Iterator[Picture]:
    try:
        with tarfile.open(shard, "r:") as tar:
            files = (member for member in tar if member.isfile())
            for key, members in groupby(files, lambda member: _split(member.name)[0]):
                yield from _sample(shard, tar, key, list(members))
            # The reader takes whatever it cannot make out for the end, which is a block of zeros.
            assert tar.fileobj is not None
            tar.fileobj.seek(tar.offset)
            if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError(f"it breaks off after {len(tar.getmembers())} entries")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(
            f"{plain(shard)} is damaged ({one_line(error)}); fetch it again, or leave it out"
        ) from error


def _sample(
    shard: Path, tar: tarfile.TarFile, key: str, members: list[tarfile.TarInfo]
) -> Iterator[Picture]:
    content: dict[str, bytes] = {}
    for member in members:
        ending = _split(member.name)[1]
        if ending in ENDINGS or ending in (".cls", ".json"):
            opened = tar.extractfile(member)
            assert opened is not None
            content[ending] = opened.read()
    name = plain(f"{shard}/{key}")
    image = next((content[ending] for ending in content if ending in ENDINGS), None)
    if image is not None:
        yield Picture(name, image, _label(name, content))


def _label(name: str, content: dict[str, bytes]) -> Label:
    try:
        if ".cls" in content:
            text = content[".cls"].decode().strip()
            return int(text) if text.isdecimal() else text
        about = json.loads(content.get(".json", b"{}"))
        label = about.get("label") if isinstance(about, dict) else None
        return label if isinstance(label, int | str) else None
    except ValueError as error:
        raise InputError(
            f"the label of {name} cannot be read ({one_line(error)}); give .cls as text, .json as JSON"
        ) from error


def _split(name: str) -> tuple[str, str]:
    """The name that a sample's entries share, and what tells them apart: ``a/b.png`` is a/b and .png."""
    folder, slash, last = name.rpartition("/")
    stem, dot, ending = last.partition(".")
    return f"{folder}{slash}{stem}", f"{dot}{ending}".lower()
