# The habits of a day. Each runs in .venv; `make setup` makes it.
.PHONY: setup format check test slow wheel schema glyphs site

setup:
	python3 -m venv .venv
	.venv/bin/pip install --quiet --upgrade pip
	.venv/bin/pip install --quiet --editable . --group dev

format:
	.venv/bin/ruff check --fix src tests scripts benchmarks examples
	.venv/bin/ruff format src tests scripts benchmarks examples

check:
	.venv/bin/ruff check src tests scripts benchmarks examples
	.venv/bin/ruff format --check src tests scripts benchmarks examples
	.venv/bin/mypy
	.venv/bin/lint-imports

test: check
	.venv/bin/python -m pytest -q -n 2

slow:
	.venv/bin/python -m pytest -q -m slow

wheel:
	.venv/bin/python -m build

schema:
	.venv/bin/python -m temperance.runs.results > src/temperance/runs/results.schema.json
	.venv/bin/python -m temperance.diagnosis.results > src/temperance/diagnosis/results.schema.json
	.venv/bin/python -m temperance.transfer.results > src/temperance/transfer/evaluation.schema.json

site:
	.venv/bin/pip install --quiet --group docs
	.venv/bin/python -m mkdocs build --strict

# FONTS is a folder that keeps the downloaded packages.
glyphs:
	.venv/bin/python scripts/make_glyphs.py $(FONTS)
