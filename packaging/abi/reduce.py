#!/usr/bin/env python3
"""Reduces an `abidw` dump, read from standard input, to what a C program can see of the library.

rustc's debug information shows C types from the inside: a handle with all its private fields down to
those of the standard library, and every type under the module that happens to define it. None of
that is part of the promise, so here

- a handle, which is a struct the header declares without a body, loses its fields (`--opaque NAME`);
- namespaces and compilation units are joined, so that a type is known by its name alone;
- what no exported function reaches any more is left out;
- what remains is sorted and numbered afresh, so that equal interfaces give equal dumps.
"""

import argparse
import re
import sys
import xml.etree.ElementTree as ET


def local_name(name: str) -> str:
    """The name without the modules in it: `Option<trimtab::capi::pool::trimtab_pool>` has some."""
    return re.sub(r"\b(?:[A-Za-z_][A-Za-z0-9_]*::)+", "", name)


def declarations(element: ET.Element) -> list[ET.Element]:
    """The types and functions below `element`, whatever namespace they stand in."""
    found = []
    for child in element:
        if child.tag in ("abi-instr", "namespace-decl"):
            found.extend(declarations(child))
        else:
            found.append(child)
    return found


def references(element: ET.Element) -> list[str]:
    """The ids of the types that `element` mentions, in order."""
    return [part.attrib["type-id"] for part in element.iter() if "type-id" in part.attrib]


def reduce(corpus: ET.Element, opaque: set[str]) -> ET.Element:
    types: dict[str, ET.Element] = {}
    functions = []
    for declaration in declarations(corpus):
        if declaration.tag == "function-decl":
            if "elf-symbol-id" in declaration.attrib:
                functions.append(declaration)
            continue
        for part in declaration.iter():
            # A type nested in another (a variant of an enum) is reached together with it.
            if "id" in part.attrib:
                types.setdefault(part.attrib["id"], declaration)
        if declaration.tag == "class-decl" and local_name(declaration.attrib["name"]) in opaque:
            for field in list(declaration):
                declaration.remove(field)
            declaration.text = None
            declaration.attrib.pop("size-in-bits", None)
            declaration.set("is-declaration-only", "yes")

    functions.sort(key=lambda function: function.attrib["elf-symbol-id"])
    reached: list[ET.Element] = []
    pending = [identity for function in functions for identity in references(function)]
    while pending:
        target = types.get(pending.pop(0))
        if target is not None and not any(target is known for known in reached):
            reached.append(target)
            pending.extend(references(target))

    numbers: dict[str, str] = {}
    for declaration in reached:
        for part in declaration.iter():
            if "id" in part.attrib:
                numbers[part.attrib["id"]] = f"type-id-{len(numbers) + 1}"
    instructions = ET.Element("abi-instr", {"address-size": "64", "path": "trimtab", "language": "LANG_C11"})
    for declaration in reached + functions:
        for part in declaration.iter():
            for key in ("id", "type-id"):
                if key in part.attrib:
                    part.set(key, numbers.get(part.attrib[key], part.attrib[key]))
            if "name" in part.attrib:
                part.set("name", local_name(part.attrib["name"]))
        instructions.append(declaration)

    reduced = ET.Element("abi-corpus", dict(corpus.attrib))
    for tag in ("elf-function-symbols", "elf-variable-symbols"):
        reduced.extend(corpus.findall(tag))
    reduced.append(instructions)
    return reduced


def main() -> None:
    parser = argparse.ArgumentParser(description="Reduces an abidw dump to what C sees.")
    parser.add_argument("--opaque", action="append", default=[], help="a struct without a body")
    arguments = parser.parse_args()
    corpus = ET.parse(sys.stdin).getroot()
    reduced = reduce(corpus, set(arguments.opaque))
    ET.indent(reduced)
    print(ET.tostring(reduced, encoding="unicode"))


if __name__ == "__main__":
    main()
