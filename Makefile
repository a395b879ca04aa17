# Weir needs Go, make and a package manager (apt, npm); everything else these targets install themselves.

GO ?= go
BIN := bin/weir
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
# Linux on two cores: the race detector and real servers need more than the default ten minutes' patience on a busy day.
TEST_TIMEOUT ?= 20m
# NVIDIA's bindings name functions that are deprecated in their own header; the compiler need not tell everybody who builds Weir.
export CGO_CFLAGS := $(or $(CGO_CFLAGS),-O2 -g) -Wno-deprecated-declarations

.PHONY: demo test build assets deps lint chaos chaos-fleet rush fuzz tls-check slow-check bench bench-proxy bench-azure bench-tail bench-tsdb bench-replay bench-forecast design-case pictures clean

## demo: build Weir and watch it balance, hold and scale in about three minutes
demo: build
	./$(BIN) demo $(ARGS)

## test: everything, with the race detector, against real servers
test: deps assets
	$(GO) test -race -timeout $(TEST_TIMEOUT) ./...

## build: the binary, in bin/
build: assets
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o $(BIN) ./cmd/weir

## assets: the charting library of the dashboard, by its lock file
assets:
	@sh scripts/assets.sh

## deps: the servers and the browser that the tests run against
deps:
	@sh scripts/deps.sh

## chaos: targets that are killed, stall and misbehave under load, and reloads, each for CHAOSTIME
CHAOSTIME ?= 1m
chaos:
	WEIR_CHAOS=$(CHAOSTIME) $(GO) test -race -count=1 -timeout $(TEST_TIMEOUT) -run Chaos -v ./cmd/weir

## chaos-fleet: kill -9 of Weir, KILLS times, while its fleet scales, is refreshed and moves to and from the warm pool
KILLS ?= 100
chaos-fleet:
	WEIR_KILLS=$(KILLS) $(GO) test -race -count=1 -timeout $(TEST_TIMEOUT) -run ChaosFleet -v ./cmd/weir

## rush: a load that repeats, with a schedule, with predict and with neither; nine minutes
rush:
	WEIR_RUSH=1 $(GO) test -count=1 -timeout $(TEST_TIMEOUT) -run RepeatingRush -v ./cmd/weir

## lint: what CI holds the code to beside the tests
lint:
	@sh scripts/lint.sh

## fuzz: each fuzz target for FUZZTIME
FUZZTIME ?= 30s
fuzz:
	@GO="$(GO)" FUZZTIME=$(FUZZTIME) sh scripts/fuzz.sh

## tls-check: sslscan and testssl.sh look at a Weir over TLS
tls-check: deps build
	@BIN=$(BIN) sh scripts/tls-check.sh

## slow-check: slowhttptest attacks a Weir, SLOWTIME seconds in each of five ways
SLOWTIME ?= 15
slow-check: deps build
	@BIN=$(BIN) SLOWTIME=$(SLOWTIME) sh scripts/slow-check.sh

## bench: Go benchmarks of the hot paths
bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

## bench-proxy: CPU and memory beside nginx, HAProxy and Caddy
bench-proxy: build
	@sh scripts/deps.sh bench
	$(GO) run ./bench/proxy --weir $(BIN) $(ARGS)

## bench-azure: ten minutes of real LLM traffic against a pool that scales from zero
bench-azure: build
	$(GO) run ./bench/azure --weir $(BIN) $(ARGS)

## bench-tail: how long requests wait beside the ideal queue, nginx and HAProxy
bench-tail: deps build
	$(GO) run ./bench/tail -weir $(BIN) $(ARGS)

## pictures: those of docs/img/policies, of how each policy behaves
pictures:
	$(GO) run ./bench/pictures

## design-case: 5,000 users, a spike of 100x and 8,000 a month: planned, replayed and run for real, smaller; seven minutes
design-case: build
	$(GO) run ./bench/design -weir $(BIN) $(ARGS)

## bench-tsdb: what measured values cost on disk and in memory, 10,000 series every 5 s
bench-tsdb:
	$(GO) run ./bench/tsdb $(ARGS)

## bench-forecast: forecasts of recorded traffic beside simple ones; ARGS="-traces FOLDER" names the traces' folder
bench-forecast:
	$(GO) run ./bench/forecast $(ARGS)

## bench-replay: recorded traffic under Weir's policies and under what users have today; TRACES names the traces' folder
bench-replay: build
	@sh scripts/bench-replay.sh $(BIN)

clean:
	rm -rf bin bench/out
