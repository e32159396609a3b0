"""``temperance explain``."""

import json
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from temperance.cli.given import console
from temperance.diagnosis.files import read_embeddings
from temperance.errors import InputError
from temperance.report import Row, softmax_table, write_explorer
from temperance.report.cloud import Cloud, cloud_of
from temperance.runs import make_folder


def run_explain(
    embeddings: str | None, labels: str | None, column: str | None, out: Path | None, as_json: bool
) -> None:
    """Print the three-class table and write ``explain.html``, with the embeddings given in it."""
    cloud = _cloud(embeddings, labels, column)
    folder = make_folder(out or Path("runs") / "explain")
    path = folder / "explain.html"
    write_explorer(path, cloud)
    rows = softmax_table()
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return
    output = console()
    for title, kept in _cases(rows):
        output.print(_table(title, kept))
    output.print(
        "Lower τ sharpens the softmax: where the right class has the largest score the loss falls, where it "
        "has the smallest the loss rises, and after a near miss it does neither all the way.\n"
        "The last column is the common mistake: the criterion is given x instead of x/τ, and τ does nothing.",
        highlight=False,
    )
    output.print(f"\nMove τ yourself: {path}", soft_wrap=True)


def _cloud(embeddings: str | None, labels: str | None, column: str | None) -> Cloud | None:
    if embeddings is None:
        for name, value in (("--labels", labels), ("--column", column)):
            if value is not None:
                raise InputError(f"{name} {value} belongs to --embeddings; give that too")
        return None
    found = read_embeddings(embeddings, column, labels)
    return cloud_of(found.vectors, found.labels, embeddings)


def _cases(rows: list[Row]) -> list[tuple[str, list[Row]]]:
    """Rows by logits and right class, in the order given."""
    cases: dict[tuple[tuple[float, ...], int], list[Row]] = {}
    for row in rows:
        cases.setdefault((tuple(row.logits), row.target), []).append(row)
    return [(_title(logits, target), kept) for (logits, target), kept in cases.items()]


def _title(logits: tuple[float, ...], target: int) -> str:
    place = sorted(logits, reverse=True).index(logits[target])
    kind = {0: "right answer", 1: "near miss"}.get(place, "wrong answer")
    scores = ", ".join(f"{x:g}" for x in logits)
    return f"{kind}: x = [{scores}], y = {target}"


def _table(title: str, rows: list[Row]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("τ", "softmax(x/τ)", "loss", "loss, τ forgotten"):
        table.add_column(name, justify="right")
    for row in rows:
        shares = "  ".join(_figure(p) for p in row.probabilities)
        table.add_row(
            f"{row.temperature:g}", shares, _figure(row.loss), _figure(row.undivided_loss)
        )
    return table


def _figure(x: float) -> str:
    if x < 1e-3:
        return f"{x:.4e}"
    return f"{x:.5f}" if 0.9999 < x < 1 else f"{x:.4f}"  # 1.0000 would say that nothing is left
