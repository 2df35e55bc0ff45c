#!/usr/bin/env bash
# record.sh LIBRARY: records the ABI of LIBRARY and of include/trimtab.h in this folder. Refuses to record
# anything but additions, unless a person has looked at the change and says so with ABI_REVIEWED=1.
set -euo pipefail
# shellcheck source=packaging/abi/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

library=${1:?usage: record.sh LIBRARY}

if [[ -s $abi_folder/trimtab.abi && ${ABI_REVIEWED:-0} != 1 ]]; then
    "$abi_folder/check.sh" "$library"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dump "$library" >"$work/trimtab.abi"
constants >"$work/trimtab.constants"
cp "$work/trimtab.abi" "$work/trimtab.constants" "$abi_folder/"
echo "abi: recorded $(grep -c '<elf-symbol ' "$abi_folder/trimtab.abi") functions and" \
    "$(wc -l <"$abi_folder/trimtab.constants") constants"
