# Shared by the scripts in this folder: what the library and its header promise, as text. Sourced.
# shellcheck shell=bash

abi_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
header=${HEADER:-$abi_folder/../../include/trimtab.h}

# The structs that the header declares and never defines.
opaque_types() {
    comm -23 \
        <(sed -nE 's/^typedef struct (trimtab_[a-z0-9_]+) trimtab_[a-z0-9_]+;$/\1/p' "$header" | sort -u) \
        <(sed -nE 's/^(typedef )?struct (trimtab_[a-z0-9_]+) \{.*$/\2/p' "$header" | sort -u)
}

# dump LIBRARY: the functions and types, as abidiff reads them.
dump() {
    local library=$1 name
    local -a opaque=()
    while read -r name; do
        opaque+=(--opaque "$name")
    done < <(opaque_types)
    abidw --no-show-locs --no-comp-dir-path --no-corpus-path "$library" |
        python3 "$abi_folder/reduce.py" "${opaque[@]}"
}

# constants: the macros with their values, which debug information does not hold. The version moves
# by design, and the include guard has no value.
constants() {
    "${CC:-cc}" -std=c11 -dM -E -x c "$header" |
        sed -nE '/ TRIMTAB_VERSION(_[A-Z]+)? /d; s/^#define (TRIMTAB_[A-Z0-9_]+) +(.+)$/\1 \2/p' |
        LC_ALL=C sort
}
