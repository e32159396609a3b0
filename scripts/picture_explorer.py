"""Draw docs/explorer.png: an anchor's forces on the sphere, as ``temperance explain`` shows them.

python scripts/picture_explorer.py    (needs Playwright and chromium)
"""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from temperance.report import write_explorer

PICTURE = Path(__file__).parents[1] / "docs" / "explorer.png"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "explain.html"
        write_explorer(path)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 930})
        page.goto(path.as_uri())
        page.get_by_role("button", name="0.2", exact=True).click()
        page.get_by_role("button", name="Sphere").click()
        page.evaluate(
            "scrollTo(0, document.querySelector('#explorer-anchor').getBoundingClientRect().top"
            " + scrollY - 140)"
        )
        page.wait_for_timeout(500)
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
