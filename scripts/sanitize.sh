#!/usr/bin/env bash
# The kernels under tools that watch memory and threads. Runs what the installed toolchains allow, downloads nothing,
# and ends with a table of what ran and what did not, and why.
#
#   scripts/sanitize.sh [miri] [address] [thread] [valgrind]      all of them without arguments
#
# Watched are the kernels and their unit tests, which compare them with plain loops, as a package of their own without
# candle: that builds in a minute, and all unsafe code is in it. Buffers are exact allocations here (cfg
# finescale_exact_buffers), filled with NaN. Each tool must first find an error that was planted for it: silence of a
# tool that sees nothing is worth nothing.
#
#   miri      undefined behaviour, in the portable kernels at small shapes    nightly with miri and rust-src
#   address   reads and writes outside of allocations, every instruction set  nightly
#   thread    data races                                                      nightly; better with rust-src
#   valgrind  as address, and values never set, AVX2 and portable             any Rust, valgrind
#
# FINESCALE_NIGHTLY names the nightly toolchain (nightly), FINESCALE_SANITIZE_TARGET the folder of what is built
# (target/sanitize).
set -uo pipefail
cd "$(dirname "$0")/.."

NIGHTLY=${FINESCALE_NIGHTLY:-nightly}
FOLDER=${FINESCALE_SANITIZE_TARGET:-$PWD/target/sanitize}
EXACT="--cfg finescale_exact_buffers"
export RUSTUP_AUTO_INSTALL=0 CARGO_NET_OFFLINE=true
ROOT=$PWD
TABLE=()
FAILED=0
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT

row() { TABLE+=("$(printf '%-9s %-11s %-8s %s' "$@")"); }

skip() {
    echo "== $1: not run: $2"
    row "$1" "-" "not run" "$2"
}

# ran TOOL KERNELS COMMAND...: the command must succeed.
ran() {
    local tool=$1 kernels=$2
    shift 2
    echo "== $tool, $kernels: $*"
    if FINESCALE_SIMD=$kernels "$@" 2>&1 | tee "$LOG"; then
        row "$tool" "$kernels" "clean" "$(awk '/^test result/ { n += $4 } END { print n + 0 }' "$LOG") tests"
    else
        row "$tool" "$kernels" "FAILED" "see above"
        FAILED=1
    fi
}

# finds TOOL KERNELS TEST MESSAGE COMMAND...: the command, with a planted error, must fail with the message.
finds() {
    local tool=$1 kernels=$2 test=$3 message=$4
    shift 4
    if FINESCALE_SIMD=$kernels "$@" --ignored "$test" >"$LOG" 2>&1; then
        row "$tool" "$kernels" "FAILED" "did not find the planted error $test"
        FAILED=1
    elif grep -q "$message" "$LOG"; then
        row "$tool" "$kernels" "found" "the planted error $test ($message)"
    else
        tail -20 "$LOG"
        row "$tool" "$kernels" "FAILED" "no '$message' for the planted error $test"
        FAILED=1
    fi
}

# A package of the kernels alone, with the versions of Cargo.lock.
make_package() {
    mkdir -p "$FOLDER/kernels" || exit 2
    cp Cargo.lock "$FOLDER/kernels/"
    cat >"$FOLDER/kernels/Cargo.toml" <<END
[package]
name = "kernels"
version = "0.0.0"
edition = "2024"
[lib]
path = "lib.rs"
[dependencies]
bytemuck = "1.25"
memmap2 = "0.9"
rayon = "1.12"
[profile.dev]
opt-level = 2
debug = "line-tables-only"
[workspace]
END
    cat >"$FOLDER/kernels/lib.rs" <<END
#![allow(dead_code, unused_imports, unexpected_cfgs, reason = "the engine that uses all of it is not here")]
mod buffer;
mod kernels;
END
    local source
    for source in buffer.rs kernels.rs kernels; do
        ln -sfn "$PWD/crates/layers3d/src/$source" "$FOLDER/kernels/$source" || exit 2
    done
    cd "$FOLDER/kernels" || exit 2
}

# Instruction sets that this CPU has.
simd_of_cpu() {
    local sets=portable
    grep -qw fma /proc/cpuinfo 2>/dev/null && grep -qw avx2 /proc/cpuinfo && sets="avx2 $sets"
    grep -qw avx512f /proc/cpuinfo 2>/dev/null && sets="avx512 $sets"
    echo "$sets"
}

have_nightly() { cargo "+$NIGHTLY" --version >/dev/null 2>&1; }
sysroot() { rustc "+$NIGHTLY" --print sysroot; }
host() { rustc "+$NIGHTLY" -vV | sed -n 's/^host: //p'; }
# The standard library's source, and what that is built with, which cargo does not fetch by itself when it is offline.
library() { echo "$(sysroot)/lib/rustlib/src/rust/library"; }
have_source() {
    [ -d "$(library)" ] && cargo "+$NIGHTLY" fetch --offline --manifest-path "$(library)/Cargo.toml" >/dev/null 2>&1
}
get_source() {
    echo "rustup component add rust-src --toolchain $NIGHTLY; cargo +$NIGHTLY fetch --manifest-path $(library)/Cargo.toml"
}
have_runtime() { compgen -G "$(sysroot)/lib/rustlib/$(host)/lib/librustc*_rt.$1.a" >/dev/null; }

run_miri() {
    have_nightly || { skip miri "no toolchain $NIGHTLY"; return; }
    cargo "+$NIGHTLY" miri --version >/dev/null 2>&1 || {
        skip miri "rustup component add miri rust-src --toolchain $NIGHTLY"
        return
    }
    have_source || { skip miri "$(get_source)"; return; }
    # Feature detection finds no AVX under Miri. Threads of rayon's pool outlive the tests: their memory is no leak.
    local -x MIRIFLAGS="-Zmiri-tree-borrows -Zmiri-ignore-leaks -Zmiri-disable-isolation"
    local -x RUSTFLAGS=$EXACT CARGO_TARGET_DIR=$FOLDER/miri
    local test=(cargo "+$NIGHTLY" miri test --lib)
    finds miri portable load_behind "Undefined Behavior" "${test[@]}" --
    ran miri portable "${test[@]}"
}

run_address() {
    have_nightly || { skip address "no toolchain $NIGHTLY"; return; }
    have_runtime asan || { skip address "$NIGHTLY has no AddressSanitizer for $(host)"; return; }
    # rayon never frees a pool that the main thread is in.
    local -x RUSTFLAGS="$EXACT -Zsanitizer=address" CARGO_TARGET_DIR=$FOLDER/address ASAN_OPTIONS=detect_leaks=0
    local test=(cargo "+$NIGHTLY" test --lib --target "$(host)")
    for simd in $(simd_of_cpu); do
        finds address "$simd" load_behind heap-buffer-overflow "${test[@]}" --
        finds address "$simd" store_behind heap-buffer-overflow "${test[@]}" --
        ran address "$simd" "${test[@]}"
    done
}

run_thread() {
    have_nightly || { skip thread "no toolchain $NIGHTLY"; return; }
    have_runtime tsan || { skip thread "$NIGHTLY has no ThreadSanitizer for $(host)"; return; }
    # Without fences, which ThreadSanitizer does not know.
    local -x RUSTFLAGS="$EXACT -Zsanitizer=thread --cfg crossbeam_sanitize_thread" CARGO_TARGET_DIR=$FOLDER/thread
    local build=() only=()
    if have_source; then
        build=(-Zbuild-std)
    else
        RUSTFLAGS+=" -Cunsafe-allow-abi-mismatch=sanitizer"
        only=(kernels_in_a_pool_of_their_own --test-threads 1)
        echo "== thread: without $(get_source)"
        echo "== the locks of the standard library are not seen: only the test that needs none"
    fi
    local -x TSAN_OPTIONS="suppressions=$ROOT/scripts/tsan.suppressions halt_on_error=0"
    local test=(cargo "+$NIGHTLY" test --lib "${build[@]}" --target "$(host)")
    local widest
    widest=$(simd_of_cpu)
    finds thread "${widest%% *}" planted_race "data race" "${test[@]}" --
    ran thread "${widest%% *}" "${test[@]}" -- "${only[@]}"
}

run_valgrind() {
    command -v valgrind >/dev/null || { skip valgrind "not installed"; return; }
    local -x RUSTFLAGS=$EXACT CARGO_TARGET_DIR=$FOLDER/valgrind
    local binary simds
    binary=$(cargo test --no-run --message-format=json | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1)
    [ -n "$binary" ] || { row valgrind - FAILED "the tests do not build"; FAILED=1; return; }
    local test=(valgrind --quiet --error-exitcode=9 "$binary")
    simds=$(simd_of_cpu)
    for simd in ${simds#avx512 }; do # valgrind has no AVX-512
        finds valgrind "$simd" load_behind "Invalid read" "${test[@]}"
        finds valgrind "$simd" store_behind "Invalid write" "${test[@]}"
        ran valgrind "$simd" "${test[@]}"
    done
}

make_package
for tool in ${*:-miri address thread valgrind}; do
    case $tool in
    miri | address | thread | valgrind) "run_$tool" ;;
    *) echo "no such tool: $tool (miri, address, thread, valgrind)" >&2 && exit 2 ;;
    esac
done

echo
printf '%-9s %-11s %-8s %s\n' tool kernels outcome what
printf '%s\n' "${TABLE[@]}"
exit $FAILED
