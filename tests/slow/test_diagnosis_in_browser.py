"""The report of a diagnosis in a browser: the slider, any screen, and texts that would like to be scripts."""

import numpy as np
import pytest

from temperance import diagnose
from temperance.report.diagnosis import Shown, write_diagnosis_report

pytestmark = pytest.mark.slow

HOSTILE = "</script><script>document.title = 'broken'</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 8)).astype(np.float32)
    y = x + 0.3 * random.normal(size=x.shape).astype(np.float32)
    labels = np.array([f"{HOSTILE}{i % 5}" for i in range(300)])
    folder = tmp_path_factory.mktemp("diagnosis")
    shown = Shown(texts=[f"{HOSTILE} {i} " + "long" * 40 for i in range(300)])
    write_diagnosis_report(folder, diagnose(x, y, labels, 0.1), shown, labels)
    return (folder / "report.html").as_uri()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 400, 1400])
def test_nothing_sticks_out_and_nothing_hostile_runs(visit, width, theme) -> None:
    page = visit(width, theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.title() == "What does this temperature do? · Temperance"
    assert page.locator("img").count() == 0


def test_the_slider_shares_the_push_out_anew(visit) -> None:
    page = visit()
    slider = page.get_by_role("slider", name="Temperature τ")

    def hardest() -> float:
        return float(page.locator(".share").first.inner_text().split()[0])

    slider.focus()
    slider.press("Home")
    assert page.locator("#temperature-value").inner_text() == "0.010"
    low = hardest()
    slider.press("End")
    assert hardest() < low


def test_the_page_reads_without_a_script(visit) -> None:
    page = visit(java_script_enabled=False)
    assert page.locator("#dial").is_hidden()
    assert page.get_by_role("heading", name="Verdicts").is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_there_are_no_grave_faults_for_those_who_hear_it(visit, without_faults, theme) -> None:
    without_faults(visit(theme=theme))


def test_the_slider_paints_at_once(visit, quick) -> None:
    quick(visit(), "#temperature", list(range(0, 18, 2)))
