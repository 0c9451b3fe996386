# make run      execute all notebooks in quick mode on the embedded data -> results/quick/
# make test     tests and lint
# make lab      open JupyterLab
# make results DATA=folder   execute the notebooks in full mode on a Speech Commands folder, in place
#                            (ONLY="03 04" for some of them)
# make clean    remove the virtual environment and results/quick (data/ stays)

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The first Python 3.11 or 3.12 found; override with `make run PYTHON=/path/to/python`.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12)])' 2>/dev/null && echo $$p && break; done)

.PHONY: run test lab results clean
.DELETE_ON_ERROR:

run: $(READY)
	@$(BIN)/python -m kwslib notebooks --mode quick --data synthetic --results results/quick

test: $(READY)
	@$(BIN)/python -m pytest
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

lab: $(READY)
	@$(BIN)/jupyter lab notebooks

results: $(READY)
	@test -n "$(DATA)" || { echo "error: say which recordings: make results DATA=folder_of_speech_commands"; exit 2; }
	@$(BIN)/python -m kwslib notebooks --mode full --data "$(DATA)" --results results --in-place --only $(ONLY)

clean:
	rm -rf $(VENV) results/quick

$(READY): requirements.lock pyproject.toml
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12)])' || { \
		echo "error: Python 3.11 or 3.12 is needed (Debian: sudo apt-get install python3.11-venv), or make ... PYTHON=/path/to/it"; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		if [ "$$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo=sudo; \
		else echo "error: the venv module is missing; type: sudo apt-get install python$$version-venv"; exit 2; fi; \
		$$sudo apt-get update -qq && $$sudo apt-get install -y -qq python$$version-venv; }
	@echo "Installing the pinned packages into $(VENV) (once, about 3 GB, one to five minutes) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)
