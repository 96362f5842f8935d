#!/usr/bin/env bash
# Builds the tests for 64-bit Arm and runs them on an x86-64 Linux machine, under QEMU's user-mode emulation.
#
#     scripts/test-aarch64.sh [CARGO TEST ARGUMENTS]     # default: -p espalier-kernels -p espalier-encoder
#     QEMU_CPU=cortex-a76 scripts/test-aarch64.sh        # one processor model instead of the oldest and the newest
source "$(dirname "$0")/emulation.sh"

readonly TARGET=aarch64-unknown-linux-gnu

# Chooses the first Rust with a standard library for the target: the one in use, then the Linux distribution's.
choose_rust() {
    local bin library
    for bin in "" /usr/bin/; do
        library=$("${bin}rustc" --print target-libdir --target "$TARGET" 2>/dev/null) || continue
        if compgen -G "$library/libstd-*.rlib" >/dev/null; then
            export RUSTC=${bin}rustc RUSTDOC=${bin}rustdoc
            echo "== $("$RUSTC" --version), standard library in $library"
            return
        fi
    done
    cat >&2 <<END
No Rust here has a standard library for $TARGET. Install one by

    rustup target add $TARGET

or, where rustup cannot download, on Debian:

    dpkg --add-architecture arm64 && apt-get update
    apt-get install --no-install-recommends rustc-web libstd-rust-web-dev:arm64
END
    exit 1
}

need cargo cargo-web
need aarch64-linux-gnu-gcc "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
need qemu-aarch64 qemu-user
choose_rust

# An arm64 C library of the system's own needs no prefix, and must not have one: QEMU would start it with the loader of
# the cross compiler's, and the first thread would wait for ever.
if [[ ! -e /lib/ld-linux-aarch64.so.1 ]]; then
    export QEMU_LD_PREFIX=${QEMU_LD_PREFIX:-/usr/aarch64-linux-gnu}
fi
export CARGO_BUILD_TARGET=$TARGET
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc

# Plain NEON; then every extension that QEMU knows, dot products and matrix products (i8mm, bf16) among them.
test_on qemu-aarch64 "cortex-a53 max" "$@"
