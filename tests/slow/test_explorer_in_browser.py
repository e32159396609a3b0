"""The explorer as a person meets it: in a browser, by pointer and by keys, in both languages."""

import csv
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import cross_entropy, normalize

from temperance import NTXent
from temperance.geometry import effective_negatives, relative_penalty, tolerance, uniformity
from temperance.report import write_explorer
from temperance.report.cloud import cloud_of
from temperance.report.explorer.assembly import words

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.slow
expect = sync_api.expect

ROWS = 100_000


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    random = np.random.default_rng(0)
    of = random.integers(0, 10, ROWS)
    x = random.normal(size=(10, 32))[of] + random.normal(size=(ROWS, 32))
    path = tmp_path_factory.mktemp("explorer") / "explain.html"
    write_explorer(path, cloud_of(x.astype(np.float32), of, "large.npy"))
    assert path.stat().st_size < 6e6
    return path.as_uri()


def part(page, scene, name):
    return page.locator(f"#explorer-{scene} [data-part={name}]")


def turn(page, temperature):
    """Bring the slider to a temperature with the arrow keys."""
    slider = page.get_by_role("slider", name="Temperature τ")
    slider.focus()
    reading = page.locator("#explorer-reading")
    for _ in range(160):
        page.evaluate("new Promise(requestAnimationFrame)")
        value = float(reading.inner_text())
        if value == temperature:
            return
        slider.press("ArrowRight" if value < temperature else "ArrowLeft")
    raise AssertionError(f"the slider does not reach {temperature}")


@pytest.mark.parametrize("tau", [0.01, 0.07, 0.5, 1.0, 10.0])
def test_the_mathematics_agrees_with_python(visit, tau):
    page = visit()
    random = np.random.default_rng(1)
    scores = random.uniform(-1, 1, 12)

    def asked(call, *values):
        found = page.evaluate(f"(values) => mathematics.{call}", [*values])
        return np.array(found, dtype=np.float64)

    x = torch.from_numpy(scores)
    softmax = asked("softmax(values[0], values[1])", scores.tolist(), tau)
    np.testing.assert_allclose(softmax, relative_penalty(x, tau), atol=1e-6)
    loss = asked("crossEntropy(values[0], 3, values[1])", scores.tolist(), tau)
    expected = cross_entropy(x[None] / tau, torch.tensor([3]))
    np.testing.assert_allclose(loss, expected, rtol=1e-6)

    similarities = x.clone().requires_grad_()
    cross_entropy(similarities[None] / tau, torch.tensor([0])).backward()
    for name, value in (("pull", -similarities.grad[0]), ("pushes", similarities.grad[1:])):
        call = f"infoNCE(values[0], values[1], values[2]).{name}"
        found = asked(call, float(scores[0]), scores[1:].tolist(), tau)
        np.testing.assert_allclose(found, value, rtol=1e-6, atol=1e-6)
    shares = asked("infoNCE(0, values[0], values[1]).shares", scores[1:].tolist(), tau)
    np.testing.assert_allclose(shares, relative_penalty(x[1:], tau), atol=1e-6)
    effective = asked("effectiveNumber(values[0])", shares.tolist())
    np.testing.assert_allclose(effective, effective_negatives(x[1:], tau), rtol=1e-6)


@pytest.mark.parametrize("tau", [0.01, 0.07, 0.5, 10.0])
def test_the_training_in_the_page_is_that_of_nt_xent_and_adam(visit, tau):
    page = visit()
    random = np.random.default_rng(2)
    features, weights = random.normal(size=(40, 6)), random.normal(size=(6, 3))
    found = page.evaluate(
        """([features, weights, tau]) => {
          const w = Float64Array.from(weights);
          const f = Float64Array.from(features);
          const { loss, gradient } = mathematics.ntXent(f, w, tau);
          const memory = { step: 0, mean: new Float64Array(18), square: new Float64Array(18) };
          for (let i = 0; i < 5; i++) {
            mathematics.adam(w, mathematics.ntXent(f, w, tau).gradient, memory, 0.05);
          }
          const { points } = mathematics.encode(f, w);
          const classes = Array.from({ length: 40 }, (_, i) => i % 4);
          return {
            loss, gradient: [...gradient], weights: [...w], points: [...points],
            uniformity: mathematics.uniformity(points), tolerance: mathematics.tolerance(points, classes),
            nearest: mathematics.ownClassNearest(points, classes),
          };
        }""",
        [features.ravel().tolist(), weights.ravel().tolist(), tau],
    )
    w = torch.from_numpy(weights).requires_grad_()
    optimizer = torch.optim.Adam([w], lr=0.05)
    for step in range(5):
        z = normalize(torch.from_numpy(features) @ w, dim=1)
        loss = NTXent(temperature=tau)(z[:20], z[20:])
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            assert found["loss"] == pytest.approx(float(loss.detach()), rel=1e-6)
            gradient = w.grad.numpy().ravel().copy()
            np.testing.assert_allclose(found["gradient"], gradient, rtol=1e-6, atol=1e-6)
        optimizer.step()
    np.testing.assert_allclose(found["weights"], w.detach().numpy().ravel(), atol=1e-6)
    z = normalize(torch.from_numpy(features) @ w.detach(), dim=1)
    np.testing.assert_allclose(found["points"], z.numpy().ravel(), atol=1e-6)
    of = torch.arange(40) % 4
    assert found["uniformity"] == pytest.approx(uniformity(z), abs=1e-6)
    assert found["tolerance"] == pytest.approx(tolerance(z, of), abs=1e-6)
    nearest = (z @ z.T - 3 * torch.eye(40)).argmax(dim=1)
    assert found["nearest"] == pytest.approx(float((of[nearest] == of).double().mean()))


@pytest.mark.parametrize(
    ("example", "losses", "undivided"),
    [
        ("Right answer", {1: "0.4076", 0.5: "0.1429", 0.1: "4.5401e-5"}, "0.4076"),
        ("Wrong answer", {1: "2.4076", 0.5: "4.1429", 0.1: "20.0000"}, "2.4076"),
        ("Near miss", {1: "0.7702", 0.5: "0.7995", 0.1: "1.3133"}, "0.7702"),
    ],
)
def test_the_slider_gives_the_losses_of_the_table(visit, example, losses, undivided):
    page = visit()
    page.get_by_role("button", name=example, exact=True).click()
    for temperature, loss in losses.items():
        turn(page, temperature)
        expect(part(page, "scores", "loss")).to_have_text(loss)
        expect(part(page, "scores", "forgotten")).to_have_text(undivided)


def test_scores_and_the_right_class_can_be_changed(visit):
    page = visit()
    page.get_by_role("button", name="1", exact=True).click()
    expect(page.locator(".score .value")).to_have_text(["0.0900", "0.2447", "0.6652"])
    page.get_by_role("radio", name="right 0").check()
    loss = part(page, "scores", "loss")
    expect(loss).to_have_text("2.4076")
    score = page.get_by_label("Score of class 0")
    score.fill("3")
    expect(loss).to_have_text("0.8620")
    score.fill("")  # half-way through typing: the last number stays
    expect(loss).to_have_text("0.8620")
    assert score.get_attribute("aria-invalid") == "true"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_control_does_what_it_says(visit, language, theme):
    page = visit(theme=theme)
    if language == "zh":
        page.get_by_role("button", name="中文").click()
        expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")

    def say(key, **values):
        return words()[key][language].format(**values)

    def button(key):
        return page.get_by_role("button", name=say(key), exact=True)

    expect(page.get_by_role("heading", level=1)).to_have_text(say("title"))
    assert page.title() == f"{say('title')} · Temperance"
    for temperature in ("0.05", "0.07", "0.1", "0.2", "0.5", "1", "5"):
        preset = page.get_by_role("button", name=temperature, exact=True)
        preset.click()
        expect(page.locator("#explorer-reading")).to_have_text(temperature)
        expect(preset).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="0.07", exact=True).click()
    for key in ("wrong", "near-miss", "right"):
        before = part(page, "scores", "loss").inner_text()
        button(key).click()
        expect(part(page, "scores", "loss")).not_to_have_text(before)
    slider = page.locator("#explorer-temperature")
    for end, limit in (("Home", "low"), ("End", "high")):
        slider.press(end)
        expect(page.locator(f".end.{limit}")).to_have_class(f"end {limit} reached")
        expect(part(page, "anchor", "meaning")).to_contain_text(say(f"limit-{limit}"))
    expect(part(page, "anchor", "effective")).to_have_text(say("of", some="8.0", all=8))
    page.get_by_role("button", name="0.2", exact=True).click()

    q = page.get_by_role("slider", name=say("item-q"))
    for shape in ("circle", "sphere"):
        button(shape).click()
        expect(part(page, "anchor", "turn-hint")).to_be_visible(visible=shape == "sphere")
        expect(q).to_have_attribute("aria-valuenow", "0.77")
        q.press("ArrowDown")
        expect(q).to_have_attribute("aria-valuenow", "0.73")
        q.evaluate("node => node.scrollIntoView({ block: 'center' })")
        box = q.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2 + 5, box["y"] + 120, steps=3)
        page.mouse.up()
        expect(q).not_to_have_attribute("aria-valuenow", "0.73")
        button("reset").click()
        expect(q).to_have_attribute("aria-valuenow", "0.77")
    sphere = part(page, "anchor", "picture")
    place = q.get_attribute("transform")
    sphere.press("ArrowRight")
    expect(q).not_to_have_attribute("transform", place)
    expect(q).to_have_attribute("aria-valuenow", "0.77")

    part(page, "training", "picture").scroll_into_view_if_needed()
    button("again").click()
    expect(button("pause")).to_be_visible()
    steps = part(page, "training", "steps")
    expect(steps).not_to_have_text("0", timeout=30_000)
    button("pause").click()
    expect(button("train")).to_be_visible()

    anchor = part(page, "embeddings", "anchor")
    for key in ("next", "previous", "hardest-next"):
        before = anchor.inner_text()
        button(key).click()
        expect(anchor).not_to_have_text(before)
    before = anchor.inner_text()
    page.locator("#explorer-embeddings [data-point]").nth(17).dispatch_event("click")
    expect(anchor).not_to_have_text(before)
    expect(page.locator(".hardest li")).to_have_count(6)

    for scheme, dark in (("dark", True), ("light", False), ("auto", theme == "dark")):
        button(f"theme-{scheme}").click()
        ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (ground == "rgb(21, 23, 28)") == dark
    button("theme-dark").click()
    page.reload()  # both choices are remembered
    expect(page.get_by_role("heading", level=1)).to_have_text(say("title"))
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["English", "中文"])
def test_there_are_no_grave_faults_for_those_who_hear_it(visit, without_faults, language, theme):
    page = visit(theme=theme)
    page.get_by_role("button", name=language).click()
    page.locator("[data-shape=sphere]").click()
    without_faults(page)


def test_a_low_temperature_trains_an_even_space_and_a_high_one_a_tolerant_one(visit):
    page = visit()

    def trained(temperature):
        page.get_by_role("button", name=temperature, exact=True).click()
        page.get_by_role("button", name="Start again").click()
        enough = re.compile(r"^(1[6-9]\d|[2-9]\d\d)$")
        expect(part(page, "training", "steps")).to_have_text(enough, timeout=120_000)
        page.get_by_role("button", name="Pause").click()
        found = [part(page, "training", n).inner_text() for n in ("uniformity", "tolerance")]
        return [float(value.replace("−", "-")) for value in found]

    low, high = trained("0.1"), trained("5")
    assert low[0] < -2.0 < high[0]
    assert low[1] + 0.1 < high[1]
    assert page.locator("#explorer-training [data-part=plane] .dot").count() == 1


def test_the_slider_paints_at_once(visit, quick):
    page = visit()
    quick(page, "#explorer-temperature", [-2 + 0.3 * i for i in range(9)])


def test_figures_are_announced_once_the_slider_rests(visit):
    page = visit()
    turn(page, 0.1)
    expect(page.get_by_role("status")).to_contain_text("Temperature 0.1. ")
    slider = page.get_by_role("slider", name="Temperature τ")
    assert slider.get_attribute("aria-valuetext") == "τ = 0.1"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 400, 800, 1600])
def test_nothing_sticks_out_sideways(visit, width, theme):
    page = visit(width, theme)
    turn(page, 0.02)  # the figures with the most digits
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_reads_without_a_script(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("#explorer-scores").is_hidden()
    assert page.get_by_role("cell", name="4.5401e-5", exact=True).is_visible()
    assert page.get_by_role("heading", name="The dilemma").is_visible()


def test_on_paper_the_page_is_light_and_has_no_controls(visit):
    page = visit(theme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert ground == "rgb(251, 250, 246)"
    assert page.locator("#explorer .dial").is_hidden()
    assert page.locator("#themes").is_hidden()


def test_every_drawing_can_be_saved_as_it_stands(visit, saved):
    page = visit(theme="dark")
    names = page.evaluate("[...document.querySelectorAll('figure')].map(figure => figure.id)")
    assert len(names) == 8
    for name in (name.removeprefix("figure-") for name in names):
        file, drawing = saved(page, name, "SVG")
        assert file == f"{name}.svg"
        assert len(list(ElementTree.fromstring(drawing).iter())) > 20
        assert b"var(" not in drawing
        picture = Image.open(io.BytesIO(saved(page, name, "PNG")[1])).convert("RGB")
        assert len(picture.getcolors(maxcolors=1 << 24)) > 20
        rows = list(csv.reader(io.StringIO(saved(page, name, "CSV")[1].decode())))
        assert len({len(row) for row in rows}) == 1
        assert len(rows) > 1


def test_saved_numbers_are_those_of_the_moment(visit, saved):
    page = visit()
    turn(page, 0.5)
    page.get_by_role("button", name="中文").click()
    assert page.get_by_role("group", name="另存为").count() == 8
    rows = list(csv.DictReader(io.StringIO(saved(page, "explorer-anchor", "CSV")[1].decode())))
    similarities = torch.tensor([float(r["similarity"]) for r in rows[1:]], dtype=torch.float64)
    shares = [float(r["share of the push"]) for r in rows[1:]]
    np.testing.assert_allclose(shares, relative_penalty(similarities, 0.5), atol=1e-9)
    rows = list(csv.reader(io.StringIO(saved(page, "explorer-shares", "CSV")[1].decode())))
    assert rows[0] == ["temperature τ", "Q", "O", "C", "X"]
    assert len(rows) == 1 + 121


def test_meridians_that_are_not_drawn_are_not_saved(visit, saved):
    page = visit()
    hidden = b'display="none"'
    assert hidden in saved(page, "explorer-anchor", "SVG")[1]
    page.get_by_role("button", name="Sphere").click()
    page.evaluate("new Promise(requestAnimationFrame)")
    assert hidden not in saved(page, "explorer-anchor", "SVG")[1]
