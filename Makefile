# `make` says what can be made. Both `make run` and `make test` install what is
# missing on a fresh Debian-like machine (cross/setup.sh).
.DEFAULT_GOAL := help
SHELL := /bin/sh
.ONESHELL:
.SHELLFLAGS := -eu -c

# Arguments of `make run`: make run ARGS='--listen 0.0.0.0:8443'
ARGS ?=
# Router builds: see doc/routers.md.
TARGET ?= all
PROFILE ?= minimal
FEATURES ?= lite
# Seconds per fuzz target.
FUZZ_SECONDS ?= 30
# Where `make install` puts things.
PREFIX ?= /usr/local
DESTDIR ?=
SYSCONFDIR ?= /etc

CARGO := sh cross/rust.sh cargo
BIN := target/release/smol-mtproxy

.PHONY: help run build test test-cargo test-clients test-openwrt lint fmt doc bench fuzz \
	cross cross-test ipk apk init-config install clean setup

help: ## this list
	@echo 'smol-mtproxy: make TARGET'
	sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r name text; do
		printf '  %-13s %s\n' "$$name" "$$text"
	done

run: build ## build and start a proxy: prints its link and QR code (ARGS='--listen …')
	$(BIN) run $(ARGS)

build: ## release build: target/release/smol-mtproxy
	@sh cross/setup.sh build
	$(CARGO) build --release --locked

test: test-cargo test-openwrt test-clients ## every test: units, integration, OpenWrt scripts, real clients

test-cargo: setup
	$(CARGO) test --workspace --locked

test-openwrt: setup
	@if [ -f tests/openwrt/run.sh ]; then sh tests/openwrt/run.sh; fi

test-clients: setup
	@if [ -f tests/real-clients/run.sh ]; then bash tests/real-clients/run.sh; fi

setup:
	@sh cross/setup.sh test

lint: ## rustfmt and clippy, with and without TLS
	@sh cross/setup.sh lint
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --workspace --all-targets --locked --no-default-features -- -D warnings

fmt: ## format the sources
	@sh cross/setup.sh lint
	$(CARGO) fmt --all

doc: ## API documentation in target/doc, warnings denied
	@sh cross/setup.sh build
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --document-private-items --locked

clean: ## remove everything built
	rm -rf target .cache
