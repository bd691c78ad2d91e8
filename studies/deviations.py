"""What was done otherwise than the protocol declares, and what that does to an answer.

Every number is computed from the published runs, so that ``make verify-data`` holds
this table too. Instants of commits are the only ones that are not in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from cmhot.clock import NS_PER_S
from studies.protocol import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmhot.runs.rundir import Run

    Rows = list[dict[str, Any]]

COMMITTED_UTC = "2026-11-24T19:45:01Z"
"""When the protocol was (commit a5b9974)."""
CHECKS = (
    *("schedule", "clock", "api_errors", "restarts", "missed", "settings"),
    *("scrambled", "phases", "censoring"),
)
"""By which a collection judges itself."""
WHY = {
    "clock": "bounds a node's clock by the time that an exec takes, on a busy machine "
    "too long; all kubelets of a testbed have one clock",
    "scrambled": "wants a pod to show a number right after it was annotated: a pod "
    "under a TTL shows what its node's cache has",
    "restarts": "counts syncs before their time, which here are what is measured",
    "censoring": "counts the same as `restarts`",
}
"""What a failed check says of a run of the study."""


def validity(runs: Mapping[str, Run]) -> Rows:
    """Say of each run whether it calls itself valid, and which checks it failed."""
    found = []
    for name, run in sorted(runs.items()):
        checks = run.meta["checks"]
        failed = [
            one for one in CHECKS if (checks.get(one) or {}).get("passed") is False
        ]
        found.append(
            {
                "run": name,
                "status": run.meta["status"],
                "failed": failed,
                "values": [checks[one]["value"] for one in failed],
                "limits": [checks[one]["limit"] for one in failed],
            }
        )
    return found


def most_kubelets(runs: Mapping[str, Run], loops: Sequence[Mapping[str, Any]]) -> int:
    """Count the kubelets that were measured at once, at most.

    Runs whose names begin alike share a testbed; the closed loops had one of their own.
    """
    spans = [
        (
            pd.Timestamp(run.meta["started_utc"]),
            pd.Timestamp(run.meta["ended_utc"]),
            {(name.split("-")[0], node) for node in run.meta["settings"]},
        )
        for name, run in runs.items()
    ]
    if loops:
        stamps = pd.to_datetime([row["acked_ns"] for row in loops], utc=True)
        spans.append((stamps.min(), stamps.max(), {("closed", loops[0]["node"])}))
    return max(
        len(
            set[tuple[str, str]]().union(
                *(nodes for begun, ended, nodes in spans if begun <= at <= ended)
            )
        )
        for at, _, _ in spans
    )


def lead_s(runs: Mapping[str, Run]) -> float:
    """Say how long before the first run the protocol was committed, seconds."""
    first = min(pd.Timestamp(run.meta["started_utc"]) for run in runs.values())
    return float((first - pd.Timestamp(COMMITTED_UTC)).value / NS_PER_S)


def rows(numbers: Mapping[str, Any]) -> list[list[str]]:
    """Write the table: declared, done, difference, effect."""
    (headline,) = [row for row in numbers["lateness"] if row["setting"] == str(DEFAULT)]
    h11 = {row["kind"]: row for row in numbers["H11"]}
    return [
        [
            "Written before the runs",
            f"Committed {numbers['lead_s']:.0f} s before the first run",
            (
                "S = 5 and 10 s had been measured earlier that day "
                "(`data/testbed-2026-11-24`)"
            ),
            "H1 to H4 at 5 and 10 s repeat what had been seen",
        ],
        [
            "An invalid run is made again",
            "None was",
            "Those of H5, one of H7 and both of H11",
            "Their answers rest on the table below",
        ],
        [
            "At most six kubelets at a time",
            f"Up to {numbers['most_kubelets']}",
            "Closed loops and disturbed pods ran beside `ttl`",
            "Later ticks in H5, H10 and H11",
        ],
        [
            "`slow` is judged whole",
            "Whole; before, H4 from its first nine minutes",
            "Delays of its last minutes had been taken for missed",
            "None any more: no delay of it is missed",
        ],
        [
            "A second run of `slow` with 75 pods a setting",
            "Withdrawn, not made",
            "Declared and withdrawn within half an hour",
            "H3 and H12 at 60 s rest on one run",
        ],
        [
            "`fast` once",
            "Made again; the first is kept as `fast-first`",
            "The first was complete, not invalid: all its kubelets were late",
            "H2 is judged from the second",
        ],
        [
            "Publications over 0.1 s late count",
            "Late from the window that holds most publications",
            "Before: from the circular mean; changed with the commit that publishes",
            f"`{DEFAULT}` stays disturbed ({headline['late_share']:.2%})",
        ],
        [
            "H1: S = 1 and 2 s claim no margin",
            "They were given intervals",
            "All their intervals between syncs are alike",
            "No interval now",
        ],
        [
            "H4: 199 simulated plans",
            "999",
            "With 199 the law could not have been rejected (amended)",
            "The law is not refuted",
        ],
        [
            "H4: rejected or not",
            "One count of 57 for all five claims",
            "Four of them are far from any data",
            "A count for each claim now",
        ],
        [
            "H5, H6: the law lies in the interval",
            "Printed as agreement",
            "Not to refute is not to show; Bonferroni makes it easier",
            "`not refuted`, and a bound of the distance",
        ],
        [
            "H6: N = 1, 2, 10 and 50",
            "N = 1 left out with the commit that publishes; 10 and 50 without interval",
            "18 tests for 24; 12 of them have too few groups",
            "Judged for N = 2 alone",
        ],
        [
            "H7: the law of the era compared as in H5",
            "Left out; done now",
            "Medians against 10 and 20 s were judged alone",
            "Not refuted where there are blocks enough",
        ],
        [
            "H8: exact intervals of the medians",
            "By six stretches of trials",
            "Trials depend on each other; the exact ones take them for independent",
            "Wider; `rollout` and `recreate` overlap",
        ],
        [
            "H8: quicker than waiting",
            "Waiting taken from the law",
            "It was not measured beside them",
            "Not judged",
        ],
        [
            "H11: the interval of the mean",
            "By stretches of time, from the onset on; before, by pods, from the start",
            (
                "Pods were disturbed in step "
                f"(r = {h11['crashing']['correlation']:.2f} and "
                f"{h11['readiness']['correlation']:.2f}); delays as seen, not as "
                "collected, since the commit that publishes"
            ),
            "Crashing: not shown any more",
        ],
        [
            "H12: under Watch",
            "Under Watch; as first published, all strategies",
            "The code judged more than was declared",
            "The same answer",
        ],
    ]
