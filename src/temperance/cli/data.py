"""``temperance data``."""

import json

from rich.console import Console
from rich.table import Table

from temperance.data import BUILT_IN


def run_list(as_json: bool) -> None:
    """Print the built-in sets and what else can be given."""
    if as_json:
        print(json.dumps({name: entry.description for name, entry in BUILT_IN.items()}, indent=1))
        return
    table = Table("name", "what it holds")
    for name, entry in BUILT_IN.items():
        table.add_row(name, entry.description)
    table.add_row("FOLDER", "images of any size; its sub-folders are classes, none are needed")
    Console().print(table)
