# run, test, build and demo need Go, git and make, nothing else. check, lint and
# fmt also build the pinned tools of tools/go.mod, once, into bin; check and race
# want a C compiler too, for the race detector, and check npm, for test/e2e.

# The modules of go.work. test/e2e and tools stand outside of it: heavy test
# dependencies and linters must not move the versions of the product.
modules := . ./events ./examples
e2e     := $(patsubst %/go.mod,%,$(wildcard test/e2e/go.mod))
version  = $(shell git describe --tags --match 'v*' --always --dirty 2>/dev/null || echo devel)

# The program is built and tested as it is shipped: static.
export CGO_ENABLED = 0

# How often make chaos goes through all deaths.
rounds ?= 5

.NOTPARALLEL:
.PHONY: help run demo build test check chaos sim bench soak bench-short race fuzz lint fmt tools tidy tidied generated clean $(e2e)

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

run: build ## Run the whole fleet in one process, with its data in ./data (token endpoints on this machine allowed)
	./bin/rekindle serve --data-dir data --egress-allow 127.0.0.0/8

demo: build ## Watch a fleet and a sandbox keep a few secrets fresh, in seconds
	./bin/rekindle demo

build: ## Build bin/rekindle
	go build -ldflags '-X main.version=$(version)' -o bin/rekindle ./cmd/rekindle

test: ## Test everything, in minutes
	go test -timeout 10m work

check: tidied generated lint race build $(e2e) ## All that a change must pass: lint, race detector, go.mod, generated files

chaos: ## Let exchangers die at every step of a refresh, and count what is lost: minutes, rounds=1 fewer
	go test -count=1 -timeout 2h -v -run '^TestChaos$$' ./cmd/rekindle -args -chaos.rounds $(rounds)

sim: ## Simulate a fleet of many cells, and put the tables into docs/scale.md
	go run ./test/sim -doc docs/scale.md

# What the bench is asked for: make bench BENCH='-secrets 1000000 -steady 10m'.
BENCH ?=
bench: build ## Measure a fleet: memory, lateness, throughput, lists, and what kills cost: minutes
	go run ./test/bench -rekindle bin/rekindle $(BENCH)

soak: build ## Publish 100,000 upstream events, good and bad, while api processes are killed, and count: minutes
	go run ./test/bench -rekindle bin/rekindle -parts intake -upstream 100000

bench-short: ## See that the bench runs and its counts come out, in seconds
	go test -count=1 -timeout 2m -v ./test/bench

race: ## Test under the race detector, each module by its own go.mod
	for m in $(modules); do \
		GOWORK=off CGO_ENABLED=1 go -C $$m test -race -timeout 20m ./... || exit; \
	done

# Go fuzzes one target at a time.
FUZZTIME ?= 5s
fuzz: ## Let the fuzzer look for what breaks a decoder, FUZZTIME=5s for each
	@git grep --untracked -o '^func Fuzz[A-Za-z]*' -- '*_test.go' | sed 's|/[^/]*:func | |' | while read dir target; do \
		echo "$$dir $$target"; \
		go test ./$$dir -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x || exit; \
	done

lint: tools ## Lint, and refuse what gofumpt would write otherwise or nothing uses
	bin/golangci-lint run $(modules:%=%/...)
	for m in $(e2e); do (cd $$m && GOWORK=off $(CURDIR)/bin/golangci-lint run) || exit; done
	! bin/deadcode -test ./... | grep -v 'MarshalJSON$$' # called by reflection

fmt: tools ## Format the code
	bin/golangci-lint fmt $(modules:%=%/...)

tools:
	GOBIN=$(CURDIR)/bin GOWORK=off go -C tools install tool

tidy: ## Tidy every go.mod
	for m in $(modules) $(e2e) tools; do GOWORK=off go -C $$m mod tidy || exit; done

tidied:
	for m in $(modules) $(e2e); do GOWORK=off go -C $$m mod tidy -diff || exit; done

# Generating again must change nothing, whatever else is being worked on.
generated:
	@echo go generate work
	@state() { git ls-files -co --exclude-standard -z | xargs -0 cat 2>/dev/null | cksum; }; \
	before=$$(state); go generate work || exit; \
	test "$$before" = "$$(state)" || { echo 'generated files were stale: commit what go generate has written' >&2; exit 1; }

test/e2e:
	GOWORK=off go -C $@ test -count=1 -timeout 15m ./... # its inputs are outside of its module, where the test cache does not look

clean: ## Delete what was built; ./data stays
	rm -rf bin
