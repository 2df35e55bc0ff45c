"""Tables of what was measured: medians of the rounds, their range, and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from contestants import OURS
from workloads import WORKLOADS, Figures, Workload

# What each contestant, named `proxy@threads`, did in each round.
Runs = Mapping[str, Sequence[Figures]]


def number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def column(runs: Sequence[Figures], key: str) -> list[float]:
    return [run[key] for run in runs if key in run]


def middle(runs: Sequence[Figures], key: str) -> str:
    values = column(runs, key)
    return number(statistics.median(values)) if values else "-"


def spread(runs: Sequence[Figures], key: str) -> str:
    values = column(runs, key)
    return f"{number(min(values))}..{number(max(values))}" if values else "-"


def best_peer(results: Runs, name: str, key: str, more_is_better: bool) -> str | None:
    """Of the others with as many threads, the one with the best median. The backends alone have no peer."""
    threads = name.partition("@")[2]
    if not threads:
        return None
    peers = {
        peer: statistics.median(column(runs, key))
        for peer, runs in results.items()
        if peer.partition("@")[2] == threads and not peer.startswith(OURS) and column(runs, key)
    }
    if not peers:
        return None
    return (max if more_is_better else min)(peers, key=lambda peer: peers[peer])


def ratio(results: Runs, name: str, key: str, more_is_better: bool) -> str:
    """The median of the ratios round by round, so that what changes the whole machine's speed cancels."""
    peer = best_peer(results, name, key, more_is_better)
    if peer is None or not column(results[name], key):
        return "-"
    pairs = zip(results[name], results[peer], strict=True)
    ratios = [ours[key] / theirs[key] for ours, theirs in pairs if theirs[key]]
    return f"{statistics.median(ratios):.2f}" if ratios else "-"


def table(name: str, results: Runs) -> str:
    workload = WORKLOADS[name]
    extra = ("used", "base_kib") if name == "idle" else ("p50", "p99")
    titles = ("B used", "base KiB") if name == "idle" else ("p50 us", "p99 us")
    rows = [
        ["", workload.unit, "min..max", "ratio", *titles, workload.cost, "min..max", "ratio"]
        + ["errors", "other%", "steal%"]
    ]
    for contestant, runs in results.items():
        rows.append(
            [
                contestant,
                middle(runs, "rate"),
                spread(runs, "rate"),
                ratio(results, contestant, "rate", workload.more_is_better),
                *(middle(runs, key) for key in extra),
                middle(runs, "cost"),
                spread(runs, "cost"),
                ratio(results, contestant, "cost", False),
                number(sum(column(runs, "errors"))),
                number(max(column(runs, "foreign_percent"))),
                number(max(column(runs, "steal_percent"))),
            ]
        )
    return f"{name}: {workload.question}\n{aligned(rows)}\n{judged(results, workload)}"


def judged(results: Runs, workload: Workload) -> str:
    """Whom the ratios compare with."""
    lines = []
    for threads in sorted({name.partition("@")[2] for name in results if "@" in name}):
        name = f"{OURS}@{threads}"
        rate = best_peer(results, name, "rate", workload.more_is_better)
        cost = best_peer(results, name, "cost", False)
        if rate and cost:
            lines.append(f"ratios, {threads} threads: {workload.unit} to {rate}, {workload.cost} to {cost}\n")
    return "".join(lines)


def calls_table(title: str, counts: Mapping[str, Figures]) -> str:
    """System calls for each request, the most frequent first; below a hundredth they are left out."""
    names = {name for calls in counts.values() for name, count in calls.items() if count >= 0.005}
    order = sorted(names, key=lambda name: -max(calls.get(name, 0.0) for calls in counts.values()))
    rows = [["", *counts]]
    for name in order:
        rows.append([name, *(f"{calls[name]:.2f}" if name in calls else "-" for calls in counts.values())])
    rows.append(["all", *(f"{sum(calls.values()):.2f}" for calls in counts.values())])
    return f"{title}\n{aligned(rows)}\n"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
