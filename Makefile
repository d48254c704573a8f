# `make test` is everything: on a fresh Debian 12 it installs the parts it needs, pinned, and runs every test.
# The parts stand in .parts/ (or come from Debian's package tool), and stamps there make a second run quick.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
.NOTPARALLEL:

CARGO_DENY := 0.20.2
CARGO_MUTANTS := 27.1.0
CARGO_FUZZ := 0.13.2

VENV := .parts/venv/bin
LOG := .parts/log
export PATH := $(CURDIR)/.parts/cargo/bin:$(PATH):/usr/sbin:/sbin
# One answer for all steps: dependencies are compiled with the features that the tests need, once.
CARGO := cargo
LOCKED := --workspace --locked

# How many tests on real parts run at a time. They mostly wait; with many more, two cores would decide the outcome.
REAL_JOBS ?= 6

##@ Everything

.PHONY: test
test: parts fmt lint rust yaml spelling markdown rules deny real ## Install the parts, run every check and test
	@echo
	@grep -h '^test result' $(LOG)/rust.log
	@tail -n 1 $(LOG)/real.log

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Parts

.PHONY: parts
parts: .parts/apt.stamp .parts/venv.stamp .parts/node.stamp .parts/cargo-deny-$(CARGO_DENY).stamp ## Install what the tests need

.parts/apt.stamp: tools/parts
	tools/parts apt
.parts/venv.stamp: tests/real/requirements.txt | .parts/apt.stamp
	tools/parts venv
.parts/node.stamp: tools/package-lock.json
	tools/parts node
.parts/cargo-deny-$(CARGO_DENY).stamp:
	tools/parts cargo cargo-deny $(CARGO_DENY)
.parts/cargo-mutants-$(CARGO_MUTANTS).stamp:
	tools/parts cargo cargo-mutants $(CARGO_MUTANTS)
.parts/cargo-fuzz-$(CARGO_FUZZ).stamp:
	tools/parts cargo cargo-fuzz $(CARGO_FUZZ)

.PHONY: requirements
requirements: ## Pin tests/real/requirements.txt afresh from requirements.in
	python3 -m venv .parts/pin
	.parts/pin/bin/pip install --quiet pip-tools
	.parts/pin/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	  -o tests/real/requirements.txt tests/real/requirements.in

##@ Checks

.PHONY: fmt
fmt: ## Formatting
	$(CARGO) fmt --all --check

.PHONY: lint
lint: ## Clippy, every warning an error
	$(CARGO) clippy $(LOCKED) --all-targets -- -D warnings

.PHONY: yaml
yaml: ## yamllint
	@if [ -x $(VENV)/yamllint ]; then $(VENV)/yamllint --strict . ; else tools/skip yamllint; fi

.PHONY: spelling
spelling: ## typos
	@if [ -x $(VENV)/typos ]; then $(VENV)/typos; else tools/skip typos; fi

.PHONY: markdown
markdown: ## markdownlint
	@if [ -x tools/node_modules/.bin/markdownlint-cli2 ]; then tools/node_modules/.bin/markdownlint-cli2; else tools/skip markdownlint-cli2; fi

.PHONY: rules
rules: ## promtool and amtool on rules, their tests and example configs
	tools/rules

.PHONY: deny
deny: ## Licences, bans and sources of what is linked
	@if [ -x .parts/cargo/bin/cargo-deny ]; then cargo-deny --log-level error --locked check bans licenses sources; else tools/skip cargo-deny; fi

##@ Tests

.PHONY: rust
rust: ## Tests in Rust
	@mkdir -p $(LOG)
	$(CARGO) build $(LOCKED) --bins --tests
	$(CARGO) test $(LOCKED) 2>&1 | tee $(LOG)/rust.log

.PHONY: real
real: ## Tests on real parts: Temporal, Redis, Prometheus, workers, a network that is cut
	@mkdir -p $(LOG)
	@if [ -x $(VENV)/pytest ]; then $(MAKE) --no-print-directory real-run; else tools/skip pytest | tee $(LOG)/real.log; fi

.PHONY: real-run
real-run:
	$(CARGO) build $(LOCKED) --bins --tests
	$(VENV)/pytest tests/real -n $(REAL_JOBS) 2>&1 | tee $(LOG)/real.log

.PHONY: test-sdks
test-sdks: .parts/venv.stamp ## Temporal workers in Python, TypeScript, Go and Java, each where its toolchain is: a quarter of an hour
	@mkdir -p $(LOG)
	@for sdk in typescript go java; do tools/sdks $$sdk; done
	$(CARGO) build $(LOCKED) --bins --tests
	@if [ -x $(VENV)/pytest ]; then $(VENV)/pytest tests/sdks; else tools/skip pytest; fi

.PHONY: soak
soak: ## A simulated week of a thousand workers, and the slow properties
	WORKER_EXPORTER_WEEK=all PROPTEST_CASES=20000 PROPTEST_MAX_GLOBAL_REJECTS=1000000 $(CARGO) test --release --locked -p verdict

# Without those that take long and look for something else: a whole week, ten thousand workers, random histories.
MUTANT_TESTS = $(patsubst verdict/tests/%.rs,-C=--test=%,$(filter-out %/week.rs %/adversary.rs %/properties.rs,$(wildcard verdict/tests/*.rs)))

.PHONY: mutants
mutants: .parts/cargo-mutants-$(CARGO_MUTANTS).stamp ## Mutation tests of the pure core: hours; MUTANTS='--sharding round-robin --shard 0/12' for a sample
	cargo-mutants mutants --package verdict --profile mutants --jobs 2 $(MUTANTS) -C=--lib $(MUTANT_TESTS)

# No sanitizer: that is what makes it run on stable, and there is no unsafe code in the core for one to look into.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(shell sed -n 's/^name = "\([a-z_]*\)"$$/\1/p' fuzz/Cargo.toml)
.PHONY: fuzz
fuzz: .parts/cargo-fuzz-$(CARGO_FUZZ).stamp ## Every read under a fuzzer, FUZZ_SECONDS each
	cd fuzz && for target in $(FUZZ_TARGETS); do \
	  mkdir -p work/$$target; \
	  cargo-fuzz fuzz run --fuzz-dir . --sanitizer none $$target work/$$target corpus/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1; \
	done

.PHONY: mutants-rules
mutants-rules: .parts/venv.stamp ## Mutation tests of the alerts; ALERT=Name for one
	$(VENV)/python tools/mutants-rules $(ALERT)

.PHONY: measure
measure: ## Detection times over twenty kills and more
	$(CARGO) build $(LOCKED) --bins --tests
	$(VENV)/python tests/real/measure.py

.PHONY: measure-sidecar
measure-sidecar: ## What a sidecar costs: memory, time of an answer, CPU at rest
	$(CARGO) build $(LOCKED) --release --bins
	WORKER_EXPORTER_BINARY=target/release/worker-exporter $(VENV)/python tests/real/measure_sidecar.py

##@ Writing

.PHONY: docs
docs: ## Rewrite the reference pages from the tables in the code
	UPDATE_DOCS=1 $(CARGO) test $(LOCKED)

.PHONY: dashboards
dashboards: ## Rewrite dashboards/ from tools/dashboards
	python3 tools/dashboards

.PHONY: previews
previews: ## Draw the pictures of the dashboards anew, from twenty minutes of real parts
	$(CARGO) build $(LOCKED) --bins --tests
	$(VENV)/python tools/previews

.PHONY: clean
clean: ## Remove the installed parts (cargo clean removes the build)
	rm -rf .parts tools/node_modules
