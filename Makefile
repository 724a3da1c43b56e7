# make demo    a first leaderboard, from nothing: .venv, install, a small grid through Ray, the board
# make test    the same set-up, then linter, types and tests (under 15 minutes on 2 cores)
# make soak    the same set-up, then what takes longer: 20 kills of the driver, nodes that die, the overheads' and the
#              data path's ratios
# make bench   our own code beside the published form of NTL and CUTI: ratios, each with a floor (2 minutes on 2 cores)
# make full    the embedded suite in full: 12 pairs, all methods and controls, 3 seeds (43 minutes on 2 cores)

PYTHON ?= python3
BIN := .venv/bin

# Many containers set this, and then every process compiles torch's and Ray's Python anew, for seconds each time.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test soak bench full clean

# uv installs the whole stack, CUDA torch included, in under a minute where pip takes many. torchvision's wheel works
# only beside the CUDA build of torch; that build runs on CPU machines too, so it is what is pinned everywhere.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mapbench needs Python 3.11 or newer: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: .venv/installed
	$(BIN)/mapbench run demo

full: .venv/installed
	$(BIN)/mapbench run digits-mini

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses 2 --dist loadgroup

# One after the other, their output shown: moments, seconds, counts. MAPBENCH_KILLS_SEED=N repeats the moments of a run.
soak: .venv/installed
	$(BIN)/pytest -m soak --capture no
	PYTHONPATH=. $(BIN)/python tests/bench/overhead.py
	PYTHONPATH=. $(BIN)/python tests/bench/data.py

bench: .venv/installed
	PYTHONPATH=. $(BIN)/python tests/bench/ratios.py

clean:
	rm -rf .venv data runs
