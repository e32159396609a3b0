"""What mkdocs is told beside ``docs``: pages and schemas that live elsewhere in the repository.

Links from ``docs`` to the rest of the repository begin with ``../``, so that they work where the files are
read as they lie. In the site the same files stand below its root.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
BESIDE = (
    "benchmarks/**/*.md",
    "benchmarks/*.py",
    "benchmarks/transfer/*.json",
    "src/temperance/**/*.schema.json",
    "src/temperance/speed/*.py",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files beside ``docs``."""
    for path in sorted(found for pattern in BESIDE for found in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links out of ``docs``, and those back into it, to where the site has them."""
    if page.file.src_uri.startswith("benchmarks/"):
        return markdown.replace("../docs/", "../")
    return markdown.replace("](../", "](")
