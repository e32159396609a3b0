"""A browser, and pages opened in it that must neither ask for anything nor complain."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    installed = shutil.which("chromium") or shutil.which("google-chrome")  # else Playwright's own
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, address):
    """Open the page; afterwards nothing may have been requested, blocked or complained about."""
    contexts, complaints, requests = [], [], []

    def open_page(width=1400, theme="light", **options):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert set(requests) == {address}


@pytest.fixture
def saved():
    """Save a figure as a person does; returns the file's name and content."""

    def save(page, name: str, kind: str, *, by_key: bool = False) -> tuple[str, bytes]:
        button = page.locator(f"[id='figure-{name}']").get_by_role("button", name=kind)
        with page.expect_download() as download:
            if by_key:
                button.focus()
                page.keyboard.press("Enter")
            else:
                button.click()
        path = Path(download.value.path())
        return download.value.suggested_filename, path.read_bytes()

    return save


@pytest.fixture
def without_faults():
    """Axe-core's verdict on a page: nothing serious or critical for those who hear it or use keys."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def check(page):
        found = axe.run(page).response["violations"]
        grave = [
            (fault["id"], [node["html"][:160] for node in fault["nodes"][:3]])
            for fault in found
            if fault["impact"] in ("serious", "critical")
        ]
        assert grave == []

    return check


@pytest.fixture
def quick():
    """How long a page takes from a change of a control to the paint after it: the median of nine."""

    def check(page, selector, values, milliseconds=100):
        took = page.evaluate(
            """async ([selector, values]) => {
              const control = document.querySelector(selector);
              const took = [];
              for (const value of values) {
                const begun = performance.now();
                control.value = value;
                control.dispatchEvent(new Event("input", { bubbles: true }));
                await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
                took.push(performance.now() - begun);
              }
              return took.sort((a, b) => a - b)[Math.floor(took.length / 2)];
            }""",
            [selector, values],
        )
        assert took < milliseconds

    return check
