"""What a collection will ask of a cluster, and how long it will take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmhot.law import law_for
from cmhot.nodes import group_by_setting, observe_settings
from cmhot.plan import DEFAULT_SYNC_S
from cmhot.settings import Setting, Strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmhot.cluster import Cluster
    from cmhot.plan import Plan

LOOK_EVERY_S = 45.0
"""Each probe's log is read this often for the progress; two requests a minute at most
is what a measurement may cost a cluster."""
DRAIN_FACTOR, DRAIN_S = 1.5, 2.0
"""After the last update it waits 1.5 S + 2 s: longer than any healthy delay."""


def expected_duration_s(plan: Plan, settings: Sequence[Setting]) -> float:
    """Say how long a collection takes once its probes are Ready, in seconds."""
    return burn_in_s(settings) + plan.duration_s + drain_s(settings)


def drain_s(settings: Sequence[Setting]) -> float:
    """From the last update until every pod must have it, in seconds."""
    longest = max(setting.sync_frequency_s for setting in settings)
    return DRAIN_FACTOR * longest + DRAIN_S


def burn_in_s(settings: Sequence[Setting]) -> float:
    """From the first annotation until every pod is in equilibrium, in seconds."""
    longest = max(setting.sync_frequency_s for setting in settings)
    law = law_for(Setting(longest))
    return 0.0 if law is None else law.max_s


@dataclass(frozen=True, slots=True)
class Costs:
    """What a collection will ask of a cluster.

    Attributes
    ----------
    pods
        Probe pods in all.
    updates_per_s
        Writes to the ConfigMap.
    watch_events_per_s
        Events that the writes cause: one for every kubelet that watches.
    reads_per_s
        Requests for probes' logs.
    duration_s
        From the first annotation to the end.
    settings
        What is measured, in words.
    """

    pods: int
    updates_per_s: float
    watch_events_per_s: float
    reads_per_s: float
    duration_s: float
    settings: tuple[str, ...]

    def lines(self) -> list[str]:
        """Say it in sentences."""
        return [
            f"settings: {'; '.join(self.settings)}",
            (
                f"{self.pods} probe pods for {self.duration_s / 60:.1f} minutes "
                "once they are Ready"
            ),
            (
                f"{self.updates_per_s:.2f} writes/s, about "
                f"{self.watch_events_per_s:.2f} watch events/s, "
                f"{self.reads_per_s:.2f} log reads/s"
            ),
        ]


def costs(cluster: Cluster, plan: Plan) -> Costs:
    """Say what a collection would cost, without creating anything."""
    observed = observe_settings(cluster)
    groups = group_by_setting(observed)
    settings = [group.setting or Setting(DEFAULT_SYNC_S) for group in groups]
    rate = 1 / plan.mean_gap_s(settings)
    watching = sum(
        node.setting is None or node.setting.strategy is Strategy.WATCH
        for node in observed
    )
    pods = plan.pods * len(groups)
    return Costs(
        pods=pods,
        updates_per_s=rate,
        watch_events_per_s=rate * watching,
        reads_per_s=pods / LOOK_EVERY_S,
        duration_s=expected_duration_s(plan, settings),
        settings=tuple(str(group.setting or "unknown setting") for group in groups),
    )
