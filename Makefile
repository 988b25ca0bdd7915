.PHONY: test site matrix-newest lint format lock

UV ?= uv

test:    ## all tests, with lint and types
	$(UV) run --group dev pytest

site:    ## the site of README.md and docs/, in build/site
	$(UV) run --group docs python scripts/site.py

matrix-newest:    ## what fails and what is new with the newest Claude Code; never fails itself
	$(UV) run --group dev python scripts/newest_cli.py

lint:    ## what the conventions tests check, without the rest
	$(UV) run --group dev pytest tests/test_conventions.py

format:
	$(UV) run --group dev ruff format
	$(UV) run --group dev ruff check --fix

lock:    ## newer versions of every dependency, with their hashes
	$(UV) lock --upgrade
