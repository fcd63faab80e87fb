#!/usr/bin/env bash
# Proves that finescale loses nothing: builds it, and lets every write, sync, rename and removal of every command fail
# once. prove_durability.py says what is judged, and prints the table.
#
#   scripts/prove_durability.sh [--short] [--only NAME] [--binary FILE] ...      --help lists all
#
# It needs strace, and for full disks root. Exit codes: 0 proven, 1 not, 3 something is missing to find out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

missing() {
    echo "skipped: $1" >&2
    exit 3
}

strace_by_apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || return 1
    echo "strace is missing: installing it with apt-get." >&2
    apt-get install -y --no-install-recommends strace > /dev/null ||
        { apt-get update > /dev/null && apt-get install -y --no-install-recommends strace > /dev/null; }
}

[ "$(uname -s)" = Linux ] || missing "system calls fail on demand only under Linux, by strace"
command -v python3 > /dev/null || missing "python3 is not there"
command -v strace > /dev/null || strace_by_apt ||
    missing "strace is not there; install it with 'apt install strace' or 'dnf install strace'"
strace -e trace=write -e inject=write:error=EIO:when=9999 true 2> /dev/null ||
    missing "strace is too old, or may not trace here (kernel.yama.ptrace_scope, or a container without SYS_PTRACE)"

case " $* " in
    *" --binary"* | *" --help "* | *" -h "*) ;;
    *)
        source "$here/hdf5.sh"
        (cd "$here/.." && cargo build --release --locked --package finescale "${CARGO_FEATURES[@]}")
        ;;
esac
exec python3 "$here/prove_durability.py" "$@"
