#!/usr/bin/env bash
# Lays down what `make install` installs; called by it with the variables below. Whatever is installed finds
# its neighbours by relative paths, so the whole prefix can be moved.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

: "${RELEASE:?}" "${VERSION:?}" "${SOVERSION:?}" "${STATIC_LIBS:?}" "${PREFIX:?}" "${LIBDIR:?}"
if [[ $LIBDIR = /* ]]; then
    echo "install: LIBDIR=$LIBDIR must be relative to PREFIX" >&2
    exit 2
fi
prefix=${DESTDIR:-}$PREFIX
libdir=$prefix/$LIBDIR
command=$RELEASE/trimtab

for built in "$RELEASE/libtrimtab.so" "$RELEASE/libtrimtab.a" "$command"; do
    if [[ ! -f $built ]]; then
        echo "install: $built is missing; run \`make build\` first" >&2
        exit 1
    fi
done

# put MODE SOURCE TARGET
put() {
    install -D -m "$1" "$2" "$3"
    echo "installed $3"
}

# fill TEMPLATE TARGET: replaces the @NAMES@.
fill() {
    local from_target
    from_target=$(realpath -m --relative-to="$(dirname "$2")" "$prefix")
    sed -e "s|@VERSION@|$VERSION|g" -e "s|@SOVERSION@|$SOVERSION|g" -e "s|@LIBDIR@|$LIBDIR|g" \
        -e "s|@TO_PREFIX@|$from_target|g" -e "s|@STATIC_LIBS@|$STATIC_LIBS|g" \
        -e "s|@STATIC_LIBS_CMAKE@|${STATIC_LIBS// /;}|g" "$1" >"$work/filled"
    put 644 "$work/filled" "$2"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

put 644 include/trimtab.h "$prefix/include/trimtab.h"
put 644 include/trimtab.hpp "$prefix/include/trimtab.hpp"

# `strip -g` takes the archive from some 20 MB to little more than half and leaves all symbols in place.
cp "$RELEASE/libtrimtab.a" "$RELEASE/libtrimtab.so" "$work/"
strip --strip-debug "$work/libtrimtab.a"
strip --strip-unneeded "$work/libtrimtab.so"
put 644 "$work/libtrimtab.a" "$libdir/libtrimtab.a"
put 755 "$work/libtrimtab.so" "$libdir/libtrimtab.so.$VERSION"
ln -sfn "libtrimtab.so.$VERSION" "$libdir/libtrimtab.so.$SOVERSION"
ln -sfn "libtrimtab.so.$SOVERSION" "$libdir/libtrimtab.so"

fill packaging/trimtab.pc.in "$libdir/pkgconfig/trimtab.pc"
fill packaging/trimtabConfig.cmake.in "$libdir/cmake/trimtab/trimtabConfig.cmake"
fill packaging/trimtabConfigVersion.cmake.in "$libdir/cmake/trimtab/trimtabConfigVersion.cmake"

put 755 "$command" "$prefix/bin/trimtab"
# pages [SUBCOMMAND...]: the page of the command or of a subcommand, and those of all that this one names; `help`
# has none to itself.
pages() {
    local page subcommand named
    page=$(IFS=-; echo "$*")
    page=trimtab${page:+-$page}
    "$command" man "$@" >"$work/$page.1"
    put 644 "$work/$page.1" "$prefix/share/man/man1/$page.1"
    named=$(sed -nE "s/^${page//-/\\\\-}\\\\-([a-z]+)\(1\)\$/\1/p" "$work/$page.1")
    for subcommand in $named; do
        [[ $subcommand = help ]] || pages "$@" "$subcommand"
    done
}
pages
"$command" completions bash >"$work/bash"
"$command" completions zsh >"$work/zsh"
"$command" completions fish >"$work/fish"
put 644 "$work/bash" "$prefix/share/bash-completion/completions/trimtab"
put 644 "$work/zsh" "$prefix/share/zsh/site-functions/_trimtab"
put 644 "$work/fish" "$prefix/share/fish/vendor_completions.d/trimtab.fish"

for page in README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE docs/*.md; do
    put 644 "$page" "$prefix/share/doc/trimtab/${page#docs/}"
done
