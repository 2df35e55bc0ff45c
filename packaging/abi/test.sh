#!/usr/bin/env bash
# test.sh LIBRARY: shows that check.sh can fail. Doctors the record in the ways in which a release could
# break a program, and expects each to be refused, and each harmless difference to pass.
set -euo pipefail
# shellcheck source=packaging/abi/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

library=${1:?usage: test.sh LIBRARY}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# expect pass|fail DESCRIPTION COMMAND...: runs COMMAND on a fresh copy of the record, then the check.
expect() {
    local wanted=$1 description=$2 got=pass
    shift 2
    rm -rf "$work/record"
    mkdir "$work/record"
    dump "$library" >"$work/record/trimtab.abi"
    constants >"$work/record/trimtab.constants"
    cp "$work/record/trimtab.abi" "$work/before.abi"
    cp "$work/record/trimtab.constants" "$work/before.constants"
    "$@"
    if [[ $description != "nothing changed" ]] &&
        cmp -s "$work/before.abi" "$work/record/trimtab.abi" &&
        cmp -s "$work/before.constants" "$work/record/trimtab.constants"; then
        echo "abi test: \"$description\" changed nothing in the record" >&2
        exit 1
    fi
    "$abi_folder/check.sh" "$library" "$work/record" >"$work/output" 2>&1 || got=fail
    if [[ $got != "$wanted" ]]; then
        cat "$work/output" >&2
        echo "abi test: \"$description\" should $wanted" >&2
        exit 1
    fi
    echo "abi test: $description: $wanted, as it should"
}

abi=$work/record/trimtab.abi
list=$work/record/trimtab.constants

function_had_another_name() { sed -i "s/trimtab_pool_new\b/trimtab_pool_gone/g" "$abi"; }
function_was_not_there() {
    python3 - "$abi" <<'PYTHON'
import sys
import xml.etree.ElementTree as ET

tree = ET.parse(sys.argv[1])
for parent in list(tree.getroot().iter()):
    for child in list(parent):
        if "trimtab_pool_free" in (child.attrib.get("elf-symbol-id"), child.attrib.get("name")):
            parent.remove(child)
tree.write(sys.argv[1])
PYTHON
}
# doctor PART: changes one number or type of the first public struct or of the first function that has a
# parameter.
doctor() {
    python3 - "$abi" "$1" <<'PYTHON'
import sys
import xml.etree.ElementTree as ET

path, part = sys.argv[1:]
tree = ET.parse(path)
structs = [
    entry
    for entry in tree.getroot().iter("class-decl")
    if entry.attrib["name"].startswith("trimtab_") and len(entry.findall("data-member")) > 1
]
functions = [entry for entry in tree.getroot().iter("function-decl") if entry.find("parameter") is not None]
if part == "size":
    structs[0].set("size-in-bits", str(int(structs[0].attrib["size-in-bits"]) + 64))
elif part == "field":
    structs[0].remove(structs[0].findall("data-member")[-1])
elif part == "order":
    first, second = structs[0].findall("data-member")[:2]
    names = [entry.find("var-decl") for entry in (first, second)]
    swapped = [dict(names[1].attrib), dict(names[0].attrib)]
    for entry, attributes in zip(names, swapped):
        entry.attrib.clear()
        entry.attrib.update(attributes)
elif part == "parameter":
    functions[0].remove(functions[0].find("parameter"))
elif part == "soname":
    tree.getroot().set("soname", "libtrimtab.so.9")
tree.write(path)
PYTHON
}
constant_had_another_value() { sed -i '1s/ .*/ 424242/' "$list"; }
constant_was_there() { echo 'TRIMTAB_Z_GONE 1' >>"$list"; }
constant_was_not_there() { sed -i 1d "$list"; }

expect pass "nothing changed" true
expect pass "a function more" function_was_not_there
expect pass "a constant more" constant_was_not_there
expect fail "a function gone" function_had_another_name
expect fail "a parameter more" doctor parameter
expect fail "a struct of another size" doctor size
expect fail "a field more in a struct" doctor field
expect fail "two fields in another order" doctor order
expect fail "another soname" doctor soname
expect fail "a constant with another value" constant_had_another_value
expect fail "a constant gone" constant_was_there
