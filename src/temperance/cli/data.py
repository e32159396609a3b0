"""``temperance data``."""

import json
from pathlib import Path

from rich.table import Table

from temperance.cli.given import DEFAULT_DATA, console, default_folder, noted_images
from temperance.data import SOURCES
from temperance.errors import InputError
from temperance.report.views import PAGE, SHEET, write_views


def run_list(as_json: bool) -> None:
    """Print what can be trained on."""
    if as_json:
        print(json.dumps({name: source.description for name, source in SOURCES.items()}, indent=1))
        return
    table = Table("name", "what it holds")
    for name, source in SOURCES.items():
        table.add_row(name, source.description)
    console().print(table)


def run_show(
    data: str | None,
    recipe: str,
    count: int,
    seed: int,
    size: int | None,
    root: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Say what a set holds, and write a sheet of its images beside their views."""
    if count < 1:
        raise InputError(f"--count {count} is not positive; give at least 1")
    if seed < 0:
        raise InputError(f"--seed {seed} is negative; give 0 or more")
    name = data or DEFAULT_DATA
    images = noted_images(name, size, root)
    folder = out or default_folder("show", name)
    write_views(folder, images, recipe, count, seed)
    about = {
        "data": images.name,
        "images": len(images),
        "channels": images.channels,
        "size": images.size,
        "classes": list(images.classes),
        "kept_for_testing": 0 if images.test is None else int(images.test.sum()),
        "sheet": str(folder / SHEET),
        "page": str(folder / PAGE),
    }
    if as_json:
        print(json.dumps(about, indent=1, ensure_ascii=False))
        return
    kinds = f"of {len(images.classes)} classes" if images.classes else "without labels"
    colour = "grey" if images.channels == 1 else "colour"
    output = console()
    output.print(
        f"{images.name}: {len(images):,} {colour} images {kinds}, {images.size} × {images.size}"
    )
    output.print(f"Images beside their views: {folder / SHEET} and {folder / PAGE}", soft_wrap=True)
