"""What the package promises as a whole."""

import subprocess
import sys

HEAVY = (
    "lightning",
    "timm",
    "plotly",
    "sklearn",
    "typer",
    "pydantic",
    "rich",
    "PIL",
    "triton",
)


def test_import_is_light() -> None:
    code = (
        "import sys, torch; before = set(sys.modules); import temperance; "
        f"print([m for m in {HEAVY!r} if m in sys.modules and m not in before])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert found.strip() == "[]"
