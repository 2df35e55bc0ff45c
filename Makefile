# Builds, tests and installs trimtab. `make help` lists what there is.
#
# Needed beforehand: a Rust toolchain, a C and C++ compiler, Go, Python 3 and make. What else the tests use
# is installed by `make setup`, which `make test` and `make lint` call. Everything built goes below
# target/ (or CARGO_TARGET_DIR) and build/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
# One step at a time: cargo, go and the compilers use all cores by themselves.
.NOTPARALLEL:

# The version is written once, in Cargo.toml.
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml | head -n 1)
SOVERSION := $(firstword $(subst ., ,$(VERSION)))

HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')

ROOT := $(CURDIR)
BUILD := $(ROOT)/build
export CARGO_TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
RELEASE := $(CARGO_TARGET_DIR)/release

CARGO ?= cargo
GO ?= go
PYTHON ?= python3
export CC CXX

PREFIX ?= /usr/local
DESTDIR ?=
# Relative to PREFIX; a distribution sets lib/x86_64-linux-gnu or lib64.
LIBDIR ?= lib

WARNINGS := -Wall -Wextra -Werror -pedantic
# What the static archive needs beside the compiler's own libraries, as rustc prints it for this target.
STATIC_LIBS := -lutil -lrt -lpthread -lm -ldl

# Packages of their own beside the library's, and where the two that depend on it are built. It must not be
# where the library is built: cargo gives a cdylib's files the same names whatever its features are, so the
# dependent's variant would replace the library's, and cargo would go on to think that fresh.
MANIFESTS := packaging/header/Cargo.toml bindings/python/Cargo.toml fuzz/Cargo.toml benches/pingora/Cargo.toml
GO_MODULES = $(patsubst %/go.mod,%,$(wildcard bindings/go/go.mod examples/go/go.mod benches/*/go.mod \
	tests/*/go/go.mod))
PYTHON_TARGET := $(CARGO_TARGET_DIR)/python
FUZZ_TARGET := $(CARGO_TARGET_DIR)/fuzz

# The tools that `make setup` installs with pip.
TOOLS := $(BUILD)/tools/bin

# Runs the targets in $(1) one after the other with their names and times, and stops at the first that fails.
define run_steps
@passed=0; \
for step in $(1); do \
	printf '\n==> %s\n' "$$step"; \
	start=$$SECONDS; \
	if ! $(MAKE) "$$step"; then \
		printf '\nFAILED: %s (again with: make %s)\n' "$$step" "$$step" >&2; \
		exit 1; \
	fi; \
	printf '<== %s: %d s\n' "$$step" "$$((SECONDS - start))"; \
	passed=$$((passed + 1)); \
done; \
printf '\n%s: %d passed, 0 failed\n' $@ "$$passed"
endef

.PHONY: help
help: ## List the targets
	@echo "trimtab $(VERSION)"
	@sed -nE 's/^([a-z][a-z-]*):.*## (.*)$$/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '  %-15s %s\n' "$$name" "$$text"; \
	done

# --- build ---------------------------------------------------------------------------------------------

.PHONY: build
build: ## Build the release library and the command
	$(CARGO) build --release --locked

.PHONY: header
header: ## Write include/trimtab.h from the sources
	$(CARGO) run --quiet --locked --manifest-path packaging/header/Cargo.toml -- . include/trimtab.h

.PHONY: demo
demo: ## Stop and drain backends under load and count what is lost (DEMO='--help' lists options)
	$(CARGO) build --release --locked --bin trimtab
	@$(RELEASE)/trimtab demo $(DEMO)

.PHONY: install
# As root there is often no cargo: then what was built before is installed.
install: $(if $(shell command -v $(CARGO)),build) ## Install below PREFIX (DESTDIR, LIBDIR; default /usr/local)
	@RELEASE="$(RELEASE)" VERSION="$(VERSION)" SOVERSION="$(SOVERSION)" STATIC_LIBS="$(STATIC_LIBS)" \
		DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)" packaging/install.sh

.PHONY: clean
clean: ## Remove everything built
	$(CARGO) clean
	rm -rf $(BUILD)

# --- what the tests need -------------------------------------------------------------------------------

.PHONY: setup
setup: ## Install what the tests and checks need (Debian packages, Python tools)
	@PYTHON="$(PYTHON)" packaging/setup.sh $(BUILD)/tools

# --- test ----------------------------------------------------------------------------------------------

TEST_STEPS := test-rust test-header test-loom test-c test-tsan test-abi test-python test-go test-redis \
	test-examples test-install test-bench test-fuzz

.PHONY: test
test: setup ## Run every test
	$(call run_steps,$(TEST_STEPS))

.PHONY: test-rust
# What is not on by default, the simulator and a hook for tests, only adds to the rest: nothing is tested with the default alone,
# which clippy sees, and which is what the tests of the other languages run.
test-rust: ## Unit, property and integration tests, with all features and with none
	$(CARGO) test --locked --all-features
	$(CARGO) test --locked --no-default-features --lib --tests

.PHONY: test-header
test-header: ## Compare include/trimtab.h with fresh output
	$(CARGO) run --quiet --locked --manifest-path packaging/header/Cargo.toml -- --check . include/trimtab.h

.PHONY: test-loom
# Everything, dependencies too, is compiled otherwise under this flag: hence a target folder of its own. The
# model checker wants optimised code, and nobody waits for the last tenth of it.
LOOM_ENV := RUSTFLAGS="--cfg loom" CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
test-loom: ## Explore the interleavings of what threads share
	@mkdir -p $(BUILD)
	$(LOOM_ENV) timeout 900 env LOOM_MAX_PREEMPTIONS=$${LOOM_MAX_PREEMPTIONS:-3} \
		$(CARGO) test --locked --release --lib \
		--no-default-features --target-dir $(CARGO_TARGET_DIR)/loom loom | tee $(BUILD)/loom.log
	@grep -qE '^test result: ok\. [1-9]' $(BUILD)/loom.log || { echo "no loom test ran" >&2; exit 1; }

.PHONY: hook
# The library as the tests of the C boundary want it: with a function that panics when asked to.
hook:
	$(CARGO) build --locked --lib --features test-hook
	@mkdir -p $(BUILD)/hook
	@cp $(CARGO_TARGET_DIR)/debug/libtrimtab.a $(CARGO_TARGET_DIR)/debug/libtrimtab.so $(BUILD)/hook/
	@ln -sf libtrimtab.so $(BUILD)/hook/libtrimtab.so.$(SOVERSION)

.PHONY: test-c
test-c: build hook ## C and C++ tests on the header and the library
	$(MAKE) -C tests/c ROOT=$(ROOT) BUILD=$(BUILD)/c LIB_DIR=$(RELEASE) HOOK_LIB_DIR=$(BUILD)/hook \
		STATIC_LIBS="$(STATIC_LIBS)"

# Stable will do, since nothing of this is shipped. With --target the flags keep off build scripts and macros.
# std is not built anew; LTO would only cost time.
TSAN_TARGET := $(CARGO_TARGET_DIR)/tsan
TSAN_ENV := RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" \
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=1

.PHONY: test-tsan
test-tsan: ## A server under load from C, under ThreadSanitizer
	$(TSAN_ENV) $(CARGO) rustc --locked --release --lib --crate-type staticlib --target $(HOST) \
		--target-dir $(TSAN_TARGET) --no-default-features --features capi,proxy
	$(MAKE) -C tests/c ROOT=$(ROOT) BUILD=$(BUILD)/c TSAN_LIB_DIR=$(TSAN_TARGET)/$(HOST)/release \
		STATIC_LIBS="$(STATIC_LIBS)" tsan

.PHONY: abi-library
abi-library:
	$(CARGO) build --locked --profile abi --lib

.PHONY: test-abi
test-abi: abi-library ## Compare the ABI with the recorded one, and see that the comparison can fail
	packaging/abi/check.sh $(CARGO_TARGET_DIR)/abi/libtrimtab.so
	packaging/abi/test.sh $(CARGO_TARGET_DIR)/abi/libtrimtab.so

.PHONY: abi-record
abi-record: setup abi-library ## Record the ABI; other than additions only with ABI_REVIEWED=1
	ABI_REVIEWED=$(ABI_REVIEWED) packaging/abi/record.sh $(CARGO_TARGET_DIR)/abi/libtrimtab.so

.PHONY: test-python
test-python: ## Python tests, types and examples, on a wheel in a fresh virtualenv
	PYTHON="$(PYTHON)" BUILD_DIR=$(BUILD) CARGO_TARGET_DIR=$(PYTHON_TARGET) bindings/python/test.sh

.PHONY: test-go
test-go: build ## Go tests under the race detector, and the Go examples
	TRIMTAB_ARCHIVE=$(RELEASE)/libtrimtab.a bindings/go/test.sh

.PHONY: test-redis
test-redis: setup build ## redis-py, with and without hiredis, and go-redis, as they are, with the command as their server
	cd tests/redis_clients/python && TRIMTAB=$(RELEASE)/trimtab $(TOOLS)/python -B -m pytest -q -p no:cacheprovider
	cd tests/redis_clients/python && WITHOUT_HIREDIS=1 TRIMTAB=$(RELEASE)/trimtab \
		$(TOOLS)/python -B -m pytest -q -p no:cacheprovider
	cd tests/redis_clients/go && GOTOOLCHAIN=local TRIMTAB=$(RELEASE)/trimtab $(GO) test -count 1 ./...

.PHONY: stage
stage: build
	@rm -rf $(BUILD)/stage
	@$(MAKE) install PREFIX=$(BUILD)/stage DESTDIR= LIBDIR=lib >/dev/null

.PHONY: test-examples
test-examples: stage ## Build and run the examples in C and C++, against an installed trimtab
	@STAGE=$(BUILD)/stage BUILD=$(BUILD)/examples WARNINGS="$(WARNINGS)" packaging/run-examples.sh

.PHONY: test-install
test-install: build ## Install, and build C, C++ and CMake programs against it
	@WARNINGS="$(WARNINGS)" VERSION=$(VERSION) SOVERSION=$(SOVERSION) tests/install/run.sh

# Whether they run is what is asked, not how fast: without what makes them fast they are built in a third of the time. Built elsewhere,
# so that the command there stays the release.
BENCH_QUICKLY := CARGO_PROFILE_BENCH_LTO=off CARGO_PROFILE_BENCH_CODEGEN_UNITS=16

.PHONY: test-bench
test-bench: build ## Run each benchmark once
	$(BENCH_QUICKLY) $(CARGO) bench --locked --bench '*' --target-dir $(CARGO_TARGET_DIR)/bench -- --test
	TRIMTAB_ARCHIVE=$(RELEASE)/libtrimtab.a benches/nohop/run.sh --smoke
	TRIMTAB=$(RELEASE)/trimtab $(PYTHON) benches/peers --smoke
	PYTHONPATH=benches/peers TRIMTAB=$(RELEASE)/trimtab $(PYTHON) benches/stores --smoke
	PYTHONPATH=benches/peers:benches/stores TRIMTAB=$(RELEASE)/trimtab $(PYTHON) benches/failover --smoke

# Coverage for libFuzzer, as `cargo fuzz run -s none` sets it; so that neither cargo-fuzz nor a nightly
# toolchain is needed. With both at hand, `cargo +nightly fuzz run NAME` adds AddressSanitizer.
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1
FUZZ_TARGETS = $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs)))
FUZZ_SECONDS ?= 60

.PHONY: fuzz-targets
fuzz-targets:
	@[[ -n "$(FUZZ_TARGETS)" ]] || { echo "fuzz/fuzz_targets is empty" >&2; exit 1; }
	RUSTFLAGS="$(FUZZ_FLAGS)" $(CARGO) build --locked --release --manifest-path fuzz/Cargo.toml \
		--target $(HOST) --target-dir $(FUZZ_TARGET)

# $(1): the flags that bound a run. As many at once as there are cores; the first that fails ends it.
define run_fuzzers
@printf '%s\n' $(FUZZ_TARGETS) | xargs -P $$(nproc) -I NAME bash -c '\
	mkdir -p fuzz/corpus/NAME fuzz/artifacts/NAME; \
	$(FUZZ_TARGET)/$(HOST)/release/NAME $(1) \
		-artifact_prefix=fuzz/artifacts/NAME/ fuzz/corpus/NAME >$(BUILD)/fuzz-NAME.log 2>&1 || \
		{ tail -40 $(BUILD)/fuzz-NAME.log >&2; echo "fuzz: NAME failed" >&2; exit 255; }; \
	echo "fuzz: NAME: $$(tail -1 $(BUILD)/fuzz-NAME.log)"'
endef

.PHONY: test-fuzz
test-fuzz: fuzz-targets ## A short run of each fuzz target
	@mkdir -p $(BUILD)
	$(call run_fuzzers,-seed=1 -runs=5000 -max_total_time=20)

.PHONY: fuzz
fuzz: fuzz-targets ## Run each fuzz target for FUZZ_SECONDS (60)
	@mkdir -p $(BUILD)
	$(call run_fuzzers,-max_total_time=$(FUZZ_SECONDS))

# A multiple of what `make test` runs.
PROPTEST_CASES ?= 20000

.PHONY: sim
sim: ## The property tests with many more random cases, and more simulated worlds (PROPTEST_CASES, SEEDS)
	PROPTEST_CASES=$(PROPTEST_CASES) $(CARGO) test --locked --release --all-features

.PHONY: crash
crash: ## Kill processes that write to a log, a store and a server 2,000 times, and play 4,096 simulated worlds (ROUNDS, SEEDS)
	TRIMTAB_WAL_ROUNDS=$${ROUNDS:-2000} $(CARGO) test --locked --release --all-features --test wal kill
	TRIMTAB_STORE_ROUNDS=$${ROUNDS:-2000} $(CARGO) test --locked --release --all-features --test store crash
	TRIMTAB_SERVER_ROUNDS=$${ROUNDS:-2000} $(CARGO) test --locked --release --all-features --test redis_clients crash
	$(MAKE) crash-bindings
	SEEDS=$${SEEDS:-4096} $(CARGO) test --locked --release --all-features --test sim_wal --test sim_store --test sim_cluster \
		--test sim_split

.PHONY: crash-bindings
# A tenth as often: from Python and Go, and with clients of Redis in both.
crash-bindings: export TRIMTAB_STORE_ROUNDS = $(shell echo $$(($${ROUNDS:-2000} / 10)))
crash-bindings: export TRIMTAB_SERVER_ROUNDS = $(TRIMTAB_STORE_ROUNDS)
crash-bindings: setup build
	$(MAKE) bench-python-setup
	$(BUILD)/bench-python/bin/pip install --quiet -r bindings/python/requirements-dev.txt
	cd bindings/python && $(BUILD)/bench-python/bin/python -B -m pytest -q -p no:cacheprovider tests/test_store_process.py -k killed
	@TRIMTAB_ARCHIVE=$(RELEASE)/libtrimtab.a bindings/go/build-archive.sh
	cd bindings/go && GOTOOLCHAIN=local CGO_ENABLED=1 $(GO) test -count 1 -timeout 0 -run OutlivesAKill .
	cd tests/redis_clients/python && TRIMTAB=$(RELEASE)/trimtab $(TOOLS)/python -B -m pytest -q -p no:cacheprovider -k after_a_kill
	cd tests/redis_clients/go && GOTOOLCHAIN=local TRIMTAB=$(RELEASE)/trimtab $(GO) test -count 1 -timeout 0 -run GoesOnAfterAKill ./...

.PHONY: bench
bench: setup build ## Run the benchmarks: Rust, pingora, C, Python, Go, the client without a hop
	$(CARGO) bench --locked --bench '*'
	$(CARGO) run --locked --release --manifest-path benches/pingora/Cargo.toml \
		--target-dir $(CARGO_TARGET_DIR)/pingora -- --bench
	$(MAKE) -C tests/c ROOT=$(ROOT) BUILD=$(BUILD)/c LIB_DIR=$(RELEASE) STATIC_LIBS="$(STATIC_LIBS)" bench
	$(MAKE) bench-python-setup
	$(BUILD)/bench-python/bin/python bindings/python/benches/pick.py
	$(BUILD)/bench-python/bin/python bindings/python/benches/store.py
	@TRIMTAB_ARCHIVE=$(RELEASE)/libtrimtab.a bindings/go/build-archive.sh
	bindings/go/bench.sh
	TRIMTAB_ARCHIVE=$(RELEASE)/libtrimtab.a benches/nohop/run.sh

.PHONY: bench-checks
bench-checks: ## What 10,000 checks cost one worker, and how evenly they come
	$(CARGO) bench --locked --bench checks

.PHONY: bench-python-setup
bench-python-setup:
	@rm -rf $(BUILD)/bench-python && $(PYTHON) -m venv $(BUILD)/bench-python
	CARGO_TARGET_DIR=$(PYTHON_TARGET) $(BUILD)/bench-python/bin/pip install --quiet ./bindings/python

.PHONY: bench-store
bench-store: build ## What the store costs in the process: from C, Python and Go; the index, log, start and snapshots
	$(MAKE) -C tests/c ROOT=$(ROOT) BUILD=$(BUILD)/c LIB_DIR=$(RELEASE) STATIC_LIBS="$(STATIC_LIBS)" bench-store
	$(CARGO) bench --locked --bench store --bench store_disk
	$(MAKE) bench-python-setup
	$(BUILD)/bench-python/bin/python bindings/python/benches/store.py
	@TRIMTAB_ARCHIVE=$(RELEASE)/libtrimtab.a bindings/go/build-archive.sh
	bindings/go/bench.sh Store

.PHONY: bench-stores
bench-stores: setup build ## Compare the store with redis-server and etcd on loopback (STORES='--help' lists options)
	PYTHONPATH=benches/peers TRIMTAB=$(RELEASE)/trimtab $(PYTHON) benches/stores $(STORES)

.PHONY: bench-failover
bench-failover: build ## How long three nodes are without a primary, and what that costs clients (FAILOVER='--help')
	PYTHONPATH=benches/peers:benches/stores TRIMTAB=$(RELEASE)/trimtab $(PYTHON) benches/failover $(FAILOVER)

.PHONY: bench-peers
bench-peers: setup build ## Compare the command with HAProxy and nginx on loopback (PEERS='--help' lists options)
	TRIMTAB=$(RELEASE)/trimtab $(PYTHON) benches/peers $(PEERS)

# --- lint ----------------------------------------------------------------------------------------------

LINT_STEPS := lint-format lint-rust lint-docs lint-go lint-python lint-shell

.PHONY: lint
lint: setup ## Check format, warnings, documentation and types
	$(call run_steps,$(LINT_STEPS))

.PHONY: lint-format
lint-format: ## Formatting of Rust and Go
	$(CARGO) fmt --check
	@for manifest in $(MANIFESTS); do \
		echo "cargo fmt --check --manifest-path $$manifest"; \
		$(CARGO) fmt --check --manifest-path "$$manifest"; \
	done
	@unformatted=$$(gofmt -l $(GO_MODULES)); \
	if [[ -n "$$unformatted" ]]; then printf 'not as gofmt writes it:\n%s\n' "$$unformatted" >&2; exit 1; fi

.PHONY: lint-rust
lint-rust: ## clippy with warnings as errors
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --all-targets --all-features -- -D warnings
	$(CARGO) clippy --locked --all-targets --no-default-features -- -D warnings
	$(CARGO) clippy --locked --all-targets --manifest-path packaging/header/Cargo.toml -- -D warnings
	$(CARGO) clippy --locked --all-targets --manifest-path bindings/python/Cargo.toml \
		--target-dir $(PYTHON_TARGET) -- -D warnings
	$(CARGO) clippy --locked --all-targets --manifest-path fuzz/Cargo.toml --target-dir $(FUZZ_TARGET) -- -D warnings

.PHONY: lint-docs
lint-docs: ## rustdoc with warnings as errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --all-features

.PHONY: lint-go
lint-go: build ## go vet
	@TRIMTAB_ARCHIVE=$(RELEASE)/libtrimtab.a bindings/go/build-archive.sh
	@for module in $(GO_MODULES); do \
		echo "go vet: $$module"; \
		(cd "$$module" && GOTOOLCHAIN=local CGO_ENABLED=1 $(GO) vet ./...); \
	done

PYTHON_SOURCES := bindings/python examples/python packaging benches/peers benches/stores benches/failover tests/redis_clients

.PHONY: lint-python
lint-python: ## ruff, and mypy --strict on the package, its stubs, its tests and the examples
	$(TOOLS)/ruff check --no-cache --config packaging/ruff.toml $(PYTHON_SOURCES)
	cd bindings/python && $(TOOLS)/mypy --strict --cache-dir=$(BUILD)/mypy .
	cd examples/python && MYPYPATH=$(ROOT)/bindings/python/python $(TOOLS)/mypy --strict --cache-dir=$(BUILD)/mypy .
	$(TOOLS)/mypy --strict --cache-dir=$(BUILD)/mypy packaging
	$(TOOLS)/mypy --strict --cache-dir=$(BUILD)/mypy benches/peers
	MYPYPATH=tests/redis_clients/python $(TOOLS)/mypy --strict --cache-dir=$(BUILD)/mypy tests/redis_clients/python
	MYPYPATH=benches/peers $(TOOLS)/mypy --strict --cache-dir=$(BUILD)/mypy benches/stores
	MYPYPATH=benches/peers:benches/stores $(TOOLS)/mypy --strict --cache-dir=$(BUILD)/mypy benches/failover

.PHONY: lint-shell
lint-shell: ## shellcheck
	@find .ci packaging tests bindings benches -type f \( -name '*.sh' -o -path .ci/run \) -print0 | xargs -0 shellcheck -x

.PHONY: fmt
fmt: ## Format Rust and Go
	$(CARGO) fmt
	@for manifest in $(MANIFESTS); do $(CARGO) fmt --manifest-path "$$manifest"; done
	gofmt -w $(GO_MODULES)
