.PHONY: test matrix-newest fuzz mutants lint format lock

UV ?= uv

test:    ## all tests, with lint and types
	$(UV) run --group dev pytest

matrix-newest:    ## what fails and what is new with the newest Claude Code; never fails itself
	$(UV) run --group dev python scripts/newest_cli.py

fuzz:    ## every fuzz target for SECONDS=60 each, or TARGETS="framing visitors"
	$(UV) run --group dev python tests/fuzz/run.py --seconds $(or $(SECONDS),60) $(TARGETS)

mutants:    ## are mistakes noticed in what keeps others out and holds retries back? Takes about an hour
	$(UV) run --group dev python scripts/mutants.py

lint:    ## what the conventions tests check, without the rest
	$(UV) run --group dev pytest tests/test_conventions.py

format:
	$(UV) run --group dev ruff format
	$(UV) run --group dev ruff check --fix

lock:    ## newer versions of every dependency, with their hashes
	$(UV) lock --upgrade
