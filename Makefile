# Each target sets up what it needs: the virtual environment, the pinned packages, the simulator.
# A bare Debian or Ubuntu needs nothing but make and Python 3.11 or later.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed
OPINIONS := $(VENV)/.opinions
FPGA   := $(VENV)/.fpga
BOARD  ?= ulx3s

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo bitstream test lint pages clean tools

help:
	@echo "make demo   the whole idea: Verilog, verification, training, replay (a few minutes)"
	@echo "make bitstream BOARD=ulx3s   out/ulx3s: a board's bitstream, or that of BOARD=icebreaker (some minutes)"
	@echo "make test   the test suite"
	@echo "make lint   ruff and mypy"
	@echo "make pages  docs/units: the pages of the units, with their diagrams"
	@echo "make clean  remove everything that these made, $(VENV) included"
	@echo "PYTHON=python3.12 make ... chooses the Python that $(VENV) is made with"

demo: tools $(READY)
	$(BIN)/positcore demo

bitstream: $(FPGA)
	$(BIN)/positcore build --board $(BOARD) -o out/$(BOARD)

test: tools $(READY) $(OPINIONS)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

# The package is checked as it is installed, because hw/ and sim/ become positcore.hw and positcore.sim.
# build/lib goes first: setuptools would put modules that are no longer there into the wheel.
lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/lib build/bdist.* build/typecheck
	$(BIN)/python -m pip install --quiet --no-deps --target build/typecheck .
	MYPYPATH=build/typecheck $(BIN)/mypy -p positcore

pages: tools $(READY)
	@command -v dot >/dev/null || $(call apt,graphviz,the block diagrams)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	$(BIN)/python docs/generate

clean:
	rm -rf $(VENV) build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call apt,PACKAGE,WHAT FOR) installs a Debian package, or says how to.
define apt
	{ \
	  if [ "$$(id -u)" = 0 ]; then sudo=""; \
	  elif sudo -n true 2>/dev/null; then sudo="sudo -n"; \
	  else sudo=none; fi; \
	  if ! command -v apt-get >/dev/null || [ "$$sudo" = none ]; then \
	    echo "make: $(2) needs $(1), which is not installed; install it: sudo apt-get install $(1)" >&2; exit 1; \
	  fi; \
	  echo "installing $(1), for $(2)"; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  $$sudo apt-get install -y -q $(1) </dev/null || \
	    { $$sudo apt-get update -q </dev/null && $$sudo apt-get install -y -q $(1) </dev/null; } || \
	    { echo "make: $(1) could not be installed; install it: sudo apt-get install $(1)" >&2; exit 1; }; \
	}
endef

tools:
	@command -v iverilog >/dev/null || $(call apt,iverilog,the Verilog simulator)
	@command -v g++ >/dev/null || $(call apt,g++,the compiled simulation)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: Python 3.11 or later is needed, not $$($(PYTHON) --version 2>&1); try PYTHON=python3.12 make ..." >&2; \
	    exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(call apt,python3-venv,the virtual environment)
	$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing positcore and what it needs, PyTorch among it, into $(VENV): a minute, and the downloads"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

# What a bitstream needs, and no more: PyTorch is not among it.
$(FPGA): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing positcore, Yosys and nextpnr into $(VENV)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[fpga]"
	@touch $@

# Other posit libraries, as a second opinion. One of them is compiled, with Python's headers.
$(OPINIONS): $(READY)
	@test -f "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" \
	  || ( $(call apt,python3-dev,the second opinion of SoftPosit) ) || true
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[opinions]"; \
	then touch $@; \
	else echo "make: SoftPosit or Universal could not be installed; the tests that ask them will be skipped" >&2; fi
