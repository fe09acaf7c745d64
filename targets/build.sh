#!/usr/bin/env bash
# One static binary for every board of a kind:   targets/build.sh [aarch64|x86-64]   -> target/dist/tipcam-KIND
# On Debian it needs: dpkg --add-architecture arm64; apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross
# and a Rust with the target (`rustup target add aarch64-unknown-linux-gnu`, or the packages rustc-web and
# libstd-rust-web-dev:arm64). TIPCAM_ASSET=FILE links your own asset instead of the default one.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-aarch64}
case $kind in
aarch64) target=aarch64-unknown-linux-gnu ;;
x86-64) target=x86_64-unknown-linux-gnu ;;
*) echo "targets/build.sh: unknown kind '$kind': say aarch64 or x86-64" >&2; exit 2 ;;
esac
if [ "$kind" = aarch64 ] && [ "$(uname -m)" != aarch64 ]; then
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
        export RUSTC=/usr/bin/rustc
    fi
fi
# Static, so that the board's own C library does not matter. A panic ends the program: no tables to unwind the stack with.
# No processor is named: kernels are chosen at run time.
export RUSTFLAGS="-C target-feature=+crt-static -C force-unwind-tables=no"
# rust-lld is the linker of x86-64: half a megabyte of relocations in 5 kB (read by glibc 2.36, of 2022, or later),
# and functions that came out the same are one.
if [ "$kind" = x86-64 ]; then
    RUSTFLAGS+=" -C link-arg=-Wl,-z,pack-relative-relocs -C link-arg=-Wl,--icf=all"
fi
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/dist-$kind
cargo device --locked --target "$target"
mkdir -p target/dist
cp "$CARGO_TARGET_DIR/$target/dist/tipcam" "target/dist/tipcam-$kind"
if [ "$kind" = "$(uname -m | tr _ -)" ]; then
    "target/dist/tipcam-$kind" --version
fi
ls -l "target/dist/tipcam-$kind"
