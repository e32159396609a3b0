"""Reports of as much as people have: small enough to send, seen at once, and as quick under the hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch.nn.functional import normalize

from temperance import diagnose
from temperance.data import ImageSet, split
from temperance.geometry import describe
from temperance.report import write_explorer
from temperance.report.cloud import cloud_of
from temperance.report.diagnosis import Shown, write_diagnosis_report
from temperance.report.sweep import write_sweep_report
from temperance.runs.results import (
    Accuracies,
    Baseline,
    Baselines,
    Recommendation,
    Results,
    Run,
    Spaces,
)
from temperance.search import METRIC_NAMES, SweepConfig
from temperance.search.recommend import choose
from temperance.search.sweep import about, environment

pytestmark = pytest.mark.slow

TAUS = tuple(float(t) for t in np.geomspace(0.02, 2, 12).round(4))
SEEDS, IMAGES, CLASSES, WIDTH = 5, 6000, 10, 64
EMBEDDINGS = 100_000
MEGABYTE = 1e6


def accuracies(level: float) -> Spaces:
    each = Accuracies(knn_accuracy=level - 0.02, linear_accuracy=level, few_shot_accuracy=level / 2)
    return Spaces(features=each, projection=each)


def swept(folder: Path) -> None:
    """A sweep that nobody trained: pictures of noise, spaces that grow tighter with τ."""
    random = np.random.default_rng(0)
    labels = np.arange(IMAGES) % CLASSES
    images = ImageSet(
        name="photographs",
        images=random.integers(0, 256, (IMAGES, 3, 64, 64), np.uint8),
        labels=labels,
        classes=tuple(f"kind {i}" for i in range(CLASSES)),
    )
    parts = split(images)
    config = SweepConfig(
        data=images.name,
        fingerprint=images.fingerprint,
        temperatures=TAUS,
        seeds=SEEDS,
        epochs=50,
    )
    of = torch.from_numpy(labels[parts.validation])
    centres = torch.from_numpy(random.normal(size=(CLASSES, WIDTH))).float()
    runs, right = [], np.zeros((len(TAUS), SEEDS, len(of)))
    for i, tau in enumerate(TAUS):
        level = 0.9 - 0.05 * np.log10(tau / 0.2) ** 2
        for seed in range(SEEDS):
            right[i, seed] = random.random(len(of)) < level
            noise = torch.from_numpy(random.normal(size=(3, len(of), WIDTH))).float()
            one = centres[of] * tau**0.5 + noise[0]
            spaces = [normalize(x, dim=1) for x in (one, one + noise[1] / 3, one + noise[2] / 3)]
            geometry = describe(*spaces, tau, of)
            run = Run(
                temperature=tau,
                seed=seed,
                epochs=50,
                seconds=60,
                folder=f"t{tau:g}-s{seed}",
                losses=[1.0] * 50,
                validation=accuracies(float(right[i, seed].mean())),
                test=accuracies(level),
                geometry=geometry,
            )
            runs.append(run)
            (folder / "members" / run.folder).mkdir(parents=True)
            arrays = {
                name: space.half().numpy()
                for name, space in zip(("projection", "view_a", "view_b"), spaces, strict=True)
            }
            save_file(arrays, folder / "members" / run.folder / "arrays.safetensors")
    choices = {
        metric: choose(metric, np.array(TAUS), right, "50 epochs")
        for metric in METRIC_NAMES.values()
    }
    pixels = Baseline(validation=accuracies(0.7), test=accuracies(0.7))
    results = Results(
        command="sweep",
        config=config.model_dump(mode="json"),
        environment=environment() | {"workers": 1},
        data=about(images, parts),
        baselines=Baselines(raw_pixels=pixels, untrained=pixels),
        runs=runs,
        recommendation=Recommendation(
            **choices[METRIC_NAMES["linear"]].model_dump(),
            command="temperance train photographs",
            by_metric=choices,
        ),
    )
    write_sweep_report(folder, results, images, parts)


def diagnosed(folder: Path) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(EMBEDDINGS) % 100
    centres = random.normal(size=(100, 128)).astype(np.float32)
    x = centres[labels] + random.normal(size=(EMBEDDINGS, 128)).astype(np.float32)
    y = x + 0.3 * random.normal(size=x.shape).astype(np.float32)
    texts = [f"sentence {i} of a hundred thousand, " + "and so on " * 20 for i in range(EMBEDDINGS)]
    write_diagnosis_report(folder, diagnose(x, y, labels, 0.1), Shown(texts=texts), labels)
    write_explorer(folder / "explain.html", cloud_of(x, labels))


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    sweep, diagnosis = (tmp_path_factory.mktemp(name) for name in ("sweep", "diagnosis"))
    swept(sweep)
    diagnosed(diagnosis)
    return {
        "sweep": sweep / "report.html",
        "diagnosis": diagnosis / "report.html",
        "explorer": diagnosis / "explain.html",
    }


@pytest.fixture(params=["sweep", "diagnosis", "explorer"])
def name(request) -> str:
    return request.param


@pytest.fixture
def address(pages, name) -> str:
    return pages[name].as_uri()


def test_it_is_small_enough_to_send(pages, name) -> None:
    assert pages[name].stat().st_size < 6 * MEGABYTE


def test_it_is_seen_at_once(visit) -> None:
    page = visit()
    painted = page.evaluate(
        """() => new Promise((done) => {
          new PerformanceObserver((list) => {
            const [paint] = list.getEntriesByName("first-contentful-paint");
            if (paint) done(paint.startTime);
          }).observe({ type: "paint", buffered: true });
        })"""
    )
    assert painted < 1500


def test_its_slider_paints_at_once(visit, quick, name) -> None:
    page = visit()
    if name == "diagnosis":
        quick(page, "#temperature", list(range(0, 100, 5)))
    else:
        page.evaluate("location.hash = '#explorer'")
        page.wait_for_selector("#explorer-temperature")
        quick(page, "#explorer-temperature", [-2 + 0.15 * i for i in range(20)])


def test_its_colours_change_at_once(visit) -> None:
    page = visit()
    took = page.evaluate(
        """async () => {
          const took = [];
          for (let i = 0; i < 20; i++) {
            const begun = performance.now();
            document.querySelector(`[data-scheme=${i % 2 ? "light" : "dark"}]`).click();
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
            took.push(performance.now() - begun);
          }
          return took.sort((a, b) => a - b)[10];
        }"""
    )
    assert took < 100
