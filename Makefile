# make, make demo, make test: everything else is for people who work on pgtier. PostgreSQL is installed when it is missing
# (integration/scripts says what it installs, and asks sudo when it is not root).

GO          ?= go
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 10s
VERSIONS    ?= 14 15 16 17 18

# The event loops hand memory to the kernel with raw system calls, which the race detector cannot see.
NORACE = $(GO) list ./... | grep -x 'github.com/pgtier/pgtier/proxy/relay'
RACE   = $(GO) list ./... | grep -vx 'github.com/pgtier/pgtier/proxy/relay'

scripts := integration/scripts

# Tests that need PostgreSQL fail without it, rather than being skipped.
export PGTIER_REQUIRE_PG = 1

.PHONY: build
build: ## bin/pgtier, static
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/pgtier ./cmd/pgtier

.PHONY: demo
demo: postgres build ## a throw-away PostgreSQL with tiers behind one address; ARGS="--listen 127.0.0.1:7432"
	@./bin/pgtier demo $(ARGS)

.PHONY: test
test: postgres clients lint ## everything that must hold before a commit
	@$(scripts)/install-compiler.sh
	$(GO) test -race $$($(RACE))
	@packages=$$($(NORACE)); if [ -n "$$packages" ]; then echo $(GO) test $$packages; $(GO) test $$packages; fi

.PHONY: lint
lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt -w these:" $$unformatted; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

.PHONY: test-matrix
test-matrix: postgres clients ## the tests that start a PostgreSQL, on every supported version of it; VERSIONS="14 18"
	@GO="$(GO)" $(scripts)/test-matrix.sh $(VERSIONS)

.PHONY: compatibility
compatibility: postgres clients ## the clients' table in docs/compatibility.md
	CI=true PGTIER_WRITE_COMPATIBILITY=1 $(GO) test -count=1 ./integration/clients

.PHONY: drivers
drivers: postgres ## the driver matrix; writes its table in docs/compatibility.md. Ruby, PHP, Perl, Java... are installed
	@$(scripts)/install-drivers.sh
	PGTIER_REQUIRE_DRIVERS=1 PGTIER_WRITE_COMPATIBILITY=1 $(GO) test -count=1 ./integration/clients/matrix

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME
	@set -e; for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

.PHONY: bench
bench: postgres build ## direct, pgtier and PgBouncer in one run; ARGS="-quick" or "-o docs/benchmarks.md"
	@$(scripts)/install-pgbouncer.sh
	$(GO) run ./integration/bench $(ARGS)

.PHONY: soak
soak: postgres build ## hundreds of clients for ten minutes, everything breaks, every answer is checked; ARGS="-duration 1m"
	$(GO) run ./integration/soak $(ARGS)

.PHONY: regress
regress: postgres ## PostgreSQL's own regression suite, direct and through pgtier; SOURCE=its source tree
	@$(scripts)/run-regress.sh "$(SOURCE)" .cache/regress $(ARGS)

.PHONY: postgres
postgres:
	@$(scripts)/install-postgres.sh

.PHONY: clients
clients:
	@$(scripts)/install-clients.sh

.PHONY: clean
clean:
	rm -rf bin .cache

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'
