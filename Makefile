# make help says what there is. Everything that is needed is built or installed here; the first run takes a while, with visible progress.
SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

GO    ?= go
TOOL  := $(GO) tool -modfile=.ci/tools.mod
BIN   := bin
# What a cluster runs, and with it the demo; the command line is built beside.
CLUSTER_PROGRAMS := ./cmd/inferno-optimizer ./cmd/inferno-adapter ./cmd/inferno-scheduler
PROGRAMS := ./cmd/inferno $(CLUSTER_PROGRAMS)
# Tools of releases are a module of their own, so that nobody who uses inferno depends on what they need.
RELEASE := cd release && $(GO) run .

# The solver "milp" needs lp_solve and cgo. Where either is missing everything else is built and the solver says what to install.
LPSOLVE_HEADER := $(firstword $(wildcard /usr/include/lpsolve/lp_lib.h /usr/local/include/lpsolve/lp_lib.h))
ifneq ($(LPSOLVE_HEADER),)
ifneq ($(shell $(GO) env CGO_ENABLED),0)
# A program that can load Go plugins cannot be linked with the static lp_solve: the tests' kustomize is to load none.
TAGS := lpsolve,kustomize_disable_go_plugin_support
export CGO_CFLAGS  := -O2 -g -I$(dir $(LPSOLVE_HEADER))
export CGO_LDFLAGS := -O2 -g -llpsolve55 -lcolamd -ldl -lm
endif
endif
GOTAGS := $(if $(TAGS),-tags=$(TAGS))

# go build -v names every package that it compiles: of those a count is enough, the rest is shown as it is.
COUNTED := 2>&1 | awk '/^[^ \t:\#]+$$/ { if (++n % 100 == 0) { print "  " n " packages compiled"; fflush() } next } { print; fflush() }'

# Packages that do not link Kubernetes' scheduler or API server are tested under the race detector, but for the solver and the decision core:
# they start no goroutine, so that it would find nothing in ten times the time.
MODULE     := github.com/llm-inferno/inferno
SEQUENTIAL := $(MODULE)/optimizer/control $(MODULE)/optimizer/solver
LOCALCLUSTER := $(MODULE)/optimizer/localcluster/%
RACED       = $(filter-out $(SEQUENTIAL) $(LOCALCLUSTER),$(shell $(GO) list $(GOTAGS) ./optimizer/...))
UNRACED    := ./optimizer/localcluster/... ./cmd/... ./docs/... ./manifests/... ./metricsadapter/... ./plugins/... ./test/...

comma := ,

.PHONY: help
help: ## Say what there is
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## Install system packages that are missing (lp_solve, Chromium), where that is possible
	@bash .ci/lpsolve
	@bash .ci/chromium

.PHONY: lpsolve
lpsolve:
	@bash .ci/lpsolve

.PHONY: build
build: lpsolve ## Build the programs into bin/
	@$(MAKE) build-now

.PHONY: build-now
build-now:
	@echo "building inferno's programs: usually 3 minutes on two idle cores the first time, then seconds"
	@mkdir -p $(BIN)
	@$(GO) build -v $(GOTAGS) -o $(BIN)/ $(PROGRAMS) $(COUNTED)

# go test shows nothing of a package before it ends, so what takes minutes the first time is built before, in the open.
.PHONY: prepare
prepare: build-now
	@$(BIN)/inferno up --with leaderworkerset --prepare

# Neither lp_solve nor the command line is of use to the demo, so that it waits for neither.
.PHONY: demo
demo: ## Run the whole system on a local control plane with a simulated fleet under a real trace
	@echo "building inferno's programs and the demo: usually 3 minutes on two idle cores the first time, then seconds"
	@mkdir -p $(BIN)
	@$(GO) build -v $(GOTAGS) -o $(BIN)/ $(CLUSTER_PROGRAMS) $(COUNTED)
	@$(GO) build -v $(GOTAGS) -o $(BIN)/demo ./test/demo $(COUNTED)
	@$(BIN)/demo -programs $(BIN) -out out $(DEMO_FLAGS)

.PHONY: test
test: deps ## Run all tests, those against the local control plane included
	@$(MAKE) test-now

.PHONY: test-now
test-now: prepare
	$(GO) test $(GOTAGS) -shuffle=on $(SEQUENTIAL)
	$(GO) test $(GOTAGS) -race -shuffle=on $(RACED)
	INFERNO_PROGRAMS=$(CURDIR)/$(BIN) $(GO) test $(GOTAGS) -shuffle=on -timeout=40m -p 1 $(UNRACED)
	cd test/promql && $(GO) test -mod=mod -shuffle=on ./...
	cd test/browser && INFERNO_PROGRAMS=$(CURDIR)/$(BIN) $(GO) test -mod=mod -shuffle=on ./...
	cd release && $(GO) test -shuffle=on ./...

.PHONY: test-tenants
test-tenants: lpsolve ## Attack one tenant by another, and happen to both what may, on a local control plane with a real Prometheus: 3 to 8 minutes
	@$(MAKE) prepare
	INFERNO_PROGRAMS=$(CURDIR)/$(BIN) $(GO) test $(GOTAGS) -v -count=1 -timeout=40m ./test/e2e -run=TestTenantsStayApart -attacks

# What a node runs is built as the control plane is; images are those of a release, of this machine's architecture alone.
.PHONY: test-node
test-node: ## Install inferno by its chart on a real node, this machine, and test it there: Linux and root; 2 minutes once all is built
	@bash .ci/node
	@$(RELEASE) images -version v0.0.0-dev -out $(CURDIR)/out -architectures $$($(GO) env GOARCH) -only inferno-optimizer,inferno-adapter,inferno-scheduler,inferno-engine
	@$(GO) run ./cmd/inferno up --node --prepare
	INFERNO_IMAGES=$(CURDIR)/out/images $(GO) test $(GOTAGS) -v -count=1 -timeout=90m ./test/node

.PHONY: test-matrix
test-matrix: lpsolve ## Test inferno, and the demo in short, on every minor version of Kubernetes that it is for, as the local control plane behaves: a quarter of an hour, once all is built
	@$(MAKE) prepare
	INFERNO_PROGRAMS=$(CURDIR)/$(BIN) $(GO) test $(GOTAGS) -v -count=1 -timeout=90m ./test/e2e -run=TestVersions -versions=1.34,1.35,1.36,1.37 -own-controller-manager
	@$(GO) build $(GOTAGS) -o $(BIN)/demo ./test/demo
	for version in 1.34 1.35 1.36 1.37; do $(BIN)/demo -programs $(BIN) -out out/demo-$$version -duration 90s -kubernetes $$version || exit 1; done

# Neighbours are built as the control plane is, once.
.PHONY: test-neighbours
test-neighbours: lpsolve ## Test inferno beside Karpenter, with a pretended cloud, Kueue and KEDA, for real: half an hour once all is built, which takes an hour
	@$(MAKE) prepare
	@$(BIN)/inferno up --with karpenter,kueue,keda --prepare
	INFERNO_PROGRAMS=$(CURDIR)/$(BIN) $(GO) test $(GOTAGS) -v -count=1 -timeout=120m ./test/neighbours -neighbours

# A release is installed from what make release wrote: its chart's package, and its images as they lie there.
.PHONY: test-release
test-release: ## Install a release from what make release wrote, as make test-node does: make test-release VERSION=v0.2.0
	@test -f out/$(VERSION)/checksums.txt || { echo "make test-release needs a release in out: make release VERSION=v0.2.0, and the same VERSION here"; exit 1; }
	@bash .ci/node
	@$(GO) run ./cmd/inferno up --node --prepare
	INFERNO_IMAGES=$(CURDIR)/out/$(VERSION)/images INFERNO_CHART=$(CURDIR)/out/$(VERSION)/inferno-$(VERSION:v%=%).tgz $(GO) test $(GOTAGS) -v -count=1 -timeout=90m ./test/node

.PHONY: images
images: ## Build the images into out/images, offline; IMAGES_REGISTRY=ghcr.io/me pushes, IMAGES_ARCHITECTURES=amd64 and IMAGES=names build fewer
	@$(RELEASE) images -version $(or $(VERSION),v0.0.0-dev) -out $(CURDIR)/out -registry "$(IMAGES_REGISTRY)" $(if $(IMAGES_INSECURE),-insecure) \
		-architectures $(or $(IMAGES_ARCHITECTURES),amd64$(comma)arm64) -only "$(IMAGES)"

.PHONY: release
release: ## Make a whole release in out/VERSION, offline: make release VERSION=v0.2.0. RELEASE_KEY signs, IMAGES_REGISTRY pushes
	@test -n "$(VERSION)" || { echo "make release needs VERSION, like VERSION=v0.2.0"; exit 1; }
	@$(RELEASE) all -version $(VERSION) -out $(CURDIR)/out -registry "$(IMAGES_REGISTRY)" $(if $(IMAGES_INSECURE),-insecure) \
		-architectures $(or $(IMAGES_ARCHITECTURES),amd64$(comma)arm64) -only "$(IMAGES)" $(if $(RELEASE_PLATFORMS),-platforms $(RELEASE_PLATFORMS))

.PHONY: bench
bench: lpsolve ## Run the benchmarks: ratios against a reference in the same run
	@$(MAKE) bench-now

.PHONY: bench-now
bench-now: prepare
	$(GO) test $(GOTAGS) -run='^$$' -bench=. -benchmem ./optimizer/...
	@echo "quotas through 100 random runs of concurrent binds, failing nodes and restarts: any pod too many fails"
	$(GO) test $(GOTAGS) ./plugins/inferno -run=TestQuotaHoldsThroughDisorder -disorder-runs=100
	$(GO) test $(GOTAGS) -run='^$$' -bench=. -benchtime=1x -timeout=30m ./plugins/inferno
	INFERNO_PROGRAMS=$(CURDIR)/$(BIN) $(GO) test $(GOTAGS) -run='^$$' -bench=. -benchtime=1x -timeout=30m ./test/e2e
	INFERNO_PROGRAMS=$(CURDIR)/$(BIN) $(GO) test $(GOTAGS) -run=TestWithstands/kills -kill-rounds=50 -timeout=60m ./test/e2e
	cd test/promql && $(GO) test -mod=mod -run='^$$' -bench=. -benchtime=1x -timeout=30m ./...
	@echo "measuring the solvers (some minutes)"
	$(GO) run $(GOTAGS) ./test/plans

.PHONY: screenshots
screenshots: deps ## Make the pictures of the console in docs/ again
	cd test/browser && $(GO) test -mod=mod -count=1 -run=TestScreenshots ./... -screenshots $(CURDIR)/docs

.PHONY: accuracy
accuracy: ## Measure the accuracy of laws and queueing models again, and write the tables of docs/models.md
	$(GO) run ./test/accuracy -write docs/models.md

.PHONY: accuracy-grid
accuracy-grid: ## Play the grid of simulated engines again, and the plans on it (a quarter of an hour), then measure
	rm -f test/data/simulated/grid.csv test/data/simulated/plans.csv
	$(GO) run ./test/accuracy -grid
	$(GO) run ./test/accuracy -write docs/models.md

.PHONY: evaluate
evaluate: ## Play the scenarios under all policies again, and write docs/evaluation.md
	$(GO) run ./test/evaluate
	$(GO) run ./test/evaluate -families 2 -admission 4 -kinds 3
	$(GO) run ./cmd/inferno simulate --scenario ramp --policy inferno,hpa-concurrency,keda-queue,llm-inferno --plot docs/first-result.svg

.PHONY: fuzz
fuzz: ## Fuzz every decoder and parser for a while
	@bash .ci/fuzz

.PHONY: generate
generate: ## Write generated code and manifests
	$(TOOL) controller-gen object crd:allowDangerousTypes=true output:crd:dir=manifests/chart/files/crds paths=./optimizer/api/...
	$(GO) run ./manifests/dashboard >manifests/chart/files/dashboard.json
	@$(RELEASE) generate
	$(GO) run ./docs/reference
	$(GO) run ./test/structure -write

.PHONY: generate-keda
generate-keda: ## Write the Go code of KEDA's protocol again (needs protoc)
	GOBIN=$(CURDIR)/$(BIN)/tools $(GO) install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11
	GOBIN=$(CURDIR)/$(BIN)/tools $(GO) install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.0
	cd metricsadapter/keda/externalscaler && PATH=$(CURDIR)/$(BIN)/tools:$$PATH protoc --go_out=paths=source_relative:. --go-grpc_out=paths=source_relative:. externalscaler.proto

.PHONY: verify
verify: lpsolve ## Check that generated code is current, everything is formatted and linted, and nothing is untracked
	@$(MAKE) verify-now

.PHONY: verify-now
verify-now: generate
	@bash .ci/verify $(GOTAGS)

.PHONY: clean
clean: ## Remove what was built here; caches stay
	rm -rf $(BIN) out
