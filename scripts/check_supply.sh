#!/usr/bin/env bash
# What comes in from outside: licences, sources and advisories by cargo-deny (deny.toml), and the oldest
# Rust that the workspace promises. It says what it could check here, and what not.
#
#   scripts/check_supply.sh [--install]        --install: installs cargo-deny with cargo where it is missing (minutes)
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/hdf5.sh

case ${1:-} in
    --install) command -v cargo-deny > /dev/null || cargo install cargo-deny --locked ;;
    "") ;;
    *) echo "usage: scripts/check_supply.sh [--install]" >&2 && exit 2 ;;
esac

# Errors only: `cargo deny check bans` lists the duplicates, which are warnings.
deny() {
    cargo deny --locked --log-level error check --hide-inclusion-graph "$@"
}

check_licences() {
    if ! command -v cargo-deny > /dev/null; then
        echo "not checked: licences, sources, advisories (no cargo-deny here; scripts/check_supply.sh --install)"
        return
    fi
    # It reads the files of all dependencies, those of other platforms as well.
    if ! cargo fetch --locked > target/fetch.log 2>&1; then
        echo "not checked: licences, sources, advisories; not all dependencies can be had (target/fetch.log)"
        return
    fi
    deny licenses bans sources
    # Advisories are a git repository on GitHub.
    if cargo deny --locked --log-level error fetch db > target/advisories.log 2>&1; then
        deny advisories
    else
        echo "not checked: advisories; their database could not be had (target/advisories.log)"
    fi
}

# Everything in Cargo.lock; without a network what this machine builds is all there is.
metadata() {
    cargo metadata --locked --format-version 1 --all-features 2> target/metadata.log && return
    echo "not looked at: dependencies for other platforms and features, which cannot be had (target/metadata.log)" >&2
    cargo metadata --locked --offline --format-version 1 --filter-platform "$(rustc -vV | sed -n 's/^host: //p')"
}

# The oldest Rust that all dependencies declare against the one that we promise.
check_declared_rust() {
    metadata | python3 -c '
import json, sys

number = lambda text: tuple(int(part) for part in (text.split(".") + ["0", "0"])[:3])
packages = json.load(sys.stdin)["packages"]
ours = min((p["rust_version"] for p in packages if p["source"] is None), key=number)
theirs = [p for p in packages if p["source"]]
said = [p for p in theirs if p["rust_version"]]
newer = [p for p in said if number(p["rust_version"]) > number(ours)]
highest = max((p["rust_version"] for p in said), key=number)
for p in newer:
    print("%s %s needs Rust %s, we promise %s" % (p["name"], p["version"], p["rust_version"], ours), file=sys.stderr)
print("Rust %s is promised; the %d of %d dependencies that say what they need want at most %s"
      % (ours, len(said), len(theirs), highest))
sys.exit(bool(newer))'
}

check_built_rust() {
    local oldest
    oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    [ -n "$oldest" ] || { echo "Cargo.toml: no rust-version" >&2 && return 1; }
    if ! command -v rustup > /dev/null || ! rustup run "$oldest" rustc --version > /dev/null 2>&1; then
        echo "not checked: that Rust $oldest builds the workspace (rustup toolchain install $oldest)"
        return
    fi
    # A target directory of its own: the other compiler's files stay as they are.
    CARGO_TARGET_DIR=target/rust-$oldest rustup run "$oldest" \
        cargo check --workspace --all-targets --locked "${CARGO_FEATURES[@]}"
    echo "Rust $oldest builds the workspace"
}

mkdir -p target
check_licences
check_declared_rust
check_built_rust
