# weft. Meson builds (meson.build); this file names what one does with the result.
#
#   make run          the main job: the blog site's pages three ways, then a crawl of a whole site
#   make tour         the source texts' programs, one after another; T=NAME runs one
#   make tour-readme  writes examples/README.md from a real run of them
#   make test         everything that has to hold, in every configuration (tools/check)
#   make bench        the benchmarks, beside the peers found on this machine
#   make stress       the long and heavy tests
#   make fuzz         the fuzzers, a minute each; FUZZ_SECONDS=N
#   make mutants      puts known bugs in, one at a time: each must be caught by a test
#   make format       clang-format over the C sources
#   make install      under /usr/local, or PREFIX=DIR
#   make clean        removes the build folders
#
# On Debian 12, as root or with sudo, each installs what it lacks first (tools/deps).

BUILD = build
PREFIX = /usr/local

all: deps-build
	@tools/build $(BUILD)

run: deps-build
	@tools/build $(BUILD) -- programs
	@tools/run $(BUILD)

tour: deps-build
	@tools/build $(BUILD) -- programs
	@tools/tour $(BUILD) $(T)

tour-readme: deps-build
	@tools/build $(BUILD) -- programs
	@tools/tour --readme $(BUILD)

test: deps-test
	@tools/check

bench: deps-bench
	@tools/build $(BUILD) -- all
	@tools/bench $(BUILD)

stress fuzz mutants: deps-test
	@tools/$@

format:
	@tools/format

install: deps-build
	@tools/build $(BUILD)
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@meson install -C $(BUILD)

clean:
	rm -rf build build-*

deps-build deps-test deps-bench:
	@tools/deps $(@:deps-%=%)

.PHONY: all run tour tour-readme test bench stress fuzz mutants format install clean \
	deps-build deps-test deps-bench
