"""The report of a sweep as a person opens it: from a file, on any screen, in light and dark."""

import csv
import io
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from PIL import Image

from temperance.runs.results import read_results

expect = pytest.importorskip("playwright.sync_api").expect

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-c", "from temperance.cli import main; main()", "sweep", "digits"]
SMALL = ["--temperatures", "0.05,0.1,0.2,0.5,1", "--seeds", "2", "--budgets", "1,2", "--losses"]


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("report") / "run"
    subprocess.run([*COMMAND, *SMALL, "--out", str(out)], check=True, capture_output=True)
    return (out / "report.html").as_uri()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 400, 1400])
def test_nothing_sticks_out_sideways_and_every_picture_is_there(visit, width, theme) -> None:
    page = visit(width, theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    broken = "[...document.images].filter(image => !image.naturalWidth).length"
    assert page.evaluate(broken) == 0
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (dark == "rgb(21, 23, 28)") == (theme == "dark")


def test_the_answer_is_seen_without_scrolling(visit) -> None:
    page = visit(400)
    answer = page.locator(".answer").bounding_box()
    assert answer["y"] + answer["height"] < 900
    assert "τ = " in page.locator(".answer").inner_text()


def test_charts_have_names_for_those_who_hear_them(visit) -> None:
    page = visit()
    charts = page.locator("[data-tab=report]").locator("svg.chart, img").all()
    assert len(charts) > 7
    for chart in charts:
        assert chart.evaluate(
            "c => (c.getAttribute('alt') ?? c.querySelector('title')?.textContent ?? '').length > 0"
        )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_numbers_of_a_map_can_be_read_on_every_colour(visit, theme) -> None:
    page = visit(theme=theme)
    assert page.locator(".maps .cell").count() > 3 * 2 * 5
    contrasts = page.evaluate(
        """() => {
          const numbers = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
          const light = (rgb) => {
            const [r, g, b] = rgb.map((v) => v / 255)
              .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
          };
          return [...document.querySelectorAll(".maps .cell")].map((cell) => {
            const style = getComputedStyle(cell), heat = Number(style.fillOpacity);
            const ground = numbers(getComputedStyle(cell.previousElementSibling).fill);
            const mixed = numbers(style.fill).map((v, i) => heat * v + (1 - heat) * ground[i]);
            const pair = [light(mixed), light(numbers(getComputedStyle(cell.closest("svg")).fill))];
            return Math.max(...pair) / Math.min(...pair);
          });
        }"""
    )
    assert min(contrasts) > 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_explorer_stands_in_a_tab_and_neither_has_grave_faults(
    visit, without_faults, theme
) -> None:
    page = visit(theme=theme)
    without_faults(page)
    page.get_by_role("link", name="Explorer").click()
    expect(page.get_by_role("heading", name="Three scores")).to_be_visible()
    expect(page.locator("[data-tab=report]")).to_be_hidden()
    without_faults(page)
    page.get_by_role("link", name="Report").click()
    expect(page.locator(".answer")).to_be_visible()


def test_every_figure_can_be_saved_and_is_named_after_the_run(visit, saved) -> None:
    page = visit()
    names = page.evaluate(
        "[...document.querySelectorAll('[data-tab=report] figure')].map(figure => figure.id)"
    )
    lengths = ("lengths-linear", "lengths-knn", "lengths-few-shot")
    first = ("choice", *lengths, "dilemma", "push", "similarity")
    assert names[: len(first)] == [f"figure-{n}" for n in first]
    assert len(names) == len(first) + 1 + 3 + 1  # hardest negatives, maps, losses
    for name in (name.removeprefix("figure-") for name in names):
        page = visit()  # Chromium drops a download now and then once a page has had ten
        for kind in ("CSV",) if name == "hardest" else ("PNG", "SVG", "CSV"):
            file, content = saved(page, name, kind, by_key=kind == "CSV")
            assert file == f"run-{name}.{kind.lower()}"
            assert len(content) > 300


@pytest.mark.parametrize(
    ("theme", "ground"), [("light", "rgb(251, 250, 246)"), ("dark", "rgb(21, 23, 28)")]
)
def test_a_saved_drawing_stands_alone_and_a_picture_shows_it(visit, saved, theme, ground) -> None:
    page = visit(theme=theme)
    drawing = saved(page, "push", "SVG")[1].decode()
    root = ElementTree.fromstring(drawing)
    assert "var(" not in drawing
    assert "class=" not in drawing
    svg = "{http://www.w3.org/2000/svg}"
    inks = {e.get("stroke") for e in root.iter(f"{svg}path")} - {None, "none"}
    assert len(inks) >= 5 + 2  # a line for each temperature, the grid, and the axis
    assert root.find(f"{svg}rect").get("fill") == ground
    picture = Image.open(io.BytesIO(saved(page, "push", "PNG")[1])).convert("RGB")
    assert picture.size == (3 * int(root.get("width")), 3 * int(root.get("height")))
    colours = picture.getcolors(maxcolors=1 << 24)
    found = {f"rgb{colour}" for _, colour in colours}
    assert inks <= found
    assert f"rgb{max(colours)[1]}" == ground


def test_saved_numbers_are_those_of_the_results(visit, saved, address) -> None:
    results = read_results(Path(unquote(address.removeprefix("file://"))).parent)
    rows = list(csv.DictReader(io.StringIO(saved(visit(), "choice", "CSV")[1].decode())))
    for metric, title in (
        ("features.linear_accuracy", "linear probe on the features, accuracy (%)"),
        ("projection.knn_accuracy", "kNN on the projection, accuracy (%)"),
    ):
        mine = [row for row in rows if row["panel"] == title]
        single = {
            (float(r["temperature τ"]), float(r["value"])) for r in mine if r["kind"] == "single"
        }
        assert single == {(run.temperature, 100 * run.value(metric)) for run in results.runs}
        curve = results.recommendation.by_metric[metric].curve
        line = [r for r in mine if r["kind"] == "line"]
        assert [float(r["value"]) for r in line] == [100 * v for v in curve.value]
        assert [float(r["low"]) for r in line] == [100 * v for v in curve.low]
        (pixels,) = (r for r in mine if r["series"] == "raw pixels")
        assert float(pixels["value"]) == 100 * results.baselines.raw_pixels.validation.accuracy(
            metric
        )


def test_a_figure_is_found_by_its_name_from_the_other_tab_too(visit) -> None:
    page = visit()
    page.goto(f"{page.url}#explorer")
    expect(page.locator("#figure-push")).to_be_hidden()
    page.evaluate("location.hash = '#figure-push'")
    expect(page.locator("#figure-push")).to_be_in_viewport(ratio=0.3)
    captions = page.locator("figcaption .counted").all_text_contents()
    assert all("validation images" in caption and "seed" in caption for caption in captions)
    assert len(captions) == 12  # with one map of lengths for each use


def test_on_paper_nothing_is_cut_and_no_control_is_shown(visit) -> None:
    page = visit(794)  # A4 at 96 dots an inch, less what a printer leaves free
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 794
    cut = """[...document.querySelectorAll('[data-tab=report] .scroll')].filter(
      region => region.scrollWidth > document.querySelector('main').clientWidth).length"""
    assert page.evaluate(cut) == 0
    assert page.get_by_role("button").count() == 0
    columns = (
        "getComputedStyle(document.querySelector('.gallery')).gridTemplateColumns.split(' ').length"
    )
    assert page.evaluate(columns) == 2


def test_the_hardest_negatives_are_saved_as_they_are_shown(visit, saved):
    page = visit()
    rows = list(csv.DictReader(io.StringIO(saved(page, "hardest", "CSV")[1].decode())))
    shown = page.locator(".negatives .caption").all_inner_texts()
    assert len(rows) == len(shown)
    for row, words in zip(rows, shown, strict=True):
        name, share = words.split("\n")
        assert name == row["its class"]
        assert float(share.removesuffix(" %")) == pytest.approx(
            100 * float(row["share of the push"]), abs=0.5
        )
