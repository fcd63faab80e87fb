#!/bin/sh
# Builds the stand-in card's libraries, under the names NVIDIA's have, into the folder given.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT

flags='-std=c++17 -O2 -fPIC -Wall -Wextra'
compile() { # name, further flags
    source=$1
    shift
    # shellcheck disable=SC2086 # the flags are words
    g++ $flags "$@" -c "$here/$source.cpp" -o "$objects/$source.o"
}
card='settings faults memory shared_memory streams copies fibers blocks races launch driver'
for source in $card nvrtc cudnn_work cudnn_interface; do
    compile "$source"
done
# The loops are worth the vector unit.
compile cudnn_loops -O3

link() { # library, version, sources and libraries
    name=$1 version=$2
    shift 2
    g++ -shared -Wl,-Bsymbolic -Wl,-soname,"$name.$version" "$@" -o "$objects/made"
    # A rename, since a program may be using the old one.
    mv "$objects/made" "$out/$name.$version"
    ln -sf "$name.$version" "$out/$name"
}
# shellcheck disable=SC2046 # one word per object
link libcuda.so 1 $(for source in $card; do echo "$objects/$source.o"; done) -ldl -lpthread
link libnvrtc.so 13 "$objects/nvrtc.o" -ldl
# shellcheck disable=SC2016 # $ORIGIN is for the loader
link libcudnn.so 9 "$objects/cudnn_work.o" "$objects/cudnn_interface.o" "$objects/cudnn_loops.o" "$out/libcuda.so.1" -Wl,-rpath,'$ORIGIN'
for header in device.h device_warp.h device_faults.h kernel_interface.h; do
    cp "$here/$header" "$out/$header"
done
