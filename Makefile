# One word a chore. Everything runs in .venv, which the first word makes.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
PEERS := .venv-peers/bin
PEERS_READY := .venv-peers/.ready

.PHONY: demo test lint fix bench evals fleet peers latency clean

demo: $(READY)
	$(BIN)/semroute demo $(if $(STORE),--store $(STORE)) $(if $(FRAMEWORK),--framework $(FRAMEWORK))

test: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile -m 'not alone'
	$(BIN)/pytest -m alone

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fix: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/semroute bench lookup --entries 10000

# DATA is the folder with the labelled sets, or hf://OWNER/NAME; evals/datasets.py says what they are.
evals: $(READY)
	$(BIN)/python -m evals.report $(if $(DATA),--data "$(DATA)")

# Real Redis shards on this machine: killed, frozen, returned, added. SCENARIO plays one of them only.
fleet: $(READY)
	$(BIN)/python -m evals.fleet $(SCENARIO)

# Makes the environment of the other caches; with DATA it also measures them.
peers: $(READY) $(PEERS_READY)
	$(if $(DATA),$(BIN)/python -m evals.peers --data "$(DATA)")

# How long a lookup takes in those caches and in ours, on one Redis Stack.
latency: $(READY) $(PEERS_READY)
	$(BIN)/python -m evals.peers_latency $(if $(ENTRIES),--entries $(ENTRIES))

clean:
	rm -rf .venv .venv-peers .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build

# torch first and by its version: what asks for torch later finds it there, and where pip is set up for the CPU build
# no other one is fetched.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "semroute needs Python 3.11 or newer; set PYTHON=")'
	@echo "Making .venv: torch and the rest, about 2 GB on disk; this takes a minute or more."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m semroute.testing.redis_stack --fetch
	touch $(READY)

$(PEERS_READY): evals/peers/requirements.txt
	@echo "Making .venv-peers: torch and the other caches, about 2 GB on disk; this takes a minute or more."
	$(PYTHON) -m venv .venv-peers
	$(PEERS)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(PEERS)/pip install --quiet --disable-pip-version-check -r evals/peers/requirements.txt
	$(PEERS)/python evals/peers/redis_stack.py
	touch $(PEERS_READY)
