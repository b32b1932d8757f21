# Every chore by its name. The targets install what is missing: Debian packages when run as root, else they say what.

CARGO ?= cargo
STATE ?= target/run

# The C compiler and git are for glommio's bundled liburing, Node is for the dashboard. Where there is a Node already, from whomever, it
# does.
BUILD_PACKAGES := gcc libc6-dev git $(if $(shell command -v npm),,nodejs npm)
# What the demonstration asks the parent with.
RUN_PACKAGES := curl
# The real peer that the tests compare with, plugins of its and its dashboard, a C++ compiler for LLVM's fuzzer, the browser that looks at
# the dashboards, what reads from a parent: Prometheus, a shell with curl, Python for a client from PyPI; and what counts instructions.
TEST_PACKAGES := netdata-core netdata-plugins-bash netdata-plugins-python netdata-web g++ chromium prometheus curl python3-venv valgrind
DASHBOARD := src/dashboard

# What counts instructions.
BENCH_PACKAGES := valgrind

# Stages whose instructions 'make test' counts as well, of the programs that it has built anyway; 'make bench-quick' counts all, of
# those that are released.
COUNTED := apply-v1 apply-v2 seal query
TARGET := $(or $(CARGO_TARGET_DIR),target)

# What the parent alone is built without; see Cargo.toml.
ALL := --features mainstem/parquet

.PHONY: run build test check soak bench bench-quick clean

run: tools/.installed-run build
	tools/run-demo $(STATE)

build: tools/.installed-build
	$(CARGO) build --release --workspace

# All tests, in the order in which they fail fastest.
test: tools/.installed-build tools/.installed-test check
	$(CARGO) build --workspace --bins $(ALL)
	npm --prefix $(DASHBOARD) test
	tests/dashboard/run
	tests/dashboard/run netdata
	tools/test $(ALL)
	$(TARGET)/debug/mainstem-bench instructions --same-tools --file bench/instructions-dev.toml $(COUNTED:%=--stage %)
	tests/fuzz/run

check: tools/.installed-build $(DASHBOARD)/node_modules/.package-lock.json
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets $(ALL) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet $(ALL)
	npm --prefix $(DASHBOARD) run check

# What takes long, on a machine without other work: four hours, and 13 GB of disk meanwhile. The report is committed.
# STAGES="crash fuzz" are some of it; tools/soak has the list.
soak: tools/.installed-build tools/.installed-test
	tools/soak docs/reports/soak.md $(STAGES)

# Whether a stage of a sample's way takes more instructions than it did: with valgrind, in two minutes.
bench-quick: tools/.installed-build tools/.installed-bench
	$(CARGO) build --release -p mainstem-bench
	$(CARGO) run --release -p mainstem-bench -- instructions

# mainstem and Netdata in turn.
bench: build tools/.installed-test
	$(CARGO) run --release -p mainstem-bench -- compare
	$(CARGO) run --release -p mainstem-bench -- collector

# The packages that the dashboard is built with, as build.rs installs them.
%/node_modules/.package-lock.json: %/package-lock.json | tools/.installed-build
	npm --prefix $* ci --no-audit --no-fund

clean:
	$(CARGO) clean
	rm -rf tools/.installed-* $(DASHBOARD)/node_modules tests/dashboard/node_modules

# Anew when the lists above have changed.
tools/.installed-build: Makefile
	tools/install $(BUILD_PACKAGES)
	@touch $@

tools/.installed-run: Makefile
	tools/install $(RUN_PACKAGES)
	@touch $@

tools/.installed-bench: Makefile
	tools/install $(BENCH_PACKAGES)
	@touch $@

tools/.installed-test: Makefile
	tools/install $(TEST_PACKAGES)
	@touch $@
