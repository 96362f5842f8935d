#!/usr/bin/env bash
# Runs the tests as on older x86-64 processors, under QEMU's user-mode emulation: with AVX2 but without AVX-512, and with
# neither (the portable kernels). `cargo test` itself runs the best that this machine has.
#
#     scripts/test-x86-levels.sh [CARGO TEST ARGUMENTS]     # default: -p espalier-kernels -p espalier-encoder
source "$(dirname "$0")/emulation.sh"

need cargo cargo-web
need qemu-x86_64 qemu-user

# `enforce` makes QEMU refuse a model of which it lacks a feature (before 7.2 it had no AVX2), rather than run without.
# The features taken away are those of the operating system's part of the processor, which user-mode emulation lacks.
readonly AVX2=Haswell-noTSX,-pcid,-invpcid,-tsc-deadline,-x2apic,enforce
readonly BASELINE=Nehalem,enforce

test_on qemu-x86_64 "$AVX2 $BASELINE" "$@"
