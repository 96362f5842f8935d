# shellcheck shell=bash
# Shared by the scripts that run tests on a processor that this machine does not have. Sourced, not run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# need PROGRAM PACKAGE: stops, saying what to install, if PROGRAM is not there.
need() {
    if ! command -v "$1" >/dev/null; then
        echo "$1 is missing. On Debian: apt-get install --no-install-recommends $2" >&2
        exit 1
    fi
}

# test_on EMULATOR "PROCESSORS" [CARGO TEST ARGUMENTS]: the tests, once on each of these processor models of the
# emulator's, or on $QEMU_CPU alone.
# The dev profile, since it checks integer overflow and assertions; it is optimised, so release would save only a third.
test_on() {
    local emulator=$1 processors=${QEMU_CPU:-$2} processor
    shift 2
    (($#)) || set -- -p espalier-kernels -p espalier-encoder
    for processor in $processors; do
        echo "== $processor: cargo test $*"
        SECONDS=0
        QEMU_CPU=$processor cargo test --config "target.'cfg(all())'.runner = '$emulator'" "$@"
        echo "== $processor: passed in $SECONDS s"
    done
}
