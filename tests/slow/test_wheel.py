"""The released wheel, used away from the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_all_it_needs(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 3e6
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import temperance\n"
        "assert temperance.__file__.startswith(sys.argv[1]), temperance.__file__\n"
        "from temperance.cli import main\n"
        "from temperance.data import load_images\n"
        "assert len(load_images('glyphs')) > 4000\n"
        "main(['explain', '--out', sys.argv[2]])\n"
    )
    out = tmp_path / "explained"
    subprocess.run(
        [sys.executable, "-c", code, str(site), str(out)],
        check=True,
        cwd=tmp_path,
        capture_output=True,
    )
    assert (out / "explain.html").exists()
