#!/usr/bin/env bash
# Installs the wheel as a user's pip builds it into a virtual environment that never saw trimtab, and runs
# the tests, the type checks and the examples on it. Everything made goes below BUILD_DIR/python (build/python
# of the checkout) and CARGO_TARGET_DIR (target/python, so that the next run builds only what changed).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
root=$(cd ../.. && pwd)
build=${BUILD_DIR:-$root/build}/python
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target/python}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1

step() { printf '\n-- %s\n' "$1"; }

step "install into a fresh virtual environment"
rm -rf "$build"
"${PYTHON:-python3}" -m venv "$build"
python=$build/bin/python
# Without what makes it fast: it does the same, and is built in a third of the time.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
"$python" -m pip install --quiet -r requirements-dev.txt "$root/bindings/python"

step "pytest"
"$python" -m pytest -q -p no:cacheprovider "$@"

step "mypy --strict"
"$python" -m mypy --strict --cache-dir="$build/mypy" .
MYPYPATH=python "$python" -m mypy --strict --cache-dir="$build/mypy" "$root/examples/python"

step "examples"
for example in "$root"/examples/python/*.py; do
    echo "examples/python/$(basename "$example")"
    (cd "$build" && timeout 60 "$python" "$example" | sed 's/^/    /')
done

step "a panic, in a build with the feature test-hook"
MATURIN_PEP517_ARGS="--features test-hook" "$python" -m pip install --quiet --no-deps \
    --target "$build/test-hook" "$root/bindings/python"
PYTHONPATH=$build/test-hook "$python" -m pytest -q -p no:cacheprovider tests/test_panic.py
