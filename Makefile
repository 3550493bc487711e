# weir. `make run` shows it working, `make test` passes the tests; the rest is for developers.

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 20s
WEIR     ?= bin/weir
BENCH    ?= bin/bench

.PHONY: run build test race check vet fmt staticcheck cross fuzz bench bench-quick bench-compare clean

run: build ## the built-in demo: many clients, few server connections, live
	$(WEIR) run

build: $(WEIR)

$(WEIR): FORCE
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/weir

$(BENCH): FORCE
	$(GO) build -trimpath -o $@ ./bench/cmd/bench

FORCE:

# The time a package may take is for a machine ten times slower than most: ten minutes, as by default, are not enough there.
test: ## everything that must pass: unit, model, architecture and end-to-end tests
	$(GO) test -timeout 1h $$($(GO) list ./... | grep -v /internal/e2e)
	$(GO) test -timeout 1h ./internal/e2e # alone: it starts real processes and measures what they let through

race: ## what crosses threads, under the race detector
	$(GO) test -race -timeout 1h ./internal/limit ./pool ./netio/... ./engine ./internal/admin ./h3 ./cmd/weir

check: vet fmt staticcheck cross ## what needs no tests to be wrong
	$(GO) test ./internal/arch

vet:
	$(GO) vet ./...

fmt:
	@out=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "gofmt would change:"; echo "$$out"; exit 1; }

staticcheck:
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...

cross: ## both architectures build and vet
	GOOS=linux GOARCH=amd64 $(GO) build ./...
	GOOS=linux GOARCH=arm64 $(GO) build ./...
	GOOS=linux GOARCH=arm64 $(GO) vet ./...

fuzz: ## every fuzz target for FUZZTIME each
	@for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; \
	done

bench: build $(BENCH) ## weir beside HAProxy, nginx and the floor: every scenario, under 15 minutes
	$(BENCH) run --weir $(WEIR)

bench-quick: build $(BENCH) ## the same in two minutes
	$(BENCH) quick --weir $(WEIR)

bench-compare: $(BENCH) ## make bench-compare A=old.json B=new.json
	$(BENCH) compare $(A) $(B)

clean:
	rm -rf bin bench/report/*.md bench/report/*.svg bench/report/*.json bench/report/unfinished
