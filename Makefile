# `make run` starts Switchyard, `make test` proves it. Both need Python 3.11 or newer, no more.

PIP := .venv/bin/python -m pip --disable-pip-version-check --no-input -qq install \
	--root-user-action=ignore

.PHONY: run setup check test setup-dev chromium screenshots stories lint bench soak hostile fuzz sdk agents lock
.SILENT:

run: setup
	exec .venv/bin/python manage.py run

setup: .venv/bin/pip
	cmp -s requirements.txt .venv/installed.txt || { \
	  echo "Installing requirements.txt into .venv ..."; \
	  $(PIP) -r requirements.txt && cp requirements.txt .venv/installed.txt; }

# The first Python that is new enough and can make a virtual environment.
.venv/bin/pip:
	for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	  "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	    >/dev/null 2>&1 && exec "$$python" -m venv .venv; \
	done; \
	echo "Switchyard needs Python 3.11 or newer with its venv module, and found none." >&2; \
	echo "On Debian and Ubuntu: apt-get install python3 python3-venv" >&2; \
	exit 1

# What a change should pass before it is committed. Property tests take few examples here.
check: lint
	.venv/bin/python -m pytest -q -m pure --hypothesis-profile=check \
	  tests/controlplane tests/failover tests/providers tests/routing tests/wire tests/test_house.py

# By files, since most of them start a gateway that all of their tests share. Those are processes by
# the hundred: without bytecode on the disk each would compile the whole project.
test: export PYTHONDONTWRITEBYTECODE =
test: setup-dev chromium
	.venv/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

setup-dev: .venv/bin/pip
	cat requirements.txt requirements-dev.txt | cmp -s - .venv/installed-dev.txt || { \
	  echo "Installing requirements-dev.txt into .venv ..."; \
	  $(PIP) -r requirements.txt -r requirements-dev.txt && \
	  cp requirements.txt .venv/installed.txt && \
	  cat requirements.txt requirements-dev.txt > .venv/installed-dev.txt; }

# The browser tests skip themselves where none can be had.
chromium:
	command -v chromium-headless-shell chromium google-chrome >/dev/null || \
	[ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || { \
	  echo "Installing chromium for the browser tests ..."; \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
	    apt-get -qq install -y --no-install-recommends chromium-headless-shell >/dev/null 2>&1; } || \
	echo "chromium cannot be installed; the browser tests will be skipped."

# A picture of every page of admin, in both themes, wide and narrow: make screenshots FOLDER=shots
screenshots: setup-dev chromium
	mkdir -p $(or $(FOLDER),screenshots)
	SCREENSHOTS=$(abspath $(or $(FOLDER),screenshots)) .venv/bin/python -m pytest -q tests/browser/test_every_page.py

# What operators do, and every page, in all four looks: the suite has light and wide, dark and narrow.
stories: setup-dev chromium
	EVERY_LOOK=1 .venv/bin/python -m pytest -q tests/browser/test_operator.py tests/browser/test_every_page.py

lint: setup-dev
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy
	.venv/bin/lint-imports

# Parts of it by name: make bench PARTS="plain stream". Beside other gateways: make bench PEERS=1
bench: setup
	.venv/bin/python -m bench $(if $(PEERS),--peers) $(PARTS)

# Mixed load with faults against a whole gateway, and a verdict: make soak MINUTES=60
soak: setup
	.venv/bin/python -m bench.soak $(or $(MINUTES),60)

# Whatever strangers and greedy keys can send, beside an ordinary caller: make hostile MINUTES=5
hostile: setup
	.venv/bin/python -m bench.hostile $(or $(MINUTES),5)

# The official SDKs, new and old, at a gateway before each of the vendors; writes docs/matrix.md.
sdk: setup-dev .sdk/new .sdk/old
	.venv/bin/python -m tests.sdk

# Two majors of one SDK cannot share an environment.
SDKS_new := openai==3.52.0 anthropic==2.11.0 google-genai==3.4.0
SDKS_old := openai==1.109.1 anthropic==0.125.0

.sdk/%: Makefile
	echo "Installing $(SDKS_$*) into $@ ..."
	.venv/bin/python -m venv $@
	$@/bin/python -m pip --disable-pip-version-check --no-input -qq install \
	  --root-user-action=ignore $(SDKS_$*)
	touch $@

# Coding agents at a gateway before each of the vendors: make agents ONLY="codex claude"
agents: setup-dev
	if command -v npm >/dev/null; then \
	  mkdir -p .agents && cd .agents && \
	  npm install --silent --no-audit --no-fund --no-update-notifier \
	    @anthropic-ai/claude-code @openai/codex @google/gemini-cli opencode-ai && cd .. && \
	  exec .venv/bin/python -m tests.agents $(ONLY); \
	else echo "There is no npm here: the coding agents are skipped."; fi

# Coverage-guided fuzzing of the codecs, for so many minutes of CPU time: make fuzz FUZZ_MINUTES=10
ATHERIS := .fuzz/atheris
fuzz: setup-dev
	test -d $(ATHERIS)/atheris || $(PIP) --target $(ATHERIS) atheris==3.0.0 || { \
	  echo "atheris cannot be had here: it comes for Python 3.11 to 3.13 on Linux." >&2; exit 1; }
	PYTHONPATH=$(ATHERIS) nice .venv/bin/python -m tests.fuzz $(or $(FUZZ_MINUTES),10)

# For maintainers: needs `uv` on the PATH.
lock:
	uv pip compile -q --no-header --no-annotate --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  requirements.in -o requirements.txt
	uv pip compile -q --no-header --no-annotate --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  requirements-dev.in -o requirements-dev.txt
