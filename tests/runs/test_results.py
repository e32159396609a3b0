"""The schema of results.json."""

import json
from importlib import resources
from pathlib import Path

import pytest

from temperance import InputError
from temperance.runs.results import json_schema, read_results


def test_the_committed_schema_is_that_of_the_code() -> None:
    text = (resources.files("temperance.runs") / "results.schema.json").read_text(encoding="utf-8")
    assert json.loads(text) == json_schema()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 2}', "has schema 2, this version reads 1"),
        ("[]", "has schema None"),
        ('{"schema": 1}', "damaged"),
    ],
)
def test_results_of_another_kind_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_results(tmp_path)
