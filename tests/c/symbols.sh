#!/usr/bin/env bash
# symbols.sh HEADER LIBRARY: the shared library exports what the header declares, and nothing else.
set -euo pipefail

declared=$("$(dirname "${BASH_SOURCE[0]}")/functions.sh" "$1")
exported=$(nm -D --defined-only "$2" | awk '{ print $NF }' | LC_ALL=C sort -u)
if [[ -z $declared ]]; then
    echo "symbols: found no function in $1" >&2
    exit 1
fi
if ! diff <(echo "$declared") <(echo "$exported"); then
    echo "symbols: < is declared and not exported, > is exported and not declared" >&2
    exit 1
fi
echo "symbols: $(wc -l <<<"$declared") functions, declared and exported"
