# The commands of this project. `make help` lists them.

PYTHON ?= python3
WORKERS ?= 2
ARGS ?=
STAGE ?= dev
STACK_NAME ?= event-booking
RUNTIME_PYTHON ?= python3.13
BYTECODE ?= on
MIGRATE ?= yes
SHIFT ?= gradual
DRY_RUN ?= no
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet
LIVE = $(PY) -m infra.aws.live $@ --stack $(STACK_NAME) --only "$(ONLY)" --dry-run $(DRY_RUN)
LOCALSTACK := .venv-localstack/bin/python

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test check localstack-check lint types imports format docs package deploy rollback freeze thaw audit bench operate reset clean

# Recreate .venv if its Python has been uninstalled.
$(shell test -x $(PY) || rm -f .venv/.installed)

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

run: .venv/.installed ## run everything on this machine (PORT=8000 HOST=127.0.0.1 STACK=localstack)
	@exec $(PY) -m infra.local run

test: .venv/.installed ## run the product's tests (ARGS="-k booking" WORKERS=2)
	@$(PY) -m pytest -q -n $(WORKERS) -m "not slow and not tools" $(ARGS)

check: lint types imports .venv/.installed ## run all checks and all tests, except those on LocalStack
	@$(PY) -m pytest -q -n $(WORKERS) $(ARGS)

localstack-check: .venv/.installed .venv-localstack/.installed ## run the tests of SNS, SQS and SES on LocalStack (needs Python 3.13)
	@LOCALSTACK_PYTHON=$(LOCALSTACK) $(PY) -m pytest -q -m 'not moto' $(ARGS) tests/infra/local/test_aws.py \
		tests/infra/local/test_localstack.py tests/infra/local/test_triggers.py tests/infra/local/test_emails.py

lint: .venv/.installed ## check style and format
	@$(PY) -m ruff check --quiet
	@$(PY) -m ruff format --check --quiet || { echo "The files above need: make format" >&2; exit 1; }

types: .venv/.installed ## check types
	@$(PY) -m mypy

imports: .venv/.installed ## check the rules for imports
	@.venv/bin/lint-imports

format: .venv/.installed ## format the code
	@$(PY) -m ruff check --select I --fix --quiet
	@$(PY) -m ruff format

docs: .venv/.installed ## rewrite the generated sections of docs/
	@$(PY) -m infra.docs

package: .venv/.installed ## build the template and the zip in build/ (STAGE=lean, dev or prod)
	@$(PY) -m infra.aws.package $(STAGE) --runtime-python $(RUNTIME_PYTHON) --bytecode $(BYTECODE)

deploy: package ## build, migrate and deploy to AWS (STAGE=dev STACK_NAME=name BUCKET=name PARAMETERS=file.json)
	@$(PY) -m infra.aws.deploy $(STAGE) --stack $(STACK_NAME) --bucket $(BUCKET) --migrate $(MIGRATE) --shift $(SHIFT) $(if $(PARAMETERS),--parameters $(PARAMETERS))

rollback: .venv/.installed ## let a stack serve the release before the last deployment (STACK_NAME=name DRY_RUN=yes)
	@$(LIVE)

freeze: .venv/.installed ## stop everything in a stack that writes (STACK_NAME=name ONLY=function,function DRY_RUN=yes)
	@$(LIVE)

thaw: .venv/.installed ## undo a freeze (STACK_NAME=name ONLY=function,function DRY_RUN=yes)
	@$(LIVE)

audit: .venv/.installed ## look for known vulnerabilities of the locked dependencies; fails if it cannot tell
	@test -x .venv-audit/bin/pip-audit || { $(PY) -m venv .venv-audit && .venv-audit/bin/pip install --quiet pip-audit; }
	@.venv-audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements-lock.txt

bench: .venv/.installed ## run benchmarks against references (ARGS="booking lists", ARGS=--list, QUICK=1)
	@$(PY) -m bench $(if $(QUICK),--quick) $(ARGS)

operate: .venv/.installed ## act on `make run`, or on a STACK_NAME (OP=list-flags WHO=name WHY=reason ARGS='{"queue": "email"}' DRY_RUN=yes)
	@$(PY) -m infra.operate

reset: .venv/.installed ## remove the data of `make run`
	@$(PY) -m infra.local reset

clean: ## remove .venv and caches, keep the data
	@rm -rf .venv .venv-audit .venv-localstack .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# `.installing` marks a .venv whose installation was interrupted.
.venv/.installed: requirements.txt requirements-dev.txt requirements-lock.txt
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no $(PYTHON). Install Python 3.11 or newer, or name it: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot create a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into .venv (about a minute, once) ..."
	@if [ -e .venv/.installing ] || ! $(PY) -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		rm -rf .venv && $(PYTHON) -m venv .venv; fi
	@touch .venv/.installing
	@$(PIP) 'pip<26.3'
	@sed -n 's/^\([a-z0-9].*\) \\$$/\1/p' requirements-lock.txt > .venv/constraints.txt
	@$(PIP) -r requirements-dev.txt -c .venv/constraints.txt
	@mv .venv/.installing .venv/.installed

# LocalStack needs the Python version of its image, which may differ from that of .venv.
.venv-localstack/.installed: requirements-localstack.txt
	@for python in $(RUNTIME_PYTHON) $$HOME/.pyenv/versions/3.13.*/bin/python; do \
		"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null \
			&& found=$$python && break; \
	done; \
	test -n "$$found" || { \
		echo "LocalStack needs Python 3.13. Name one: make localstack-check RUNTIME_PYTHON=..." >&2; exit 1; }; \
	echo "Installing LocalStack into .venv-localstack (about 45 s, once) ..."; \
	rm -rf .venv-localstack && "$$found" -m venv .venv-localstack
	@$(LOCALSTACK) -m pip --disable-pip-version-check install --quiet --no-deps -r $<
	@touch $@
