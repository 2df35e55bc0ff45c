#!/usr/bin/env bash
# functions.sh HEADER: the functions that the header declares, one a line, sorted. Those that it defines
# itself (static inline) are not the library's.
set -euo pipefail

"${CC:-cc}" -std=c99 -fpreprocessed -dD -E -P -x c "$1" |
    grep -v '^#' | grep -v '^static ' |
    grep -oE '\<trimtab_[a-z0-9_]+\(' | tr -d '(' | LC_ALL=C sort -u |
    grep -vxE 'trimtab_(str|bytes)_of'
