.PHONY: test lint format lock

UV ?= uv

test:    ## all tests, with lint and types
	$(UV) run --group dev pytest

lint:    ## what the conventions tests check, without the rest
	$(UV) run --group dev pytest tests/test_conventions.py

format:
	$(UV) run --group dev ruff format
	$(UV) run --group dev ruff check --fix

lock:    ## newer versions of every dependency, with their hashes
	$(UV) lock --upgrade
