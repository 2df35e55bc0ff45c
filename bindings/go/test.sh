#!/usr/bin/env bash
# All that the Go binding must pass: vet, gofmt, the tests under the race detector, and the examples, built
# and run. Builds the static archive first; see build-archive.sh for CARGO_TARGET_DIR and TRIMTAB_ARCHIVE.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# What is installed is what is used.
export GOTOOLCHAIN=local CGO_ENABLED=1

"$here/build-archive.sh"

for module in "$here" "$root/examples/go" "$root/benches/nohop"; do
    unformatted=$(gofmt -l "$module")
    if [[ -n $unformatted ]]; then
        printf 'not as gofmt writes it:\n%s\n' "$unformatted" >&2
        exit 1
    fi
    (cd "$module" && go vet ./...)
done

cd "$here"
./snippets.sh
go test -race ./...
(cd "$root/benches/nohop" && go test ./...)
# Once each, so that they keep working; their figures mean nothing here.
go test -run '^$' -bench . -benchtime 100x . >/dev/null

bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
for example in first_pick httpclient relay hosted store; do
    (cd "$root/examples/go" && go build -o "$bin/$example" "./$example")
    echo "== $example"
    "$bin/$example"
done

# Served until it is told to stop, then stopped gracefully, which is no failure.
echo "== relay -serve"
mkfifo "$bin/said"
"$bin/relay" -serve >"$bin/said" &
relay=$!
exec {said}<"$bin/said"
if ! read -r -t 10 -u "$said" line || [[ $line != 'started '* ]]; then
    echo "test.sh: relay -serve ended, or did not say within 10 s that it has started; it said: ${line:-nothing}" >&2
    kill -KILL "$relay" 2>/dev/null || true
    exit 1
fi
echo "$line"
kill -TERM "$relay"
rest=$(cat <&"$said")
echo "$rest"
wait "$relay"
grep -q '^stopped' <<<"$rest"
