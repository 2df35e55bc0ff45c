#!/usr/bin/env bash
# check.sh LIBRARY [FOLDER]: compares LIBRARY, built with full debug information (profile `abi`), and
# include/trimtab.h with the recorded ABI in FOLDER (default: this folder).
#
# Passes when nothing changed, and, with a note, when functions or constants were only added. Everything
# else fails: a function gone or with another signature, a struct with another size or layout, a
# constant gone or with another value, another soname. One such change is allowed to a person, never to
# this script: a field at the end of a struct that starts with `struct_size`. Having looked, record it:
# `make abi-record ABI_REVIEWED=1`.
set -euo pipefail
# shellcheck source=packaging/abi/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

library=${1:?usage: check.sh LIBRARY [FOLDER]}
recorded=${2:-$abi_folder}

for file in "$recorded/trimtab.abi" "$recorded/trimtab.constants"; do
    if [[ ! -s $file ]]; then
        echo "abi: $file is missing; record it with \`make abi-record\`" >&2
        exit 1
    fi
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dump "$library" >"$work/trimtab.abi"
constants >"$work/trimtab.constants"

# abidiff's exit status is a set of bits: 1 and 2 say that it could not compare, 4 that something changed,
# 8 that the change surely breaks programs. Of 4 alone it does not say whether more than additions are
# in it, so it is asked a second time with the added functions left out.
difference() {
    local status=0
    abidiff --harmless "$@" "$recorded/trimtab.abi" "$work/trimtab.abi" >"$work/report" 2>&1 || status=$?
    if (( status & 3 )); then
        cat "$work/report" >&2
        echo "abi: abidiff could not compare (status $status)" >&2
        exit 1
    fi
    return "$status"
}

failed=0
added=0
if ! difference; then
    mv "$work/report" "$work/full-report"
    if difference --no-added-syms; then
        added=1
        grep -F '[A]' "$work/full-report" || cat "$work/full-report"
    else
        failed=1
        cat "$work/full-report" >&2
    fi
fi

removed_constants=$(LC_ALL=C comm -23 "$recorded/trimtab.constants" "$work/trimtab.constants")
added_constants=$(LC_ALL=C comm -13 "$recorded/trimtab.constants" "$work/trimtab.constants")
if [[ -n $removed_constants ]]; then
    failed=1
    printf 'abi: constants gone or changed:\n%s\nabi: now:\n%s\n' "$removed_constants" "$added_constants" >&2
elif [[ -n $added_constants ]]; then
    added=1
    printf '  [A] %s\n' "${added_constants//$'\n'/$'\n  [A] '}"
fi

if (( failed )); then
    echo "abi: programs built against the recorded interface may break; see above" >&2
    exit 1
fi
if (( added )); then
    echo "abi: only additions; record them with \`make abi-record\`"
else
    echo "abi: as recorded"
fi
