# The commands of every day. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

CLUSTER ?= test
CHART_CRDS := charts/supabase-operator/crd-files
IMAGE_BINARY := target/image/supabase-operator
STANDIN_BINARY := target/image/supabase-standin
# A static binary runs in an image that holds nothing else. An explicit target keeps build scripts out of these flags.
STATIC_TARGET := $(shell uname -m)-unknown-linux-gnu

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

.PHONY: demo
demo: ## A cluster, PostgreSQL and S3 beside it, the operator, a project, and a supabase-js session
	examples/demo/run --cluster $(CLUSTER)

.PHONY: test
test: ## Everything: unit tests, real Envoy, real cluster
	tests/run

.PHONY: test-unit
test-unit: ## Only what needs neither a cluster nor programs of others (seconds)
	cargo test --locked

.PHONY: lint
lint: ## Formatting, clippy, chart, shell scripts, generated files
	tests/lint

.PHONY: generate
generate: ## Write again what is generated: CRDs, golden manifests
	cargo run --locked --quiet -- crds > crds/supabase-operator.dev_supabaseprojects.yaml
	mkdir -p $(CHART_CRDS)
	cp crds/supabase-operator.dev_supabaseprojects.yaml $(CHART_CRDS)/
	UPDATE_GOLDEN=1 cargo test --locked --quiet --test golden --test managed

.PHONY: operator-binary
operator-binary: ## The static release binary that goes into the image
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --bin supabase-operator --target $(STATIC_TARGET)
	mkdir -p $(dir $(IMAGE_BINARY))
	cmp -s target/$(STATIC_TARGET)/release/supabase-operator $(IMAGE_BINARY) || \
		cp target/$(STATIC_TARGET)/release/supabase-operator $(IMAGE_BINARY)

.PHONY: standin-binary
standin-binary: ## The static binary that poses as the Supabase services that the test cluster has no image of
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --package supabase-standin --target $(STATIC_TARGET)
	mkdir -p $(dir $(STANDIN_BINARY))
	cmp -s target/$(STATIC_TARGET)/release/supabase-standin $(STANDIN_BINARY) || \
		cp target/$(STATIC_TARGET)/release/supabase-standin $(STANDIN_BINARY)

.PHONY: cluster-up
cluster-up: ## A real one-node Kubernetes in a network namespace of its own
	tests/cluster/up

.PHONY: cluster-down
cluster-down: ## End it, and leave nothing behind
	tests/cluster/down
