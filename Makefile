# `make` says what can be made. Both `make run` and `make test` install what is
# missing on a fresh Debian-like machine (cross/setup.sh).
.DEFAULT_GOAL := help
SHELL := /bin/sh
.ONESHELL:
.SHELLFLAGS := -eu -c

# Arguments of `make run`, `make bench` and `make guard`: make run ARGS='--listen 0.0.0.0:8443'
ARGS ?=
# Router builds: see doc/routers.md.
TARGET ?= all
PROFILE ?= minimal
FEATURES ?= lite
# Which role's template `make init-config` takes: config/ROLE.conf. Unless given,
# that of the CONF that is there, or both.
ROLE ?=
CONF ?= config/local.conf
# What of it `make cross-test` runs: whole, or the core that CI does.
SUITE ?= whole
# Seconds per fuzz target.
FUZZ_SECONDS ?= 30
# Where `make install` puts things.
PREFIX ?= /usr/local
DESTDIR ?=
SYSCONFDIR ?= /etc

# Words behind `bench` are its parts: make bench fairness
ifneq ($(filter bench,$(MAKECMDGOALS)),)
PARTS := traffic idle slow flood half-open fairness
.PHONY: $(PARTS)
$(PARTS): ; @:
endif

CARGO := sh cross/rust.sh cargo
# Tests end the proxies that they start.
CLEANLY := sh tests/none_left.sh
# What servers have and routers do not: certificates by ACME, the command ping.
SERVER := --features smol-mtproxy/server
BIN := $(or $(CARGO_TARGET_DIR),target)/release/smol-mtproxy

.PHONY: help run build test test-release test-long test-cargo test-acme test-clients test-openwrt test-config test-site test-site-long test-cover test-via test-websocket test-web-page test-web-page-long test-status-page test-status-page-long test-alerts guard lint generate fmt doc bench \
	fuzz cross cross-test ipk apk init-config install clean setup

help: ## this list
	@echo 'smol-mtproxy: make TARGET'
	sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r name text; do
		printf '  %-13s %s\n' "$$name" "$$text"
	done

run: build ## build and start a proxy: prints its link and QR code (ARGS='--listen …')
	$(BIN) run $(ARGS)

build: ## release build: target/release/smol-mtproxy
	@sh cross/setup.sh build
	$(CARGO) build --release --locked $(SERVER)

test: test-cargo test-acme test-openwrt test-config test-site test-web-page test-status-page test-clients ## every test: units, integration, scripts, a real site, a browser, real clients

test-release: ## what is too long for CI: every build of every target, longer fuzzing, tests marked as long
	$(MAKE) --no-print-directory --keep-going test-long test-site-long test-cover test-websocket test-web-page-long test-status-page-long test-alerts fuzz cross-test SUITE=whole

test-long: setup
	$(CLEANLY) $(CARGO) test --workspace --locked --no-fail-fast $(SERVER) -- --ignored --test-threads=1

# Most tests wait more than they compute.
test-cargo: setup
	export RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(($$(nproc) * 2))}
	$(CLEANLY) $(CARGO) test --workspace --locked --no-fail-fast $(SERVER)

# An authority of Debian's, where it can be had.
test-acme: setup
	$(CLEANLY) $(CARGO) test --workspace --locked $(SERVER) --test acme -- --ignored --test-threads=2

test-openwrt: setup
	@if [ -f tests/openwrt/run.sh ]; then sh tests/openwrt/run.sh; fi

test-config:
	@sh tests/config/run.sh
	@sh tests/cloudflare/run.sh

test-site: setup
	@if [ -f tests/site/run.sh ]; then sh tests/site/run.sh; fi

# Statistics of thousands of connections instead of hundreds.
test-site-long: setup
	@SITE_CONNECTIONS=3000 sh tests/site/run.sh

# nginx, and a site that computes, beside the WEB proxy that shows them.
test-cover: setup
	@sh tests/cover/run.sh

# Debian's SOCKS5 and HTTP proxies, of which none is installed here; a part of test-long.
test-via: setup
	$(CARGO) test --locked $(SERVER) --test via -- --ignored --nocapture

# A WebSocket library against both ends.
test-websocket: setup
	@bash tests/websocket/run.sh

# Less than a minute of the next one, where there is a Chromium.
test-web-page: setup
	@bash tests/web-page/run.sh --quick

# The bridge page in Chromium: with an app and a relay of the tests, and at the built binary.
test-web-page-long: setup
	@bash tests/web-page/run.sh
	bash tests/web-page/run.sh --product

# The status page in Chromium, where there is one: a phone and a desktop; then each in light and dark.
test-status-page: setup
	@bash tests/status-page/run.sh --quick

test-status-page-long: setup
	@bash tests/status-page/run.sh

# Whether Prometheus itself reads the alert rules, where it is installed.
test-alerts:
	@if command -v promtool >/dev/null; then promtool check rules config/monitoring/alerts.yml
	else echo "skipped: promtool (the package prometheus) is not installed"; fi

test-clients: setup
	@$(CLEANLY) bash tests/real-clients/run.sh

guard: setup ## instructions of fixed workloads beside the recorded ones (ARGS='check middle', ARGS=record)
	$(CARGO) run --profile guard --locked --package proxy-guard -- $(or $(ARGS),check)

setup:
	@sh cross/setup.sh test

lint: ## rustfmt and clippy, with all features, with none and with each
	@sh cross/setup.sh lint
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked $(SERVER) -- -D warnings
	$(CARGO) clippy --workspace --all-targets --locked --no-default-features -- -D warnings
	$(CARGO) clippy --locked -- -D warnings
	for feature in tls check ctl ping ml-kem acme; do
		$(CARGO) clippy --locked --no-default-features --features "$$feature" -- -D warnings
	done

generate: ## doc/options.md, the templates and OpenWrt's keys, from the table of flags
	@sh cross/setup.sh build
	WRITE=1 $(CARGO) test --locked $(SERVER) --lib generated_files_are_current

fmt: ## format the sources
	@sh cross/setup.sh lint
	$(CARGO) fmt --all

doc: ## API documentation in target/doc, warnings denied
	@sh cross/setup.sh build
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --document-private-items --locked $(SERVER)

bench: build ## the benchmarks of doc/performance.md, or some: make bench fairness (ARGS='--quick')
	$(CARGO) run --release --locked --package proxy-bench -- $(ARGS) $(filter $(PARTS),$(MAKECMDGOALS))

fuzz: ## a short fuzz run of every parser (FUZZ_SECONDS=30 each)
	@sh cross/setup.sh build
	bash tests/fuzz/run.sh $(FUZZ_SECONDS)

cross: ## static router binaries (TARGET=all PROFILE=minimal FEATURES=lite|full)
	bash cross/build.sh $(TARGET) $(PROFILE) $(FEATURES)

cross-test: ## build, weigh and test every router binary under qemu (TARGET=all SUITE=whole|core)
	@sh cross/setup.sh test
	bash cross/test.sh $(TARGET) $(SUITE)

ipk: ## OpenWrt <= 24.10 packages in target/cross/packages (TARGET=all, or mipsel_24kc …)
	bash cross/package.sh ipk $(TARGET) $(PROFILE) $(FEATURES)

apk: ## OpenWrt packages for newer releases
	bash cross/package.sh apk $(TARGET) $(PROFILE) $(FEATURES)

init-config: ## write config/local.conf from the template of ROLE=both|front|back (CONF=…)
	@sh config/init.sh '$(ROLE)' '$(CONF)'

install: build ## binary, systemd unit, user, flags file (ROLE=both|front|back PREFIX=/usr/local DESTDIR= SYSCONFDIR=/etc)
	install -Dm755 $(BIN) $(DESTDIR)$(PREFIX)/bin/smol-mtproxy
	install -d $(DESTDIR)$(SYSCONFDIR)/systemd/system
	sed 's|/usr/local|$(PREFIX)|; s|/etc/smol-mtproxy|$(SYSCONFDIR)/smol-mtproxy|' config/smol-mtproxy.service \
		>$(DESTDIR)$(SYSCONFDIR)/systemd/system/smol-mtproxy.service
	conf=$(DESTDIR)$(SYSCONFDIR)/smol-mtproxy.conf
	$(MAKE) --no-print-directory init-config CONF=$$conf ROLE='$(ROLE)'
	if [ -z '$(DESTDIR)' ]; then
		id smol-mtproxy >/dev/null 2>&1 ||
			useradd --system --user-group --no-create-home --shell /usr/sbin/nologin smol-mtproxy
		chown root:smol-mtproxy $$conf
		chmod 640 $$conf
		echo "as a service: systemctl daemon-reload; systemctl enable --now smol-mtproxy; its links: sudo smol-mtproxy link"
	fi

clean: ## remove everything built
	rm -rf target .cache
