# `make demo` and `make test` are all that a visitor needs. The first of them builds .venv from the lock file; after
# that everything works without a network.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCK := requirements.lock
# The first Python on the path that is new enough.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
WORKERS ?= 2

.PHONY: demo dev test test-browser soak bench check format lock protos install clean

demo: $(STAMP)
	$(BIN)/playbook demo

dev: $(STAMP)
	$(BIN)/playbook dev

test: $(STAMP)
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not browser and not soak" $(ARGS)

# Installs Debian's Chromium where there is none (needs root and, that once, a network).
test-browser: $(STAMP)
	command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }
	$(BIN)/pytest -p no:cacheprovider -m browser tests/browser $(ARGS)

# Faults, random runs and everything else that takes longer than a test may. Not on a machine that does other things.
soak: $(STAMP)
	$(BIN)/pytest -m soak $(ARGS)

# Ours against hand-written Temporal code, on one server, in the same minutes; writes docs/performance.md's figures.
bench: $(STAMP)
	$(BIN)/python -m benchmarks $(ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(STAMP)

# What is in the lock file, exactly, and then this project itself, which needs no network (setuptools is locked too).
$(STAMP): $(LOCK) pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (make PYTHON=/path/to/python3)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

# Needs a network, and uv, which is installed into a folder of its own: nothing else uses it.
lock:
	test -x .cache/uv/bin/uv || { $(PYTHON) -m venv .cache/uv && .cache/uv/bin/pip install --quiet uv; }
	.cache/uv/bin/uv pip compile pyproject.toml --extra dev-servers --group dev --universal --generate-hashes \
		--python-version 3.11 --no-emit-index-url --custom-compile-command "make lock" --quiet $(ARGS) -o $(LOCK)
	.cache/uv/bin/uv pip compile pyproject.toml --universal --generate-hashes --constraint $(LOCK) \
		--python-version 3.11 --no-emit-index-url --custom-compile-command "make lock" --quiet -o requirements.runtime.lock

# Generates the classes of CEL's syntax tree from the specification's files. Needs a network; nothing else uses grpcio-tools.
PROTOS := playbooks/expressions/protos
protos:
	test -x .cache/protoc/bin/python || { $(PYTHON) -m venv .cache/protoc && .cache/protoc/bin/pip install --quiet grpcio-tools==1.85.1; }
	.cache/protoc/bin/python -m grpc_tools.protoc -Icel/expr=$(PROTOS) --python_out=.cache/protoc --pyi_out=.cache/protoc \
		cel/expr/syntax.proto cel/expr/checked.proto
	sed -i 's/^from cel\.expr import/from playbooks.expressions.protos import/' .cache/protoc/cel/expr/*
	cp .cache/protoc/cel/expr/*_pb2.py .cache/protoc/cel/expr/*_pb2.pyi $(PROTOS)/

clean:
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache .hypothesis *.egg-info
