.PHONY: test site load soak bench bench-micro fuzz mutants matrix-newest lint format prices lock audit sbom

UV ?= uv

test:    ## all tests, with lint and types
	$(UV) run --group dev pytest

site:    ## the site of README.md and docs/, in build/site
	$(UV) run --group docs python scripts/site.py

matrix-newest:    ## what fails and what is new with the newest Claude Code; never fails itself
	$(UV) run --group dev python scripts/newest_cli.py

load:    ## a minute of each load, with its figures held against what is promised: on a machine with nothing else to do
	LOAD_SECONDS=60 $(UV) run --group dev pytest tests/load/test_streams.py

soak:    ## 20,000 requests of every kind, and what is left of them
	SOAK=20000 $(UV) run --group dev pytest tests/load/test_soak.py

bench:   ## what the proxy costs beside a bare one and beside others that are installed, into docs/performance.md
	$(UV) run --group dev python benchmarks/run.py $(if $(ROUNDS),--rounds $(ROUNDS))

bench-micro: ## framing, decoders, encoder, conversion, routing: each on its own
	$(UV) run --group bench pytest -o pythonpath=benchmarks benchmarks/micro --benchmark-only --benchmark-disable-gc

fuzz:    ## every fuzz target for SECONDS=60 each, or TARGETS="framing visitors"
	$(UV) run --group dev python tests/fuzz/run.py --seconds $(or $(SECONDS),60) $(TARGETS)

mutants:    ## are mistakes noticed in what keeps others out and holds retries back? Takes about half an hour
	$(UV) run --group dev python scripts/mutants.py

lint:    ## what the conventions tests check, without the rest
	$(UV) run --group dev pytest tests/test_conventions.py

format:
	$(UV) run --group dev ruff format
	$(UV) run --group dev ruff check --fix

prices:    ## src/claude_code_proxy/prices.json, of the genai-prices that is locked: `make lock` brings a newer one
	$(UV) run --group dev python scripts/prices.py

lock:    ## newer versions of every dependency, with their hashes
	$(UV) lock --upgrade
	$(MAKE) prices

audit:    ## known weaknesses of what is locked; asks osv.dev
	$(UV) audit --locked --preview-features audit-command

sbom:    ## dist/sbom.json: what an installation with every extra holds (CycloneDX 1.5)
	mkdir -p dist
	$(UV) export -q --locked --no-dev --all-extras --format cyclonedx1.5 --preview-features sbom-export -o dist/sbom.json
