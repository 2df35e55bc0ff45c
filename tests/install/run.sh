#!/usr/bin/env bash
# Installs trimtab into a staging folder as a package builder does, looks at every file, and builds C, C++
# and CMake programs against it, shared and static; then moves the whole prefix elsewhere and builds
# them again. Called by `make test-install`.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
: "${VERSION:?}" "${SOVERSION:?}" "${WARNINGS:?}"
cc=${CC:-cc}
cxx=${CXX:-c++}
read -ra warnings <<<"$WARNINGS"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { echo "install test: $*"; }
die() {
    echo "install test: $*" >&2
    exit 1
}

# subcommands [SUBCOMMAND]: what the help says there are, of the command or of a subcommand.
subcommands() {
    "$prefix/bin/trimtab" "$@" --help | sed -nE '/^Commands:/,/^$/s/^  ([a-z]+) .*/\1/p' | { grep -vx help || true; }
}

make -C "$root" install DESTDIR="$work/stage" PREFIX=/opt/trimtab >"$work/install.log" 2>&1 ||
    { cat "$work/install.log" >&2; die "make install failed"; }
prefix=$work/stage/opt/trimtab

# --- every file, and none besides ---------------------------------------------------------------------

cat >"$work/expected" <<FILES
bin/trimtab
include/trimtab.h
include/trimtab.hpp
lib/cmake/trimtab/trimtabConfig.cmake
lib/cmake/trimtab/trimtabConfigVersion.cmake
lib/libtrimtab.a
lib/libtrimtab.so
lib/libtrimtab.so.$SOVERSION
lib/libtrimtab.so.$VERSION
lib/pkgconfig/trimtab.pc
share/bash-completion/completions/trimtab
share/doc/trimtab/CHANGELOG.md
share/doc/trimtab/LICENSE-APACHE
share/doc/trimtab/LICENSE-MIT
share/doc/trimtab/README.md
share/fish/vendor_completions.d/trimtab.fish
share/man/man1/trimtab.1
share/zsh/site-functions/_trimtab
FILES
# The pages of docs/ and of the subcommands come and go with what there is to tell.
{
    for page in "$root"/docs/*.md; do
        echo "share/doc/trimtab/$(basename "$page")"
    done
    subcommands | sed 's|.*|share/man/man1/trimtab-&.1|'
    for subcommand in $(subcommands); do
        subcommands "$subcommand" | sed "s|.*|share/man/man1/trimtab-$subcommand-&.1|"
    done
} >>"$work/expected"
LC_ALL=C sort -o "$work/expected" "$work/expected"
(cd "$work/stage" && find . -type f -o -type l) | sed 's|^\./opt/trimtab/||' | LC_ALL=C sort >"$work/installed"
diff -u "$work/expected" "$work/installed" >&2 || die "other files are installed than expected"
while read -r file; do
    [[ -s $prefix/$file ]] || die "$file is empty or a dangling link"
done <"$work/installed"
for page in "$prefix"/share/man/man1/*; do
    grep -q "^\.TH $(basename "$page" .1) 1 " "$page" || die "$page is no man page, or another's"
done
[[ -s $prefix/share/man/man1/trimtab-ctl-drain.1 ]] || die "the subcommands of subcommands have no pages"
for completions in bash-completion/completions/trimtab zsh/site-functions/_trimtab \
    fish/vendor_completions.d/trimtab.fish; do
    grep -q maxconn "$prefix/share/$completions" || die "$completions does not know the verbs of ctl"
done
bash -n "$prefix/share/bash-completion/completions/trimtab" || die "the bash completions do not parse"
if grep -rlE "@[A-Z_]+@" "$prefix/lib/pkgconfig" "$prefix/lib/cmake"; then
    die "a name was not filled in"
fi
if grep -rlF -e "$work" -e /opt/trimtab "$prefix/lib/pkgconfig" "$prefix/lib/cmake" "$prefix/include"; then
    die "a path is written down where it must be relative"
fi
say "every file is there"

# --- the shared library -------------------------------------------------------------------------------

library=$prefix/lib/libtrimtab.so.$VERSION
soname=$(readelf -d "$library" | sed -nE 's/.*\(SONAME\).*\[(.*)\].*/\1/p')
[[ $soname == "libtrimtab.so.$SOVERSION" ]] || die "the soname is '$soname'"
[[ $(readlink "$prefix/lib/libtrimtab.so") == "libtrimtab.so.$SOVERSION" ]] || die "libtrimtab.so points elsewhere"
[[ $(readlink "$prefix/lib/libtrimtab.so.$SOVERSION") == "libtrimtab.so.$VERSION" ]] ||
    die "libtrimtab.so.$SOVERSION points elsewhere"
nm -D --defined-only "$library" | awk '{ print $3 }' | LC_ALL=C sort >"$work/exported"
if grep -v '^trimtab_[a-z0-9_]*$' "$work/exported"; then
    die "the library exports more than trimtab_*"
fi
# Every function is declared at the start of a line; what the header itself defines is `static`.
"$cc" -E -P "$prefix/include/trimtab.h" | grep -v '^static ' |
    sed -nE 's/^[a-z].*[ *](trimtab_[a-z0-9_]+)\(.*/\1/p' | LC_ALL=C sort -u >"$work/declared"
diff "$work/declared" "$work/exported" >&2 || die "header (<) and library (>) disagree"
needed=$(readelf -d "$library" | sed -nE 's/.*\(NEEDED\).*\[(.*)\].*/\1/p')
while read -r name; do
    case $name in
    libc.so.* | libm.so.* | libgcc_s.so.* | libpthread.so.* | libdl.so.* | librt.so.* | ld-linux*) ;;
    *) die "the library needs $name" ;;
    esac
done <<<"$needed"
if readelf -S "$library" "$prefix/lib/libtrimtab.a" | grep -q '\.debug_info'; then
    die "debug information is installed"
fi
[[ $("$prefix/bin/trimtab" --version) == "trimtab $VERSION"* ]] || die "bin/trimtab has another version"
say "soname, links, $(wc -l <"$work/exported") exported functions"

# --- programs -----------------------------------------------------------------------------------------

# answers PROGRAM LANGUAGE: runs it without help from the environment.
answers() {
    local output
    output=$(env -u LD_LIBRARY_PATH "$1") || die "$1 failed"
    [[ $output == "trimtab $VERSION from $2" ]] || die "$1 says '$output'"
}

uses_shared() { readelf -d "$1" | grep -q "NEEDED.*libtrimtab\.so\.$SOVERSION"; }

# programs PREFIX: builds and runs all there are against PREFIX.
programs() {
    local prefix=$1 out=$work/out
    local -a cflags libs
    rm -rf "$out"
    mkdir "$out"
    export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
    [[ $(pkg-config --modversion trimtab) == "$VERSION" ]] || die "pkg-config has another version"
    read -ra cflags <<<"$(pkg-config --cflags trimtab)"
    read -ra libs <<<"$(pkg-config --libs trimtab)"

    "$cc" -std=c99 "${warnings[@]}" "${cflags[@]}" "$here/consumer.c" "${libs[@]}" "-Wl,-rpath,$prefix/lib" \
        -o "$out/c-shared"
    uses_shared "$out/c-shared" || die "the shared C program does not use the shared library"
    answers "$out/c-shared" C

    # Carries trimtab alone; with -static also the C library.
    read -ra libs <<<"$(pkg-config --variable=static trimtab)"
    "$cc" -std=c99 "${warnings[@]}" "${cflags[@]}" "$here/consumer.c" "${libs[@]}" -o "$out/c-archive"
    if uses_shared "$out/c-archive"; then die "the static C program uses the shared library"; fi
    answers "$out/c-archive" C
    read -ra libs <<<"$(pkg-config --static --libs trimtab)"
    # The linker warns of what the standard library could look up; trimtab looks up no names.
    "$cc" -std=c99 "${warnings[@]}" "${cflags[@]}" -static "$here/consumer.c" "${libs[@]}" -o "$out/c-static" \
        2>"$work/link.log" || { cat "$work/link.log" >&2; die "linking fully static failed"; }
    if readelf -d "$out/c-static" | grep -q NEEDED; then die "the fully static C program needs libraries"; fi
    answers "$out/c-static" C

    read -ra libs <<<"$(pkg-config --libs trimtab)"
    "$cxx" -std=c++17 "${warnings[@]}" "${cflags[@]}" "$here/consumer.cpp" "${libs[@]}" \
        "-Wl,-rpath,$prefix/lib" -o "$out/cpp-shared"
    answers "$out/cpp-shared" C++
    say "pkg-config: C shared and static, C++"

    cmake -S "$here" -B "$out/cmake" -DCMAKE_PREFIX_PATH="$prefix" -DWANTED_VERSION="${VERSION%.*}" \
        -DCMAKE_BUILD_TYPE=Release >"$work/cmake.log" 2>&1 || { cat "$work/cmake.log" >&2; die "cmake failed"; }
    cmake --build "$out/cmake" >"$work/cmake.log" 2>&1 || { cat "$work/cmake.log" >&2; die "the CMake build failed"; }
    answers "$out/cmake/c_trimtab" C
    answers "$out/cmake/c_static" C
    answers "$out/cmake/cpp_trimtab" C++
    answers "$out/cmake/cpp_static" C++
    uses_shared "$out/cmake/c_trimtab" || die "trimtab::trimtab is not the shared library"
    if uses_shared "$out/cmake/c_static"; then die "trimtab::static is the shared library"; fi
    # A version that is not there must not be found.
    if cmake -S "$here" -B "$out/newer" -DCMAKE_PREFIX_PATH="$prefix" -DWANTED_VERSION=99 >/dev/null 2>&1; then
        die "find_package(trimtab 99) finds $VERSION"
    fi
    say "CMake: C and C++, shared and static"
}

programs "$prefix"
mkdir -p "$work/elsewhere"
mv "$prefix" "$work/elsewhere/moved"
say "moved the prefix"
programs "$work/elsewhere/moved"
say "all good"
