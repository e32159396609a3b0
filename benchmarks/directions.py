"""Does a diagnosis point the way in which accuracy rises? Held against the extractors of a sweep.

    temperance sweep glyphs --seeds 2 --out runs/glyphs \\
        --temperatures 0.02,0.03,0.05,0.08,0.14,0.22,0.37,0.6,1
    python benchmarks/directions.py runs/glyphs glyphs

For the extractor of each τ (seed 0) the direction is read off its own space, without labels. Beside it stand
the accuracies on validation images at its τ, and their mean at those τ of the sweep that lie in the range
suggested; and the estimate of the false-negative mass beside the truth. FOLDER/directions.svg shows the
spaces of the lowest, a middle and the highest τ.
"""

import sys
from pathlib import Path

import numpy as np

from temperance import diagnose
from temperance.data import load_images, split
from temperance.diagnosis.results import Diagnosis
from temperance.report.svg import (
    Axis,
    Panel,
    Reference,
    Series,
    heat_colour,
    line_chart,
    standalone,
)
from temperance.runs.results import read_results
from temperance.search import METRIC_NAMES, member_arrays


def drawing(spaces: dict[float, Diagnosis]) -> str:
    """Among how many negatives the push is shared at each τ, and, as a dot, at the one trained with."""
    lines = []
    for i, (tau, found) in enumerate(spaces.items()):
        shares = [100 * n / found.data.negatives for n in found.profile.effective_negatives["0.5"]]
        own = 100 * found.reading.effective_negatives / found.data.negatives
        colour = heat_colour(i, len(spaces))
        taus = found.profile.temperature
        lines += [
            Series(f"trained at τ = {tau:g}", taus, shares, colour, points=False),
            Series("", [tau], [own], colour),
        ]
    edges = [Reference("hardly any", 2), Reference("nearly all", 50)]
    return line_chart(
        "Effective negatives at each temperature, in three spaces",
        "Each space has the temperatures at which from 2 to 50 % of the negatives count.",
        Axis("temperature τ", log=True),
        Panel(Axis("effective negatives (% of all), median of anchors", log=True), lines, edges),
    )


def kinship(found: Diagnosis, labels: np.ndarray) -> tuple[float, float]:
    """How many of the suspects are of their anchor's class, and how many of the ten hardest negatives."""
    same = np.array([labels[s.anchor] == labels[s.negative] for s in found.suspects])
    suspected = np.array([bool(s.false) for s in found.suspects])
    return float(same[suspected].mean()), float(same.mean())


def main() -> None:
    folder, data = Path(sys.argv[1]), sys.argv[2]
    images = load_images(data)
    assert images.labels is not None
    labels = images.labels[split(images).validation]
    groups = read_results(folder).by_temperature()
    means = {
        metric: {t: np.mean([run.value(metric) for run in runs]) for t, runs in groups.items()}
        for metric in METRIC_NAMES.values()
    }
    print(f"| τ | effective | says | range | {' | '.join(METRIC_NAMES)} | estimate | truth |")
    print("|---" * (6 + len(METRIC_NAMES)) + "|")
    spaces, kin = {}, []
    for tau, runs in groups.items():
        arrays = member_arrays(folder / "members" / runs[0].folder)
        views = arrays["view_a"], arrays["view_b"]
        found, known = diagnose(*views, temperature=tau), diagnose(*views, labels, tau)
        spaces[tau] = found
        kin.append(kinship(found, labels))
        reading, truth, range_ = found.reading, known.reading, found.suggestion
        assert reading is not None
        assert truth is not None
        if range_ is None:
            print(f"| {tau:g} | no range |")
            continue
        inside = [t for t in groups if range_.low <= t <= range_.high]
        moves = [
            f"{100 * of[tau]:.1f} → {100 * np.mean([of[t] for t in inside]):.1f}"
            for of in means.values()
        ]
        cells = [
            f"{tau:g}",
            f"{reading.effective_negatives / found.data.negatives:.1%}",
            str(range_.direction),
            f"{range_.low:.2g} to {range_.high:.2g}",
            *moves,
            f"{reading.figures['estimated_false_negative_mass'].value:.2f}",
            f"{truth.figures['false_negative_mass'].value:.2f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
    mutual, nearest = (
        f"{100 * min(x):.0f} to {100 * max(x):.0f} %" for x in zip(*kin, strict=True)
    )
    print(f"\nof the anchor's class: {mutual} of the suspects, {nearest} of the ten nearest")
    kept = sorted(spaces)
    shown = {tau: spaces[tau] for tau in (kept[0], kept[len(kept) // 2], kept[-1])}
    (folder / "directions.svg").write_text(standalone(drawing(shown)))


if __name__ == "__main__":
    main()
