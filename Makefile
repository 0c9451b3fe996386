# make run      execute all notebooks in quick mode on the embedded data -> results/quick/
# make test     tests and lint
# make lab      open JupyterLab
# make firmware build the firmware for the board -> data/build/stm32f746g-disco/
# make flash    write it to the board at the USB port, or another one: make flash ELF=firmware.elf
# make tools    the cross compiler for the firmware, from Debian's packages (part of all that needs it)
# make results DATA=folder   execute the notebooks in full mode on a Speech Commands folder, in place
#                            (ONLY="03 04" for some of them)
# make figures  every figure and table of a paper from the committed tables alone -> results/paper/
# make clean    remove the virtual environment and results/quick (data/ stays)

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The first Python 3.11 or 3.12 found; override with `make run PYTHON=/path/to/python`.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12)])' 2>/dev/null && echo $$p && break; done)

# The cross compiler and what builds with it; QEMU is a second opinion on instruction counts.
TOOLS := gcc libc6-dev cmake ninja-build gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm

# $(call debian,packages): install them; without the rights, one line that says what to type
debian = if [ "$$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo=sudo; \
	else echo "error: packages are missing; type: sudo apt-get install $(1)"; exit 2; fi; \
	$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends $(1) >/dev/null

.PHONY: run test lab firmware flash results figures tools clean
.DELETE_ON_ERROR:

run: $(READY) tools
	@$(BIN)/python -m kwslib notebooks --mode quick --data synthetic --results results/quick

test: $(READY) tools
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

lab: $(READY) tools
	@$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks $$([ "$$(id -u)" != 0 ] || echo --allow-root)

firmware: $(READY) tools
	@$(BIN)/python -m kwslib firmware

flash: $(READY) $(if $(ELF),,tools)
	@$(BIN)/python -m kwslib flash $(if $(ELF),"$(ELF)")

results: $(READY) tools
	@test -n "$(DATA)" || { echo "error: say which recordings: make results DATA=folder_of_speech_commands"; exit 2; }
	@$(BIN)/python -m kwslib notebooks --mode full --data "$(DATA)" --results results --in-place --only $(ONLY)

figures: $(READY)
	@$(BIN)/python -m kwslib figures

tools:
	@(for tool in cc cmake ninja arm-none-eabi-gcc qemu-system-arm; do command -v $$tool || exit 1; done; \
		test -e "$$(arm-none-eabi-gcc -print-file-name=nano.specs)") >/dev/null || { \
		echo "Installing the cross compiler (once, about 150 MB to load) ..."; $(call debian,$(TOOLS)); }

clean:
	rm -rf $(VENV) results/quick

$(READY): requirements.lock pyproject.toml
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12)])' || { \
		echo "error: Python 3.11 or 3.12 is needed (Debian: sudo apt-get install python3.11-venv), or make ... PYTHON=/path/to/it"; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(call debian,$\
		$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')); }
	@echo "Installing the pinned packages into $(VENV) (once, about 3 GB, one to five minutes) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)
