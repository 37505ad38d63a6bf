# What there is to do with this repository. Go is all that is needed, save where a target says so.

SHELL := /bin/sh
GO    ?= go
BIN   := bin/leat
# Without what only debuggers read; stack traces and profiles keep their names.
LEAN  := -trimpath -ldflags='-s -w'

# Flags for "make test" and "make bench-go", such as TESTFLAGS='-run TestTail -v'.
TESTFLAGS  ?=
# Flags for "make bench" and "make bench-check", such as BENCHFLAGS='-run P2 -rounds 3'.
BENCHFLAGS ?=
BENCH      ?= .
FUZZTIME   ?= 10s
# How long the tests of one package may take: on PostgreSQL all buses are in one.
PATIENCE   ?= 30m
# How long "make soak" puts the process under load, and on which store and bus.
DURATION   ?= 10m
HOUSE      ?= sqlite+sql
# For "make prove": more flags, and a folder where the evidence of broken promises is kept.
PROVEFLAGS ?= -v
PROVE_KEEP ?=
# What "make check" looks at.
PACKAGES   ?= ./...

# The linters are a module of their own, so that nobody who uses Leat gets their dependencies.
TOOL := $(GO) tool -modfile=tools/go.mod

# Our own Go files; what is generated is left as its generator wrote it.
GOFILES = find . \( -name .git -o -name node_modules -o -name testdata -o -name bin -o -name data \) -prune \
	-o -name '*.go' ! -name wire_gen.go -print

step = @printf '== %s\n' "$(1)"

.PHONY: help build run test services check prove prove-long prove-mutants format-check vet lint race wire-check tidy-check generate conformance bench bench-go bench-check fuzz-short soak format clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the program into bin/
	$(call step,build)
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build $(LEAN) -o $(BIN) ./wiring/cmd/leat

run: build ## Run the service on embedded defaults; data goes to ./data
	$(call step,run)
	@echo 'The web page will be at http://127.0.0.1:8080 (Ctrl-C stops)'
	@exec ./$(BIN) serve

test: ## Run the tests, without a C compiler
	$(call step,test)
	CGO_ENABLED=0 $(GO) test -timeout $(PATIENCE) $(TESTFLAGS) ./...

services: ## Install what the tests of other stores and buses need: PostgreSQL (Debian, Ubuntu, Homebrew)
	$(call step,services)
	@if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null; then \
		echo 'PostgreSQL is there'; \
	elif command -v apt-get >/dev/null; then \
		if [ "$$(id -u)" -ne 0 ]; then sudo=sudo; fi; \
		$$sudo apt-get update -q && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -q -y --no-install-recommends postgresql; \
	elif command -v brew >/dev/null; then \
		brew install postgresql@17; \
	else \
		echo 'install PostgreSQL 15 or newer, so that initdb and postgres are in PATH' >&2; exit 1; \
	fi

check: format-check vet lint race wire-check tidy-check ## Everything that must pass before a change is merged
	$(call step,all checks passed)

# The houses are worked two at a time: processes that die need a processor too.
PROVE := LEAT_PROVE_KEEP=$(PROVE_KEEP) $(GO) test -tags prove -count=1 -parallel 2 $(PROVEFLAGS) ./wiring/cmd/leat/prove

prove: ## Let the program die at every point, break its servers, networks and disks, and count what became of each promise
	$(call step,prove)
	$(PROVE) -timeout 20m

prove-long: ## The same with more than a thousand deaths; the figures go to docs/guarantees.md and README.md: half an hour
	$(call step,prove: the long run)
	LEAT_PROVE_LONG=1 LEAT_PROVE_PAGE=$(CURDIR)/docs/guarantees.md LEAT_PROVE_SUMS=$(CURDIR)/README.md $(PROVE) -timeout 4h

format-check:
	$(call step,gofumpt)
	@unformatted=$$($(GOFILES) | xargs $(TOOL) gofumpt -l) || exit 1; \
	if [ -n "$$unformatted" ]; then \
		printf 'not formatted (make format does it):\n%s\n' "$$unformatted"; exit 1; \
	fi

vet:
	$(call step,vet)
	$(GO) vet $(PACKAGES)
	$(GO) vet -tags faults,prove ./app/fault/... ./wiring/cmd/leat/...

lint: ## Run golangci-lint; the first time it is built, which takes minutes
	$(call step,golangci-lint)
	$(TOOL) golangci-lint run $(PACKAGES)

race: ## Run the tests with the race detector, which needs a C compiler
	$(call step,tests with the race detector)
	@command -v $$($(GO) env CC | cut -d' ' -f1) >/dev/null || { \
		echo "the race detector needs a C compiler, and there is no $$($(GO) env CC): install gcc, or set CC" >&2; exit 1; }
	CGO_ENABLED=1 $(GO) test -race -timeout $(PATIENCE) $(TESTFLAGS) $(PACKAGES)

wire-check:
	$(call step,wire diff)
	@$(GO) tool wire diff ./wiring/... || { echo 'wire_gen.go is stale: run make generate' >&2; exit 1; }

tidy-check:
	$(call step,go mod tidy)
	@$(GO) mod tidy -diff || { echo 'go.mod or go.sum is not tidy: run go mod tidy' >&2; exit 1; }

generate: ## Make wire_gen.go anew and, where there is npm, the web page
	$(call step,wire)
	$(GO) tool wire gen ./wiring/...
	$(call step,web page)
	@if command -v npm >/dev/null; then \
		cd adapters/webui/app && npm ci --no-audit --no-fund && npm run build; \
	else \
		echo 'there is no npm: the web page is left as it is'; \
	fi

format: ## Format the Go files
	$(call step,gofumpt)
	$(GOFILES) | xargs $(TOOL) gofumpt -w

conformance: ## Run the suites of buses on every store and write docs/buses.md
	$(call step,conformance of buses)
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) test -json -count=1 -timeout $(PATIENCE) -run '^(TestBus|TestPubSub)' \
		./adapters/sqlbus ./adapters/gochannelbus ./adapters/natsbus ./adapters/postgres > bin/conformance.json; \
	$(GO) test -count=1 -run '^TestBusesPage$$' . -conformance bin/conformance.json

bench: ## Run Leat and its peers side by side: BENCHFLAGS='-run P2,P6 -rounds 3', BENCHFLAGS='-list'
	$(call step,bench)
	@mkdir -p bin
	cd bench && CGO_ENABLED=0 $(GO) build -trimpath -o ../bin/bench .
	./bin/bench $(BENCHFLAGS)

bench-check: ## See that no row of the bench has fallen far behind what it had reached: two minutes
	$(call step,bench-check)
	cd bench && $(GO) mod tidy -diff && $(GO) vet ./...
	@$(MAKE) --no-print-directory bench BENCHFLAGS='-quick -guard $(BENCHFLAGS)'

prove-mutants: ## Plant the faults of testdata/mutants, one at a time, show that a test catches each, and write docs/planted-faults.md
	$(call step,planted faults)
	CGO_ENABLED=0 $(GO) test -tags mutants -count=1 -timeout 0 -run '^TestMutants$$' -v .

bench-go: ## Run the benchmarks: BENCH=Publish, TESTFLAGS='-benchtime 10s'
	$(call step,bench-go)
	CGO_ENABLED=0 $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $(TESTFLAGS) $(PACKAGES)

fuzz-short: ## Run each fuzz test for FUZZTIME, two at a time
	$(call step,fuzz)
	@mkdir -p bin/fuzz
	@set -e; $(GOFILES) | xargs grep -l '^func Fuzz' | xargs -n 1 dirname | sort -u | while read -r dir; do \
		$(GO) test -c -gcflags 'github.com/leat-dev/leat/...=-d=libfuzzer' -o "bin/fuzz/$$(echo "$$dir" | tr ./ __)" "$$dir"; \
	done
	@$(GOFILES) | xargs grep -Ho '^func Fuzz[A-Za-z0-9_]*' | sed 's/:func / /' | \
		xargs -P 2 -n 2 sh -c 'dir=$$(dirname "$$0"); bin="$$PWD/bin/fuzz/$$(echo "$$dir" | tr ./ __)"; cd "$$dir"; \
			try() { "$$bin" -test.run "^$$" -test.fuzz "^$$1\$$" -test.fuzztime $(FUZZTIME) -test.parallel 1 \
				-test.fuzzcachedir "$$($(GO) env GOCACHE)/fuzz/$$(basename "$$bin")" 2>&1; }; \
			out=$$(try "$$1") || case "$$out" in \
				*"Failing input written"*) false;; \
				*"context deadline exceeded"*|*"hung or terminated unexpectedly"*) out=$$(try "$$1");; \
				*) false;; esac && echo "ok   $$1 in $$dir" && exit 0; \
			printf "FAIL %s in %s\n%s\n" "$$1" "$$dir" "$$out"; \
			case "$$out" in *"Failing input written"*) \
				echo "What to do: the input is in $$dir/testdata/fuzz/$$1, and go test -run $$1 $$dir repeats it; commit it with the mend.";; \
			esac; exit 1'

soak: ## Put a real process under a steady mixed load for DURATION and see what it keeps: HOUSE=postgres+nats
	$(call step,soak)
	CGO_ENABLED=0 LEAT_TEST_DURATION=$(DURATION) LEAT_TEST_HOUSE=$(HOUSE) \
		$(GO) test -tags soak -count=1 -timeout 0 -run '^TestSoak$$' -v ./wiring/cmd/leat

clean: ## Remove what was built
	rm -rf bin
