# `make help` lists the targets. Everything runs from a fresh clone on Debian or Ubuntu with Rust.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# Where the real registries and clients are installed that Debian does not have.
export TIDEGATE_PARTS ?= $(HOME)/.cache/tidegate/parts
export PATH := $(TIDEGATE_PARTS)/bin:$(PATH)

CARGO ?= cargo

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 18

.PHONY: parts
parts: ## install what demo and test need: registries, clients, nginx; Go if it is missing
	tests/parts.sh

# The dev profile on purpose: the link is slowed to under 1 MB/s, so speed changes nothing, while the release profile links for minutes.
.PHONY: demo
demo: parts ## see a push fail without Tidegate and pass with it; under three minutes
	$(CARGO) run --locked --quiet -- demo

.PHONY: test
test: parts ## every test, with real registries and clients, and a covering part of the matrix
	$(CARGO) test --workspace --locked

.PHONY: secrets
secrets: parts ## plant a secret wherever one can stand, and search all that is said; core dumps and memory as well
	$(CARGO) test --locked --test real -- secrets canaries dumps

.PHONY: matrix
matrix: parts ## the whole matrix, written into docs/matrix.md: every client, registry, path and renew, with and without Tidegate
	$(CARGO) test --locked --test matrix -- --full --write docs/matrix.md

.PHONY: mutants
mutants: ## change the code that decides access bit by bit and see that a test notices each change; about an hour
	tests/mutants.sh $(FILES)

# The same checks run on stable, over all seeds and mutations of them, in `make test`.
.PHONY: fuzz
fuzz: ## fuzz every parser of foreign bytes for a minute each (SECONDS_EACH=60); wants nightly, installs cargo-fuzz
	fuzz/run $(TARGETS)

.PHONY: abuse
abuse: parts ## attack a real Tidegate in every known way, see each attack end by a limit; written into docs/abuse.md (builds a release)
	$(CARGO) build --release --locked
	$(CARGO) test --locked --test abuse -- --full --program $$($(CARGO) metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/tidegate --write docs/abuse.md

.PHONY: conformance
conformance: parts ## the OCI conformance suite at registries alone and through Tidegate, and h2spec, into docs/conformance.md
	$(CARGO) test --locked --test conformance -- --full --write docs/conformance.md

.PHONY: faults
faults: parts ## break registries, authorities, lines, clocks and Tidegate itself, and write what came of it into docs/faults.md; about 8 minutes
	$(CARGO) test --locked --test faults -- --full --write docs/faults.md

.PHONY: lint
lint: ## fmt, clippy, doc; deny where cargo-deny is installed
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --offline check bans licenses sources; \
	else echo "cargo-deny is not installed: 'make deny' installs it and runs it"; fi

# Load and origin are optimised as well: the proxies wait for what is slow in them, and sleeping and waking cost CPU.
.PHONY: bench
bench: release ## what it costs, beside nginx and HAProxy; ARGS='--quick --only pull' or ARGS=memory, growth, relay, tokens, beside; see docs/performance.md
	$(CARGO) bench --locked --profile load --bench bench -- --json target/bench/last.json $(ARGS)

.PHONY: deny
deny: ## check crates, licenses and sources; builds cargo-deny if it is missing (5 to 10 minutes)
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked --version '^0.20' cargo-deny
	$(CARGO) deny check bans licenses sources

.PHONY: build
build: ## target/release/tidegate, in three minutes
	$(CARGO) build --release --locked

.PHONY: release
release: ## target/dist/tidegate as it is shipped: the same, built a second time for what it was seen doing; 20 minutes, once
	deploy/release.sh

.PHONY: image
image: ## the container image `tidegate`
	docker build -f deploy/Dockerfile -t tidegate .

.PHONY: clean
clean: ## remove build results
	$(CARGO) clean
