"""Prints the figures of `updraft bench --json` (one JSON document a line) as a table, beside their budget (docs/benchmarks.md).

Of a row that was measured more than once, the best run is shown: other programs on the machine only ever make it slower.
"""

import json
import sys

HOP_OVER_B_MS = {"sqlite": 0.3, "postgres": 0.6}
TAIL_OVER_B_MS = 2.0
TRIGGER_OVER_B_MS = 1.5
TASKS_PER_S = 10_000


def cost(row):
    """What is compared: latency above the bare commit, or time per task."""
    if row["hop_ms"]:
        return row["hop_ms"]["p50"] - row["commit_ms"]["p50"]
    return 1 / row["tasks_per_s"]


def budget(row):
    """The budget as text, and whether it is kept; a store in memory has none."""
    bench, store = row["bench"], row["store"]
    if store == "memory":
        return "", ""
    if bench == "fanout":
        return f"≥ {TASKS_PER_S:,}/s", "kept" if row["tasks_per_s"] >= TASKS_PER_S else "missed"
    if bench == "runs":
        return "", ""
    over = {at: row["hop_ms"][at] - row["commit_ms"][at] for at in ("p50", "p99")}
    if bench == "trigger":
        return f"≤ B + {TRIGGER_OVER_B_MS} ms", "kept" if over["p50"] <= TRIGGER_OVER_B_MS else "missed"
    limit = HOP_OVER_B_MS[store]
    kept = [name for name, most in (("p50", limit), ("p99", TAIL_OVER_B_MS)) if over[name] <= most]
    verdict = "kept" if len(kept) == 2 else "missed" if not kept else f"only {kept[0]} kept"
    return f"p50 ≤ B + {limit} ms, p99 ≤ B + {TAIL_OVER_B_MS:.0f} ms", verdict


def main():
    best = {}
    with open(sys.argv[1], encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            key = (row["store"], row["bench"], row["tasks"])
            if key not in best or cost(row) < cost(best[key]):
                best[key] = row
    print("| store | bench | N | p50 ms | p99 ms | B p50 | B p99 | p50 − B | tasks/s | commits | round trips | budget | |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|---|")
    for (store, bench, tasks), row in best.items():
        hop, commit, rate = row["hop_ms"], row["commit_ms"], row["tasks_per_s"]
        latency = [f"{hop['p50']:.3f}", f"{hop['p99']:.3f}"] if hop else ["", ""]
        over = f"{hop['p50'] - commit['p50']:.3f}" if hop else ""
        cells = [store, bench, f"{tasks:,}", *latency, f"{commit['p50']:.3f}", f"{commit['p99']:.3f}", over]
        cells += [f"{rate:,.0f}" if rate else "", f"{row['commits']:,}", f"{row['round_trips']:,}", *budget(row)]
        print("| " + " | ".join(cells) + " |")


main()
