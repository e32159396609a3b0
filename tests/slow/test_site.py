"""The documentation's site is built strictly, asks no other host for anything, and has two themes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
pytest.importorskip("mkdocs")
pytest.importorskip("mkdocstrings")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not built.returncode, built.stderr  # a link that leads nowhere is among the causes
    return folder.as_uri()


def test_pages_ask_no_other_host_for_anything(address):
    pages = list(Path(address.removeprefix("file://")).rglob("*.html"))
    assert len(pages) >= 14
    for page in pages:
        tags = re.findall(r"<(?:script|img|link|iframe)\b[^>]*>", page.read_text())
        assert not [tag for tag in tags if re.search(r'(?:src|href)="(?:https?:)?//', tag)], page


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_shows_in_both_themes(browser, address, theme):
    context = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme=theme)
    page = context.new_page()
    page.goto(f"{address}/which.html")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", ground)[:3]))
    context.close()
    assert (brightness > 600) if theme == "light" else (brightness < 200)


def test_search_finds_a_page_opened_from_a_file(browser, address):
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    complaints, asked = [], []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/index.html")
    page.get_by_role("textbox", name="Search").fill("false negative")
    found = page.locator(".md-search-result__item a").first
    found.wait_for(timeout=20_000)
    assert "negative" in page.locator(".md-search-result__item").first.inner_text()
    found.click()
    page.wait_for_url("**/*.html*")
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    assert complaints == []
    context.close()
