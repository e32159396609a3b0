"""Files are written whole, and read with one clear line when they are wrong."""

import errno
import subprocess
from pathlib import Path

import pytest
from pydantic import BaseModel

from temperance import InputError
from temperance.runs import make_folder, read_json, write_atomic, write_json
from temperance.runs.config import claim_folder, read_config


class Settings(BaseModel):
    data: str
    epochs: int = 3


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "results.json"
    write_json(path, {"a": 1})

    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        InputError, match="No space left on device; free some space or name another"
    ):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"cannot write .*file/run"):
        make_folder(tmp_path / "file" / "run")


def test_json_that_is_none_is_named(tmp_path: Path) -> None:
    write_atomic(tmp_path / "x.json", "{broken")
    with pytest.raises(InputError, match="is not JSON"):
        read_json(tmp_path / "x.json")
    with pytest.raises(InputError, match="cannot read"):
        read_json(tmp_path / "y.json")


def test_a_folder_belongs_to_one_configuration(tmp_path: Path) -> None:
    claim_folder(tmp_path, Settings(data="glyphs"))
    claim_folder(tmp_path, Settings(data="glyphs"))
    assert read_config(tmp_path / "config.yaml", Settings) == Settings(data="glyphs")
    with pytest.raises(InputError, match="run with epochs = 3, not 4; name another folder"):
        claim_folder(tmp_path, Settings(data="glyphs", epochs=4))


@pytest.mark.parametrize("begun", [False, True])
def test_a_run_clears_what_it_was_killed_while_writing(tmp_path: Path, begun: bool) -> None:
    if begun:
        claim_folder(tmp_path, Settings(data="glyphs"))
    (tmp_path / ".metrics.csv.4194999.partial").write_text("half of a ta")
    claim_folder(tmp_path, Settings(data="glyphs"))
    assert [p.name for p in tmp_path.iterdir()] == ["config.yaml"]


def test_what_others_are_still_writing_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        left = {f".metrics.csv.{process.pid}.partial", ".download.partial"}
        for name in left:
            (tmp_path / name).touch()
        (tmp_path / ".scenes-1.4194999.partial").mkdir()
        claim_folder(tmp_path, Settings(data="glyphs"))
        process.kill()
    assert {p.name for p in tmp_path.iterdir()} == {
        "config.yaml",
        ".scenes-1.4194999.partial",
        *left,
    }


def test_what_is_half_written_in_another_run_is_left_alone(tmp_path: Path) -> None:
    claim_folder(tmp_path, Settings(data="glyphs"))
    half = tmp_path / ".metrics.csv.4194999.partial"
    half.write_text("half of a ta")
    with pytest.raises(InputError, match="name another folder"):
        claim_folder(tmp_path, Settings(data="digits"))
    assert half.exists()


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match=r"holds files but no config\.yaml"):
        claim_folder(tmp_path, Settings(data="glyphs"))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: [", "is not YAML"),
        ("data: glyphs\nepochs: many", "epochs: "),
        ("- a list", "valid dictionary"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_a_configuration_that_is_none_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_config(tmp_path / "config.yaml", Settings)
