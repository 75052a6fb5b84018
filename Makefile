# The doors of this project; `make help` lists them. Everything but test-all and
# qemu-test needs Go and nothing else.

GO      ?= go
BUILD   ?= .build
RACE    := $(shell [ "$$($(GO) env CGO_ENABLED)" = 1 ] && command -v "$$($(GO) env CC)" >/dev/null 2>&1 && echo -race)
TEST     = $(GO) test -shuffle=on -timeout 2m
STRIP    = -trimpath -ldflags '-s -w'
TOOL     = $(GO) tool -modfile=.tools.mod
PROGRAMS = headunitd uplinkd ecalld headunitctl canhub carsim demo
DAEMONS  = headunitd uplinkd ecalld headunitctl canhub
FUZZTIME ?= 10s

.PHONY: help build build-arm test test-all qemu-test bench demo lint fuzz

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## the programs, into .build
	$(GO) build -trimpath -o $(BUILD)/ $(addprefix ./cmd/,$(PROGRAMS))

build-arm: ## what is flashed: armv7 and arm64, static and stripped, into .build/armv7 and .build/arm64
	CGO_ENABLED=0 GOOS=linux GOARCH=arm GOARM=7 $(GO) build $(STRIP) -o $(BUILD)/armv7/ $(addprefix ./cmd/,$(DAEMONS))
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build $(STRIP) -o $(BUILD)/arm64/ $(addprefix ./cmd/,$(DAEMONS))
	@ls -l $(BUILD)/armv7 $(BUILD)/arm64

test: ## everything in process; with -race where there is a C compiler
	GORACE=atexit_sleep_ms=0 $(TEST) $(RACE) ./...

test-all: ## test, and what needs Debian's packages (installed here when run as root)
	.ci/needs gcc libc6-dev mosquitto qemu-system-arm
	GORACE=atexit_sleep_ms=0 $(TEST) -race ./...
	GORACE=atexit_sleep_ms=0 $(TEST) -race ./cmd/uplinkd ./cmd/demo -args -all
	$(TEST) -tags production ./cmd/ecalld/...
	$(MAKE) build-arm qemu-test

qemu-test: ## the ARM binaries on ARM Linux kernels, in QEMU
	.ci/qemu/run

bench: ## every figure that the README quotes
	$(GO) test -run '^$$' -bench . -benchmem ./...
	cd testdata/einride && $(GO) test -run '^$$' -bench . -benchmem

demo: ## the first five minutes: a car, a phone and the three daemons, on one page
	$(GO) run ./cmd/demo

lint: ## gofumpt, vet, golangci-lint, tidy modules
	$(TOOL) golangci-lint run ./...
	$(GO) mod tidy -diff

fuzz: ## each fuzz target for FUZZTIME
	@grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r f; do \
	  for t in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+)\(.*/\1/p' $$f); do \
	    echo "$$(dirname $$f) $$t"; $(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) $$(dirname $$f) || exit 1; done; done
