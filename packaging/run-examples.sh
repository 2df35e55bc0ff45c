#!/usr/bin/env bash
# Builds the programs in examples/c and examples/cpp as their readers would, against an installed trimtab,
# and runs them. An example passes when it ends within a minute and has printed something. Called by
# `make test-examples`; the examples in Python and Go run with the tests of their bindings.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

: "${STAGE:?}" "${BUILD:?}" "${WARNINGS:?}"
export PKG_CONFIG_PATH=$STAGE/lib/pkgconfig
export LD_LIBRARY_PATH=$STAGE/lib
read -ra warnings <<<"$WARNINGS"
read -ra cflags <<<"$(pkg-config --cflags trimtab)"
read -ra libs <<<"$(pkg-config --libs trimtab)"
mkdir -p "$BUILD"
# No example is a failure too.
shopt -s failglob

# run NAME COMMAND...
run() {
    local name=$1 output
    shift
    echo "example: $name"
    if ! output=$(timeout 60 "$@" 2>&1); then
        printf '%s\n' "$output" >&2
        echo "example: $name failed" >&2
        exit 1
    fi
    if [[ -z $output ]]; then
        echo "example: $name printed nothing" >&2
        exit 1
    fi
    printf '    %s\n' "${output//$'\n'/$'\n'    }"
}

for source in examples/c/*.c; do
    program=$BUILD/c-$(basename "$source" .c)
    "$CC" -std=c99 -O2 "${warnings[@]}" "${cflags[@]}" "$source" "${libs[@]}" -o "$program"
    run "$source" "$program"
done

for source in examples/cpp/*.cpp; do
    program=$BUILD/cpp-$(basename "$source" .cpp)
    "$CXX" -std=c++17 -O2 "${warnings[@]}" "${cflags[@]}" "$source" "${libs[@]}" -o "$program"
    run "$source" "$program"
done
