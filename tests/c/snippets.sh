#!/usr/bin/env bash
# snippets.sh INCLUDE_DIR BUILD FILE...: compiles each piece of C and C++ in these pages, as it stands, in a function of its
# own. A page without any fails, as does one that does not compile.
set -euo pipefail
include=$1 build=$2
shift 2
warnings=(-Wall -Wextra -Werror -Wno-unused-variable -pedantic "-I$include" -fsyntax-only)

# pieces PAGE LANGUAGE: the pieces of a page, each in a function; nothing if there are none.
pieces() {
    awk -v language="$2" '
        $0 == "```" language { printf "void snippet_%d(void)\n{\n#line %d \"%s\"\n", ++count, NR + 1, FILENAME; inside = 1; next }
        inside && $0 == "```" { print "}"; inside = 0; next }
        inside { print }' "$1"
}

for page in "$@"; do
    name=$build/$(basename "$page" .md)
    {
        printf '#include <stdio.h>\n#include <string.h>\n#include <trimtab.h>\n'
        pieces "$page" c | sed -E 's/^void (snippet_[0-9]+)\(void\)$/void \1(void);\n&/'
    } >"$name-snippets.c"
    {
        printf '#include <iostream>\n#include <trimtab.hpp>\nusing namespace std::chrono_literals;\n'
        pieces "$page" cpp
    } >"$name-snippets.cpp"
    for language in c cpp; do
        count=$(grep -c '^void snippet_[0-9]*(void)$' "$name-snippets.$language") || {
            echo "snippets: $page has nothing in $language" >&2
            exit 1
        }
        if [[ $language == c ]]; then
            "${CC:-cc}" -std=c99 "${warnings[@]}" "$name-snippets.c"
        else
            "${CXX:-c++}" -std=c++17 "${warnings[@]}" "$name-snippets.cpp"
        fi
        echo "snippets: ${page##*/}: $count in $language"
    done
done
