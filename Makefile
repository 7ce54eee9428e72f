# The short way in: each target installs what is missing and builds with CMake into build/.
#   make run        encode and decode a minute of speech        make test    every test
#   make install    [PREFIX=/usr/local] [DESTDIR=]               make bench   how fast it is here
#   make bench LYRA=FOLDER   beside Lyra v2, too, whose networks are in FOLDER
#   make bench-families      the published families beside PyTorch, which must be installed
PREFIX ?= /usr/local
JOBS   ?= $(shell nproc)
speech := tests/data/speech.flac
tokens := build/demo/speech.tess
sound  := build/demo/speech.wav

.PHONY: all packages run test bench bench-families install clean
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

all: packages
	cmake -S . -B build
	cmake --build build --parallel $(JOBS)

packages:
	@.ci/packages

run: all
	@mkdir -p build/demo
	build/bin/tessera encode -f $(speech) $(tokens)
	build/bin/tessera decode -f $(tokens) $(sound)
	@echo
	@echo "$(speech) became tokens, and the tokens sound again:"
	@wc -c $(speech) $(tokens) $(sound) | sed '$$d'
	@echo "Listen to $(CURDIR)/$(sound)"

test: all
	ctest --test-dir build --output-on-failure --no-tests=error --parallel $(JOBS) --label-exclude nightly

bench: all
	python3 -B tests/bench_peers.py build $(if $(LYRA),--lyra $(LYRA))

bench-families: all
	python3 -B tests/families/make_models.py build/families
	python3 -B tests/bench_families.py build build/families

install: all
	cmake --install build --prefix $(PREFIX)

clean:
	cmake -E rm -rf build
