#!/usr/bin/env bash
# Vets each piece of Go in docs/store.md and docs/cluster.md, as it stands, in a function of its own in a module of its own. A
# page without any fails.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
sed "s#=> ../../bindings/go#=> $here#" "$root/examples/go/go.mod" >"$build/go.mod"
for page in store cluster; do
    {
        printf 'package snippets\n\nimport (\n\t"context"\n\t"fmt"\n\t"net/netip"\n\n'
        printf '\ttrimtab "github.com/trimtab/trimtab/bindings/go"\n)\n\nvar _, _, _ = fmt.Println, netip.ParseAddr, trimtab.Version\n'
        awk -v page="$page" '
            $0 == "```go" { printf "\nfunc %s%d(ctx context.Context) error {\n//line %s:%d\n", page, ++count, FILENAME, NR + 1; inside = 1; next }
            inside && $0 == "```" { print "\treturn nil\n}"; inside = 0; next }
            inside { print }' "$root/docs/$page.md"
    } >"$build/$page.go"
    grep -c '^func ' "$build/$page.go" >/dev/null || {
        echo "snippets: docs/$page.md has nothing in Go" >&2
        exit 1
    }
done
cd "$build"
go vet .
echo "snippets: Go"
