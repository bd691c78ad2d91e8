"""What a collection asks of a cluster, counted by the API server itself."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from typing import TYPE_CHECKING

from cmhot.cluster.testbed import layout

if TYPE_CHECKING:
    from cmhot.cluster.testbed.status import Status
    from tests.testbed.conftest import Collected

USER = "cmhot"


def test_a_collection_is_easy_on_the_api_server(
    collected: Collected, testbed: Status
) -> None:
    """At most one request an update, and two a pod and minute."""
    meta = collected.run.meta
    begin, end = (
        dt.datetime.fromisoformat(meta[key]) for key in ("started_utc", "ended_utc")
    )
    lines = (layout.home(testbed.name).logs / "audit.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    asked = [
        event
        for event in events
        if event["user"]["username"] == USER
        # nobody else uses the shared testbed during the collection
        and begin <= dt.datetime.fromisoformat(event["stageTimestamp"]) <= end
        # a watch is one request, told when it starts and when it ends
        and event["stage"] != "ResponseStarted"
    ]
    kinds = Counter(
        (event["verb"], event.get("objectRef", {}).get("resource")) for event in asked
    )
    updates, pods = len(collected.run.updates), len(meta["pods"])
    minutes = (end - begin).total_seconds() / 60
    allowed = updates + 2 * pods * minutes
    print(  # noqa: T201 - the cost is stated
        f"{len(asked)} requests in {minutes:.2f} minutes for {updates} updates and "
        f"{pods} pods, {allowed:.0f} allowed: {kinds}"
    )

    assert kinds["patch", "configmaps"] >= updates  # the log is that of this run
    assert len(asked) <= allowed
