#!/usr/bin/env bash
# bench.sh [PATTERN [COUNT]]: runs the benchmarks that PATTERN names (all) COUNT times (9), and prints of each the median of
# the nanoseconds per operation, the least and the most. build-archive.sh comes before.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export GOTOOLCHAIN=local CGO_ENABLED=1
go test -run '^$' -bench "${1:-.}" -benchtime "${BENCHTIME:-1s}" -count "${2:-9}" . | awk '
    /^Benchmark/ && $4 == "ns/op" {
        if (!($1 in count)) order[++names] = $1
        value[$1, ++count[$1]] = $3
        next
    }
    /^(cpu|goos|goarch|pkg):/ { print; next }
    /^(FAIL|---|panic)/ { print > "/dev/stderr"; failed = 1 }
    END {
        if (failed || names == 0) { print "bench.sh: no figures" > "/dev/stderr"; exit 1 }
        printf "%-56s %12s %12s %12s\n", "nanoseconds per operation", "median", "min", "max"
        for (at = 1; at <= names; at++) {
            name = order[at]
            n = count[name]
            for (i = 2; i <= n; i++) {
                x = value[name, i]
                for (j = i - 1; j > 0 && value[name, j] + 0 > x + 0; j--) value[name, j + 1] = value[name, j]
                value[name, j + 1] = x
            }
            median = n % 2 ? value[name, (n + 1) / 2] : (value[name, n / 2] + value[name, n / 2 + 1]) / 2
            printf "%-56s %12.1f %12.1f %12.1f\n", substr(name, 10), median, value[name, 1], value[name, n]
        }
    }'
