# SPDX-License-Identifier: BSD-3-Clause
#
# The commands people type; meson does the work.  Each target works on a fresh
# Debian 12: what is missing is installed when that is allowed, and named in one
# line when it is not.
BUILD ?= build
MESON_FLAGS ?=
TESTFLAGS ?=

all: deps-build $(BUILD)/build.ninja
	@meson compile -C $(BUILD)

$(BUILD)/build.ninja:
	@meson setup $(MESON_FLAGS) $(BUILD) .

# Build, run the first example, then the kernel's own selftests, step by step.
demo: deps-test all
	@tools/demo $(BUILD)

# Every test but the guests; ends with the line "N passed, N failed".
test: deps-test all
	@tools/run-tests $(BUILD) $(TESTFLAGS)

# Stock Linux kernels under a QEMU with our processor inside; builds QEMU first,
# which is kept outside of this tree.
test-guest: deps-guest all
	@tools/run-tests $(BUILD) --suite guest $(TESTFLAGS)

# Every bench; prints tables, writes $(BUILD)/bench.json.
bench: all
	@tools/bench $(BUILD)

install: all
	meson install -C $(BUILD)

clean:
	rm -rf $(BUILD)

deps-build:
	@tools/deps ensure build

deps-test:
	@tools/deps ensure build test

deps-guest:
	@tools/deps ensure build test guest

# What is missing for all of it, CI included.  Changes nothing.
check-deps:
	@missing=$$(tools/deps missing build test guest ci); \
	if [ -n "$$missing" ]; then \
		echo "missing:" $$missing; exit 1; \
	else \
		echo "everything needed is installed"; \
	fi

.NOTPARALLEL:
.PHONY: all demo test test-guest bench install clean deps-build deps-test deps-guest check-deps
