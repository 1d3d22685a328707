# Each goal sets up what it needs in .venv, once; `make -B GOAL` sets it up anew. PYTHON=python3.12 chooses another.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test docs setup clean

help:
	@echo "make demo   put names on the faces in a short video that it composes"
	@echo "make test   format, lint, types and tests"
	@echo "make docs   the guides and the API's reference as a web site, into build/docs"
	@echo "make setup  .venv with everything, training included"

demo: .venv/.demo
	$(BIN)/python scripts/make_demo_video.py --out demo
	$(BIN)/python scripts/detect_verify.py --video demo/wall.mp4 --gallery demo/people --out demo/out.mp4 --json demo/out.jsonl
	$(BIN)/python scripts/detect_verify.py --video demo/wall.png --gallery demo/people --side 1280 --out demo/out.png
	@echo "Look at demo/out.mp4 and demo/out.png"

# The tests share out the cores among processes; threads of OpenMP in each would only wait for one another.
test: .venv/.all docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --cov --numprocesses auto --dist worksteal

# A link or a docstring that is wrong is an error. No page asks another machine for fonts or scripts.
docs: .venv/.all
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -c docs . build/docs
	@echo "Look at build/docs/index.html"

setup: .venv/.all

clean:
	rm -rf .venv build demo .coverage .mypy_cache .pytest_cache .ruff_cache

.venv/bin/python:
	$(PYTHON) -m venv .venv

# The demo needs no torch, which is by far the largest download.
.venv/.demo: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'
	touch $@

.venv/.all: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[train,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'facenet-pytorch>=2.6'
	touch $@ .venv/.demo
