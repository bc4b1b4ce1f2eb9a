# The commands of the project. Each brings what it needs: Node 24 comes with `npm ci`, by the lock file.
#
#   make demo    the whole path for real: a push, two clusters at once, a test that fails, the link to its line
#   make test    all tests; its last line is `N passed, N failed, N skipped`
#   make check   all checks, every failure of each; make fix repairs what can be repaired
#   make lab     the Docker daemon and the images that tests use on a machine without Docker (root, Debian)
#   make bench   the benchmarks; make soak: the long forms of the tests
#
# ARGS goes to the script behind a target: make test ARGS=with-bare

# Where the lock file brings no Node (macOS), the machine's own must do; asked for after `npm ci`, hence `=`.
NODE = $(shell [ -x node_modules/.bin/node ] && echo node_modules/.bin/node || echo node) --disable-warning=ExperimentalWarning
PACKAGES = node_modules/.package-lock.json

.PHONY: demo test soak check fix lab bench
.DEFAULT_GOAL = test

demo: $(PACKAGES)
	@$(NODE) scripts/demo.ts $(ARGS)

test: $(PACKAGES)
	@$(NODE) test/run.ts $(ARGS)

soak: $(PACKAGES)
	@SOAK=1 $(NODE) test/run.ts $(ARGS)

check: $(PACKAGES)
	@$(NODE) scripts/check.ts $(ARGS)

fix: $(PACKAGES)
	@$(NODE) scripts/fix.ts $(ARGS)

lab: $(PACKAGES)
	@$(NODE) lab/main.ts build $(ARGS)

bench: $(PACKAGES)
	@[ -f bench/run.ts ] || { echo "there are no benchmarks yet: bench/run.ts is missing" >&2; exit 1; }
	@$(NODE) bench/run.ts $(ARGS)

# npm writes this file itself, and last: an `npm ci` that was stopped is made again.
$(PACKAGES): package-lock.json
	@echo "installing the packages of package-lock.json" >&2
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@
