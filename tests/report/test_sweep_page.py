"""The report of a sweep, made from a small one really run."""

import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from temperance.data import ImageSet, split
from temperance.methods import METHODS
from temperance.report.sections import LOSSES
from temperance.report.sweep import sweep_page, write_sweep_report
from temperance.runs.results import Choice, Results, read_results, write_results
from temperance.search import SweepConfig, local, sweep

HOSTILE = "<img src=x onerror=alert(1)>"
TAUS = (0.05, 0.2, 1.0)


class Silent:
    def begin(self, *_) -> None: ...
    def epochs(self, *_) -> None: ...
    def run(self, *_) -> None: ...


def colours(labelled: bool) -> ImageSet:
    random = np.random.default_rng(0)
    labels = np.arange(120) % 2
    images = random.integers(0, 120, (120, 3, 8, 8), np.uint8) + (100 * labels[:, None, None, None])
    return ImageSet(
        name=f"{HOSTILE}-set",
        images=images.astype(np.uint8),
        labels=labels if labelled else None,
        classes=(HOSTILE, "blue & green") if labelled else (),
        notes=(f"skipped 1 of 121 images: {HOSTILE}",),
    )


def asked(images: ImageSet, **more: object) -> SweepConfig:
    small = {"temperatures": TAUS, "seeds": 2, "epochs": 1, "batch_size": 32}
    return SweepConfig(data=images.name, fingerprint=images.fingerprint, **small, **more)


@pytest.fixture(scope="module", params=[True, False], ids=["labels", "no labels"])
def swept(request, tmp_path_factory) -> tuple[Path, Results, ImageSet]:
    images = colours(labelled=request.param)
    config = asked(images)
    folder = tmp_path_factory.mktemp("sweep") / "run"
    return folder, sweep(config, images, split(images), folder, local(1), Silent()), images


@pytest.fixture
def html(swept) -> str:
    folder, results, images = swept
    return sweep_page(folder, results, images, split(images))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.opened: list[str] = []

    def handle_starttag(self, tag, attributes) -> None:
        self.opened.append(tag)
        if tag == "img":
            self.images.append(dict(attributes))


def _report(html: str) -> str:
    """The page up to the explorer's tab."""
    return html.split('<div data-tab="explorer">')[0]


def test_names_from_outside_are_text_not_markup(html: str) -> None:
    tags = _Tags()
    tags.feed(_report(html))
    assert tags.images
    for image in tags.images:
        assert image["src"].startswith("data:image/png;base64,")
        assert set(image) == {"src", "alt"}
    assert "script" not in tags.opened
    assert HOSTILE not in html
    assert "&lt;img src=x" in html


def test_every_section_is_there(html: str, swept) -> None:
    _, results, _ = swept
    headings = re.findall(r"<h2>([^<]*)</h2>", html)
    assert headings == [
        "Each use has its own temperature" if results.data.classes else "How sure that is",
        "The dilemma",
        "What is pushed",
        "The hardest negatives",
        "Maps of the space",
        "All figures",
        "How it was measured",
    ]
    for chart in re.findall(r"<svg xmlns.*?</svg>(?=<figcaption)", html, re.DOTALL):
        ElementTree.fromstring(chart)
    assert html.count("<figcaption>") == 5 + 3  # and a map each for low, best and high
    for temperature in TAUS:
        assert f'<th scope="row">{temperature:g}</th>' in html


def test_what_labels_would_tell_is_left_out_or_said(html: str, swept) -> None:
    _, results, _ = swept
    html = _report(html)
    if results.data.classes:
        assert "raw pixels" in html
        assert 'class="false"' in html
        assert "tolerance: mean cosine within a class" in html
    else:
        assert "cannot know" in html
        assert 'class="false"' not in html
        assert "tolerance" not in html
        assert "own view nearest of all" in html


def test_the_answer_stands_first_with_a_command_to_copy(html: str, swept) -> None:
    chosen = swept[1].recommendation
    answer = html.index(f"τ = {chosen.temperature:g}</strong>")
    assert answer < html.index("<h2>")
    assert f"--temperature {chosen.temperature:g} --epochs 1" in html


def page_of_lengths(swept, shapes: dict[int, tuple[str, float, tuple[float, float]]]) -> str:
    """The page of a sweep of several lengths, each with a given shape, best temperature and interval."""
    folder, results, images = swept
    sweeps = []
    for epochs, (shape, best, interval) in shapes.items():
        update = {"shape": shape, "temperature": best, "interval": interval}
        chosen = results.recommendation
        by_metric = {k: c.model_copy(update=update) for k, c in chosen.by_metric.items()}
        chosen = chosen.model_copy(update={**update, "by_metric": by_metric})
        config = results.config | {"epochs": epochs}
        sweeps.append(results.model_copy(update={"recommendation": chosen, "config": config}))
    *shorter, longest = sweeps
    for sweep_of in shorter:
        place = folder / "budgets" / str(sweep_of.config["epochs"])
        place.mkdir(parents=True, exist_ok=True)
        write_results(place, sweep_of)
    budgets = [sweep_of.config["epochs"] for sweep_of in shorter]
    longest = longest.model_copy(update={"budgets": budgets})
    return sweep_page(folder, longest, images, split(images))


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (
            {
                3: ("peak", 0.1, (0.05, 0.2)),
                9: ("flat", 0.2, (0.05, 1)),
                22: ("peak", 0.5, (0.3, 1)),
            },
            "the best τ rises with training (0.1 at 3 epochs, 0.5 at 22)",
        ),
        (
            {3: ("edge-high", 1.0, (0.5, 1)), 22: ("peak", 0.1, (0.05, 0.2))},
            "the best τ falls with training",
        ),
        ({3: ("peak", 0.1, (0.05, 0.2)), 22: ("peak", 0.2, (0.1, 0.3))}, "intervals overlap"),
        ({3: ("flat", 0.1, (0.05, 1)), 22: ("peak", 0.2, (0.1, 0.3))}, "curve of 3 epochs is flat"),
    ],
)
def test_lengths_of_training_are_mapped_and_compared_in_words(swept, shapes, words) -> None:
    html = _report(page_of_lengths(swept, shapes))
    uses = 3 if swept[1].data.classes else 1
    assert "The answer at each length of training" in html
    assert html.count(words) == uses
    assert len(re.findall('class="cell"[^>]*><title>[^<]* at ', html)) == uses * len(shapes) * 3
    for epochs, (shape, best, (low, high)) in shapes.items():
        brief = "flat" if shape == "flat" else f"{best:g} ({low:g} to {high:g})"
        assert html.count(f"{epochs} epochs: {brief}.") == uses  # for those who hear the map
        assert f'<th scope="row">{epochs}</th><td>{brief}</td>' in html


def test_one_length_of_training_has_no_map(html: str) -> None:
    assert 'class="cell"' not in html


@pytest.mark.parametrize("shape", ["peak", "edge-low", "edge-high", "flat"])
def test_every_shape_of_curve_has_its_words(swept, shape: str) -> None:
    folder, results, images = swept

    def shaped(choice: Choice) -> Choice:
        return choice.model_copy(update={"shape": shape, "interval": (0.1, 0.3)})

    chosen = shaped(results.recommendation).model_copy(
        update={"by_metric": {k: shaped(c) for k, c in results.recommendation.by_metric.items()}}
    )
    other = results.model_copy(update={"recommendation": chosen})
    page = sweep_page(folder, other, images, split(images))
    assert ("any temperature tried serves as well" in page) == (shape == "flat")
    assert ("best τ = " in page) == (shape != "flat")
    assert ("widen the range" in page) == shape.startswith("edge")


@pytest.mark.parametrize("method", METHODS)
def test_it_says_what_was_trained_and_by_which_steps(swept, method: str) -> None:
    folder, results, images = swept
    optimizer = "sgd" if method.startswith("moco") else "adamw"
    config = results.config | {"method": method, "optimizer": optimizer, "epochs": 1}
    page = sweep_page(folder, results.model_copy(update={"config": config}), images, split(images))
    assert f"Training: {escape(LOSSES[method])}; augmented views in batches of 32" in page
    assert ("larger steps" in page) == (optimizer == "sgd")
    assert ("with their labels" in page) == (method == "supcon")


def test_four_losses_are_compared_in_words_numbers_and_a_drawing(tmp_path: Path) -> None:
    images = colours(labelled=True)
    config = asked(images, losses=True)
    results = sweep(config, images, split(images), tmp_path, local(1), Silent())
    page = _report(sweep_page(tmp_path, results, images, split(images)))
    hard = read_results(tmp_path / "hard")
    assert hard.config["hardest"] == 0.08
    section = page[page.index("<h2>Four losses") :].split("</section>")[0]
    assert 'id="figure-losses"' in section
    for swept_one, negatives in ((results, "all"), (hard, "hardest 8 %")):
        cells = [
            f"<td>{100 * np.mean([run.value('projection.knn_accuracy') for run in runs]):.3g}</td>"
            for runs in (*swept_one.by_temperature().values(), swept_one.by_rule()["simple"])
        ]
        assert f"kNN on the projection</th><td>{negatives}</td>{''.join(cells)}" in section
    means = [
        100 * np.mean([run.value("features.linear_accuracy") for run in runs])
        for runs in hard.by_temperature().values()
    ]
    assert f"with the hardest negatives alone by {max(means) - min(means):.1f}.</li>" in section
    assert "<td>none</td>" in page  # what τ the simple loss ends with


def test_the_files_are_written_whole(swept) -> None:
    folder, results, images = swept
    write_sweep_report(folder, results, images, split(images))
    assert (folder / "report.html").stat().st_size < 6e6
    overview = (folder / "overview.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(overview)
    assert "color-scheme: light dark" in overview
