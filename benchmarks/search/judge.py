"""Rules that choose τ, judged on data sets that they were not fixed on: regret in percentage points.

    python benchmarks/search/judge.py

reads the matrix and prints the tables of ``rules.md``. A cell is one grid (data × width × epochs) and one use
of it (labeling × space × metric); the regret of a choice is the test accuracy at the best τ of the grid less
that at the τ chosen, both means over seeds. What a rule has to learn, even one constant, it learns on the
other data sets.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.linear_model import Ridge

from temperance.search.config import UNSEARCHED

MATRIX = Path(__file__).parent / "matrix"
PAPERS = {0.07: "InstDisc, MoCo v1", 0.1: "SimCLR", 0.2: "MoCo v2", 0.5: "SimCLR on CIFAR-10"}
# Lengths shorter than this only serve as rungs of a search.
SHORTEST = 12
# Candidates of a targeted rule: this many values of its measure, taken from the other data sets.
TARGETS = 25
PULLS = (0.0, 0.005, 0.01, 0.02, 0.04, 0.08)


@dataclass(frozen=True)
class Grid:
    """One data set, width and length: ``(seeds, temperatures)`` arrays by column of the matrix."""

    data: str
    width: int
    epochs: int
    temperatures: np.ndarray
    columns: dict[str, np.ndarray]


@dataclass(frozen=True)
class Cell:
    """One use of one grid."""

    grid: Grid
    task: str
    space: str
    metric: str
    rungs: dict[int, Grid] = field(compare=False, repr=False)

    def accuracy(self, split: str, grid: Grid | None = None) -> np.ndarray:
        return (grid or self.grid).columns[f"{self.task}.{split}.{self.space}.{self.metric}"]

    @property
    def regret(self) -> np.ndarray:
        """Of each temperature, in points."""
        test = 100 * self.accuracy("test").mean(axis=0)
        return test.max() - test

    @property
    def standard_error(self) -> float:
        """Of a difference between two temperatures, from what seeds do beyond their common level."""
        test = 100 * self.accuracy("test")
        seeds, temperatures = test.shape
        if seeds == 1:
            return math.nan
        rest = test - test.mean(axis=0) - test.mean(axis=1, keepdims=True) + test.mean()
        variance = (rest**2).sum() / ((seeds - 1) * (temperatures - 1))
        return math.sqrt(2 * variance / seeds)

    def measure(self, name: str) -> np.ndarray:
        return self.grid.columns[name].mean(axis=0)


# From the cells of other data sets to a function from a cell to the position of its temperature.
Choose = Callable[[Cell], int]
Rule = Callable[[list[Cell]], Choose]


def read(folder: Path) -> list[Cell]:
    grids = [grid for path in sorted(folder.glob("*.csv")) for grid in _grids(path)]
    return [
        Cell(grid, *name.split(".")[:1], *name.split(".")[2:], _same(grid, grids))
        for grid in grids
        if grid.epochs >= SHORTEST
        for name in grid.columns
        if ".test." in name
    ]


def _grids(path: Path) -> list[Grid]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    groups = defaultdict(list)
    for row in rows:
        groups[row["data"], int(row["width"]), int(row["epochs"])].append(row)
    found = []
    for key, members in groups.items():
        members.sort(key=lambda row: (int(row["seed"]), float(row["temperature"])))
        temperatures = np.unique([float(row["temperature"]) for row in members])
        columns = {
            name: np.array([float(row[name]) for row in members]).reshape(-1, len(temperatures))
            for name in members[0]
            if "." in name
        }
        found.append(Grid(*key, temperatures, columns))
    return found


def _same(grid: Grid, grids: list[Grid]) -> dict[int, Grid]:
    return {g.epochs: g for g in grids if (g.data, g.width) == (grid.data, grid.width)}


# Rules that look at nothing.


def constant(temperature: float) -> Rule:
    return lambda others: lambda cell: int(np.argmin(abs(cell.grid.temperatures - temperature)))


def best_constant(
    others: list[Cell], *, alike: Callable[[Cell], object] = lambda cell: 0
) -> Choose:
    """The constant of least mean regret on the other data sets, among cells that are alike."""
    groups = defaultdict(list)
    for cell in others:
        groups[alike(cell)].append(cell.regret)
    overall = int(np.mean([cell.regret for cell in others], axis=0).argmin())
    best = {key: int(np.mean(regrets, axis=0).argmin()) for key, regrets in groups.items()}
    return lambda cell: best.get(alike(cell), overall)


def use(cell: Cell) -> tuple[str, str]:
    return cell.space, cell.metric


def use_and_length(cell: Cell) -> tuple[str, str, int]:
    return cell.space, cell.metric, cell.grid.epochs


# Rules that look at measures without labels.


def by_measure(others: list[Cell], *, name: str) -> Choose:
    """The highest, the lowest, or the nearest to a target, whichever did best on the other data sets."""
    candidates = list(_uses_of(others, name))
    regrets = [np.mean([cell.regret[choice(cell)] for cell in others]) for choice in candidates]
    return candidates[int(np.argmin(regrets))]


def highest_consistency(others: list[Cell]) -> Choose:
    """What a sweep without labels does: nothing is taken over from other data sets."""
    return lambda cell: int(cell.measure("projection.neighbour_consistency").argmax())


def _uses_of(others: list[Cell], name: str) -> Iterable[Choose]:
    def at(cell: Cell) -> np.ndarray:
        return cell.measure(f"{cell.space}.{name}" if "." not in name else name)

    yield lambda cell: int(at(cell).argmax())
    yield lambda cell: int(at(cell).argmin())
    values = np.concatenate([at(cell) for cell in others])
    for target in np.quantile(values, np.linspace(0.02, 0.98, TARGETS)):
        yield lambda cell, target=target: int(abs(at(cell) - target).argmin())


def best_measure(others: list[Cell], *, names: list[str]) -> Choose:
    """The rule among all of the above that did best on the other data sets."""
    choices = [by_measure(others, name=name) for name in names]
    regrets = [np.mean([cell.regret[choice(cell)] for cell in others]) for choice in choices]
    return choices[int(np.argmin(regrets))]


def combined(others: list[Cell], *, names: list[str], with_measures: bool) -> Choose:
    """Ridge regression of the regret on τ, its square, use, length and, if asked, all measures."""

    def describe(cell: Cell) -> np.ndarray:
        t = np.log(cell.grid.temperatures / 0.2)
        length = math.log(cell.grid.epochs / 50)
        flags = np.array(
            [1, cell.space == "projection", cell.metric == "few_shot", cell.metric == "linear"]
        )
        curve = np.stack([t, t**2, t**3], axis=1)
        context = np.concatenate([flags, length * flags])
        parts = [np.einsum("tc,f->tcf", curve, context).reshape(len(t), -1)]
        if with_measures:
            raw = np.stack([cell.measure(f"{cell.space}.{name}") for name in names], axis=1)
            parts.append((raw - raw.mean(axis=0)) / (raw.std(axis=0) + 1e-9))
        return np.concatenate(parts, axis=1)

    def within(cell: Cell) -> np.ndarray:
        return cell.regret - cell.regret.mean()

    x = np.concatenate([describe(cell) for cell in others])
    model = Ridge(10.0 if with_measures else 0.1).fit(
        x, np.concatenate([within(cell) for cell in others])
    )
    return lambda cell: int(model.predict(describe(cell)).argmin())


# Rules that look at labels, of validation images alone.


def full_grid(others: list[Cell]) -> Choose:
    """Every temperature trained in full, seed 0: 10 trainings."""
    return lambda cell: int(cell.accuracy("validation")[0].argmax())


def halving(others: list[Cell], *, around: bool, pull: float = 0.0) -> Choose:
    """Successive halving at the cost of two trainings, the last of which is the extractor itself.

    What a training of a quarter or a sixteenth of the length costs beside the last leaves room for four of a
    quarter, or eight of a sixteenth of which two go on to a quarter.

    Args:
        others: fix the constant around which candidates lie.
        around: candidates are those about the best constant of the same use; else spread over the grid.
        pull: what a factor of e between a candidate and τ = 0.2 costs it, in accuracy; twice as far, four
            times as much.
    """
    middle = best_constant(others, alike=use)

    def choose(cell: Cell) -> int:
        lengths = sorted(length for length in cell.rungs if length < cell.grid.epochs)[-2:]
        alive = np.arange(len(cell.grid.temperatures))
        counts = (8, 2) if len(lengths) == 2 else (4,)
        for length, count in zip(lengths, counts, strict=True):
            if len(alive) > count and length == lengths[0]:
                alive = _spread(alive, count, middle(cell) if around else None)
            elif len(alive) > count:
                alive = alive[:count]
            values = cell.accuracy("validation", cell.rungs[length])[0]
            scores = values - pull * np.log(cell.grid.temperatures / UNSEARCHED) ** 2
            alive = alive[np.argsort(-scores[alive], kind="stable")]
        return int(alive[0])

    return choose


def pulled(others: list[Cell]) -> Choose:
    """Halving about the constant, with the pull towards τ = 0.2 that did best on the other data sets."""
    mean = {
        pull: judged(others, partial(halving, around=True, pull=pull))[0].mean() for pull in PULLS
    }
    return halving(others, around=True, pull=min(mean, key=mean.__getitem__))


def _spread(positions: np.ndarray, count: int, middle: int | None) -> np.ndarray:
    if middle is None:
        return positions[np.linspace(0, len(positions) - 1, count).round().astype(int)]
    first = min(max(0, middle - (count - 1) // 2), len(positions) - count)
    return positions[first : first + count]


def rules(cells: list[Cell]) -> dict[str, Rule]:
    names = sorted(
        {n.partition(".")[2] for n in cells[0].grid.columns if n.startswith("projection.")}
    )
    return {
        "full grid with labels, one seed (10 trainings)": full_grid,
        "halving with labels over the whole grid (2 trainings)": partial(halving, around=False),
        "halving with labels about the constant (2 trainings)": partial(halving, around=True),
        "halving about the constant, pulled towards τ = 0.2 (2 trainings)": pulled,
        "constant by use and length": partial(best_constant, alike=use_and_length),
        "constant by use": partial(best_constant, alike=use),
        "best constant": best_constant,
        "curve in τ, use and length": partial(combined, names=names, with_measures=False),
        **{f"τ = {t:g} ({who})": constant(t) for t, who in PAPERS.items()},
        "label-free: all measures combined": partial(combined, names=names, with_measures=True),
        "label-free: the measure that did best elsewhere": partial(
            best_measure, names=[*names, "features.consensus"]
        ),
        **{f"label-free: {n}": partial(by_measure, name=n) for n in names},
        "label-free: consensus": partial(by_measure, name="features.consensus"),
        "label-free: neighbour consistency where it is highest (sweep)": highest_consistency,
    }


def judged(cells: list[Cell], rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """The regret of each cell, and how far it lies beyond two standard errors."""
    regrets, beyond = [], []
    for data in sorted({cell.grid.data for cell in cells}):
        choose = rule([cell for cell in cells if cell.grid.data != data])
        for cell in cells:
            if cell.grid.data == data:
                regret = cell.regret[choose(cell)]
                regrets.append(regret)
                beyond.append(regret - 2 * cell.standard_error)
    return np.array(regrets), np.array(beyond)


def line(name: str, regrets: np.ndarray, beyond: np.ndarray) -> str:
    far = np.nanmax(beyond) if np.isfinite(beyond).any() else math.nan
    figures = (regrets.mean(), np.percentile(regrets, 90), regrets.max(), far)
    return f"| {name} | " + " | ".join(f"{x:.2f}" for x in figures) + " |"


def print_constants(
    cells: list[Cell], columns: str, key: Callable[[Cell], tuple[object, ...]], overall: int
) -> None:
    """For each group the constant of least regret, beside that which is best over everything."""
    print(f"| {columns} | τ | regret | best constant's |")
    print("|---" * (columns.count("|") + 4) + "|")
    groups = defaultdict(list)
    for cell in cells:
        groups[key(cell)].append(cell.regret)
    for names, regrets in sorted(groups.items()):
        mean = np.mean(regrets, axis=0)
        tau = cells[0].grid.temperatures[mean.argmin()]
        head = " | ".join(map(str, names))
        print(f"| {head} | {tau:g} | {mean.min():.2f} | {mean[overall]:.2f} |")


def main() -> None:
    cells = [cell for cell in read(MATRIX) if min(cell.rungs) < SHORTEST]
    grids = {(c.grid.data, c.grid.width, c.grid.epochs): c.grid for c in cells}
    print(f"{len(grids)} grids, {len(cells)} cells; regret in percentage points.\n")
    print("| data | width | epochs | seeds |\n|---|---|---|---|")
    for (data, width, epochs), grid in sorted(grids.items()):
        seeds = len(next(iter(grid.columns.values())))
        print(f"| {data} | {width} | {epochs} | {seeds} |")
    print("\n| rule | mean | 90th percentile | largest | largest beyond 2 standard errors |")
    print("|---|---|---|---|---|")
    found = {name: judged(cells, rule) for name, rule in rules(cells).items()}
    chance = np.concatenate([cell.regret for cell in cells])
    errors = np.concatenate([cell.regret - 2 * cell.standard_error for cell in cells])
    found["random"] = (chance, errors)
    for name, (regrets, beyond) in sorted(found.items(), key=lambda item: item[1][0].mean()):
        print(line(name, regrets, beyond))
    overall = best_constant(cells)(cells[0])
    print("\nThe constant of least regret over all data sets, by use and length:\n")
    print_constants(cells, "space | metric | epochs", use_and_length, overall)
    print("\nAnd over all uses and lengths, by what the labels name:\n")
    print_constants(cells, "data | labels", lambda cell: (cell.grid.data, cell.task), overall)
    print(f"\nBest constant over everything: τ = {cells[0].grid.temperatures[overall]:g}.")


if __name__ == "__main__":
    main()
