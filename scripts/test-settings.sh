#!/usr/bin/env bash
# Runs the tests as other processors would run them (docs/portability.md): all of them with the
# precision that `auto` does not mean here, and those of kernels and encoder at each level of
# instructions below this machine's best. Run `cargo test --workspace` first, which builds them.
#
#     scripts/test-settings.sh
set -euo pipefail
cd "$(dirname "$0")/.."

doctor=$("${CARGO_TARGET_DIR:-target}/debug/espalier" doctor --json)
# has NAME VALUE: whether this stands in what `espalier doctor` says.
has() { grep -qF "\"$1\":$2" <<<"$doctor"; }

# run SETTING [CARGO TEST ARGUMENTS]: always the whole workspace, so that nothing is built again.
run() {
    echo "== $1"
    env "$1" cargo test --workspace "${@:2}"
}

if has auto '"bf16"'; then run ESPALIER_AUTO_PRECISION=f32; else run ESPALIER_AUTO_PRECISION=bf16; fi

levels=()
if has "AVX2 + FMA" true || has "NEON dot product" true; then levels+=(portable); fi
if has AVX-512 true; then levels+=(avx2); fi
if has AVX512_BF16 true || has AVX512_VNNI true; then levels+=(avx512); fi
if has AMX-BF16 true || has AMX-INT8 true; then levels+=(avx512-bf16); fi
tests=(gemm operations low_precision stored parity other_architectures mlm_head)
for level in "${levels[@]}"; do
    run "ESPALIER_INSTRUCTIONS=$level" "${tests[@]/#/--test=}"
done
