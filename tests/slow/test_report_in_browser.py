"""The report of a sweep as a person opens it: from a file, on any screen, in light and dark."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-c", "from temperance.cli import main; main()", "sweep", "digits"]
SMALL = ["--temperatures", "0.05,0.1,0.2,0.5,1", "--seeds", "2", "--epochs", "2"]


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
def test_the_explorer_stands_in_a_tab_and_neither_has_grave_faults(
    visit, without_faults, theme
) -> None:
    page = visit(theme=theme)
    without_faults(page)
    page.get_by_role("link", name="Explorer").click()
    assert page.get_by_role("heading", name="Three scores").is_visible()
    assert page.locator("[data-tab=report]").is_hidden()
    without_faults(page)
    page.get_by_role("link", name="Report").click()
    assert page.locator(".answer").is_visible()
