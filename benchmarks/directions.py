"""Does a diagnosis point the way in which accuracy rises? Held against the extractors of a sweep.

    temperance sweep glyphs --seeds 2 --out runs/glyphs \\
        --temperatures 0.02,0.03,0.05,0.08,0.14,0.22,0.37,0.6,1
    python benchmarks/directions.py runs/glyphs glyphs

For the extractor of each τ (seed 0) the direction is read off its own space, without labels. Beside it stand
the accuracies on validation images at its τ, and their mean at those τ of the sweep that lie in the range
suggested; and the estimate of the false-negative mass beside the truth.
"""

import sys
from pathlib import Path

import numpy as np

from temperance import diagnose
from temperance.data import load_images, split
from temperance.runs.results import read_results
from temperance.search import METRIC_NAMES, member_arrays


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
    for tau, runs in groups.items():
        arrays = member_arrays(folder / "members" / runs[0].folder)
        views = arrays["view_a"], arrays["view_b"]
        found, known = diagnose(*views, temperature=tau), diagnose(*views, labels, tau)
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


if __name__ == "__main__":
    main()
