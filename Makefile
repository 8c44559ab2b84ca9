# Every target sets up $(VENV) and builds by itself. The two to know: make demo, make test.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PY = $(BIN)/python
READY = $(VENV)/.wsfast-ready
BUILT = $(VENV)/.wsfast-built
SOURCES := $(wildcard src_c/*.c src_c/*.h) $(shell find wsfast -name '*.pyx' -o -name '*.pxd')
ASAN = $(CURDIR)/build/asan
SANITIZED = WSFAST_SANITIZE=1 LD_PRELOAD=$$(gcc -print-file-name=libasan.so) PYTHONMALLOC=malloc \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	PYTHONSAFEPATH=1 PYTHONPATH=$(ASAN)/lib

.PHONY: demo test quick system asan cycles bench peers scale generator speedups conformance fuzz \
	lint annotate wheel docs clean speedups-judge speedups-canary

demo: $(BUILT)  # the echo server and the load generator against each other
	$(BIN)/wsfast-bench -c 100 -d 5s
test: $(BUILT)  # everything but the Autobahn suite; the wheel first, which takes longest
	$(BIN)/pytest -n logical --dist loadfile --no-loadscope-reorder wheels tests
quick system: $(BUILT)  # without the slow ones; only what is over real sockets and programs
	$(BIN)/pytest $(if $(findstring quick,$@),tests -m "not slow",tests/system)
asan: $(BUILT)  # the quick tests under the address and undefined-behaviour sanitizers
	WSFAST_SANITIZE=1 $(PY) setup.py -q build --build-base $(ASAN) --build-lib $(ASAN)/lib
	$(SANITIZED) $(BIN)/pytest tests --capture=sys -m "not slow and not source"
cycles: $(BUILT)  # 200,000 connections that come and go, in flat memory
	WSFAST_CYCLES=200000 $(BIN)/pytest tests -m cycles -o faulthandler_timeout=0
bench: $(BUILT)  # kernels and protocol
	for each in bench/bench_*.py; do $(PY) -m bench.$$(basename $$each .py) || exit 1; done
peers scale generator speedups: $(BUILT)  # servers; 40,000 connections; generators; libraries
	$(PY) bench/$@.py
conformance: $(BUILT)  # the Autobahn suite; needs a CPython 2.7
	$(PY) tests/autobahn/run.py
fuzz: $(BUILT)  # the parsers, and each speedup beside its original, at each level for EACH seconds
	$(PY) tests/fuzz/run.py && $(PY) -m wsfast.speedups selftest --jobs 2 --seconds $(or $(EACH),30)
speedups-judge speedups-canary: $(BUILT)  # the libraries' own tests; their newest releases
	$(PY) tests/judge/$(if $(findstring canary,$@),canary,run).py
docs: $(BUILT)  # build/docs, without a warning
	$(BIN)/mkdocs build -q --strict
lint: $(BUILT)
	$(BIN)/pytest -q tests/test_source.py tests/test_layers.py tests/test_mirror.py
annotate: $(READY)  # build/cython/**/*.html: the whiter, the less Python
	WSFAST_ANNOTATE=1 $(PY) setup.py -q build_ext --inplace
wheel: $(BUILT)  # the sdist, and the wheel that comes out of it
	wheels/build.sh $(PY)
	WSFAST_DIST=dist $(BIN)/pytest wheels
clean:
	rm -rf build dist *.egg-info .*_cache .hypothesis .benchmarks $(BUILT)
	find wsfast tests bench '(' -name '*.so' -o -name __pycache__ ')' -prune -exec rm -rf {} +

$(READY): pyproject.toml setup.py
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -qq --upgrade 'pip>=25.1'
	$(PY) -m pip install -qq --group test --group peers --group speedups
	WSFAST_BUILD_LATER=1 $(PY) -m pip install -qq --no-build-isolation -e '.[bench]'
	touch $@
$(BUILT): $(READY) $(SOURCES)
	$(PY) setup.py -q build_ext --inplace
	touch $@
