"""What a collection will ask of a cluster, and how long it will take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmhot.cluster.nodes import group_by_setting, observe_settings
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.runs.plan import DEFAULT_SYNC_S, burn_in_s, drain_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmhot.cluster.port import Cluster
    from cmhot.runs.plan import Plan


LOOK_EVERY_S = 45.0
"""Each probe's log is read this often for the progress; two requests a minute at most
is what a measurement may cost a cluster."""
READS_PER_S = 5.0
"""Of all probes' logs together, at most: with more than some two hundred probes each
is read less often. The logs keep what is not read yet."""


def expected_duration_s(plan: Plan, settings: Sequence[Setting]) -> float:
    """Say how long a collection takes at most once its probes are Ready, in seconds."""
    return burn_in_s(settings, late=1.0) + plan.duration_s + drain_s(settings)


def look_every_s(pods: int) -> float:
    """Say how often each of so many probes' logs is read, in seconds."""
    return max(LOOK_EVERY_S, pods / READS_PER_S)


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
    groups = group_by_setting(
        observe_settings(cluster, given=plan.given_setting, placement=plan.placement)
    )
    settings = [group.setting or Setting(DEFAULT_SYNC_S) for group in groups]
    rate = 1 / plan.mean_gap_s(settings)
    # a kubelet watches what its pods use: at most one a probe
    watching = sum(
        min(len(group.nodes) or plan.pods, plan.pods)
        for group in groups
        if group.setting is None or group.setting.strategy is Strategy.WATCH
    )
    pods = plan.pods * len(groups)
    return Costs(
        pods=pods,
        updates_per_s=rate,
        watch_events_per_s=rate * watching,
        reads_per_s=pods / look_every_s(pods),
        duration_s=expected_duration_s(plan, settings),
        settings=tuple(str(group.setting or "unknown setting") for group in groups),
    )
