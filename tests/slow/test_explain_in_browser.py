"""The page of ``temperance explain`` as a person meets it: in a browser, with a slider and keys."""

import pytest

from temperance.report import write_explain

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("explain") / "explain.html"
    write_explain(path)
    return path.as_uri()


def shown(page, *identifiers):
    return [page.locator(f"#{identifier}").inner_text() for identifier in identifiers]


def turn(page, temperature):
    """Bring the slider to a temperature with the arrow keys."""
    slider = page.get_by_role("slider", name="Temperature τ")
    slider.focus()
    for _ in range(60):
        value = float(page.locator("#temperature-value").inner_text())
        if value == temperature:
            return
        slider.press("ArrowRight" if value < temperature else "ArrowLeft")
    raise AssertionError(f"the slider does not reach {temperature}")


@pytest.mark.parametrize(
    ("example", "losses", "undivided"),
    [
        ("right", {1: "0.4076", 0.5: "0.1429", 0.1: "4.5401e-5"}, "0.4076"),
        ("wrong", {1: "2.4076", 0.5: "4.1429", 0.1: "20.0000"}, "2.4076"),
        ("near miss", {1: "0.7702", 0.5: "0.7995", 0.1: "1.3133"}, "0.7702"),
    ],
)
def test_slider_gives_the_losses_of_the_table(visit, example, losses, undivided):
    page = visit()
    page.get_by_role("button", name=example, exact=True).click()
    for temperature, loss in losses.items():
        turn(page, temperature)
        assert shown(page, "loss", "undivided-loss") == [loss, undivided]


def test_scores_and_the_right_class_can_be_changed(visit):
    page = visit()
    page.get_by_role("button", name="τ = 1", exact=True).click()
    assert [v.inner_text() for v in page.locator("#classes .value").all()] == [
        "0.0900",
        "0.2447",
        "0.6652",
    ]
    page.get_by_label("class 0 is right").check()
    assert shown(page, "loss") == ["2.4076"]
    score = page.get_by_label("score of class 0")
    score.fill("3")
    assert shown(page, "loss") == ["0.8620"]
    score.fill("")  # half-way through typing: the last number stays
    assert shown(page, "loss") == ["0.8620"]
    assert score.get_attribute("aria-invalid") == "true"


def test_preset_buttons_set_the_temperature_exactly(visit):
    page = visit()
    for temperature in ("1", "0.5", "0.1", "0.07"):
        button = page.get_by_role("button", name=f"τ = {temperature}", exact=True)
        button.click()
        assert shown(page, "temperature-value") == [temperature]
        assert button.get_attribute("aria-pressed") == "true"


def test_negatives_share_the_push_and_the_limits_are_named(visit):
    page = visit()
    turn(page, 0.1)
    cells = [v.inner_text() for v in page.locator("#negatives .value").all()]
    pushes = [float(cell) for cell in cells[1::2]]
    assert sum(pushes) == pytest.approx(float(shown(page, "pull")[0]), abs=0.05)
    assert shown(page, "false-share") == [cells[2]]
    assert pushes == sorted(pushes, reverse=True)
    turn(page, 0.02)
    assert "triplet" in shown(page, "negatives-words")[0]
    turn(page, 5)
    assert "simple loss" in shown(page, "negatives-words")[0]
    assert shown(page, "effective-negatives") == ["9.0 of 9"]
    page.get_by_label("the same O, seen again").fill("0.2")
    turn(page, 0.02)
    assert float(shown(page, "pull")[0]) == pytest.approx(50)  # 1/τ: the positive has lost


def test_figures_are_announced_once_the_slider_rests(visit):
    page = visit()
    turn(page, 0.1)
    sync_api.expect(page.get_by_role("status")).to_contain_text("Temperature 0.1. ")
    assert page.get_by_role("slider").get_attribute("aria-valuetext") == "τ = 0.1"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 400, 1400])
def test_nothing_sticks_out_sideways(visit, width, theme):
    page = visit(width, theme)
    turn(page, 0.02)  # the figures with the most digits
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for table in page.locator("#explorer .scroll").all():
        assert table.evaluate("element => element.scrollWidth <= element.clientWidth")
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (dark == "rgb(21, 23, 28)") == (theme == "dark")


def test_page_reads_without_a_script(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("#explorer").is_hidden()
    assert page.get_by_role("cell", name="4.5401e-5", exact=True).is_visible()
