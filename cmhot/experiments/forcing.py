"""Compare the methods of `cmhot refresh` on the same pods: seconds and costs.

A refresh waits most of its time. It is given a `RequestCounter` as its cluster, which
samples the pods' readiness while it sleeps: so no second thread is needed, and it works
in virtual time as well.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Self, cast

import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.cluster.port import POD
from cmhot.cluster.workspace import is_pod_ready
from cmhot.errors import CheckError, UsageError
from cmhot.experiments.parameters import at_least
from cmhot.experiments.stage import (
    EXPERIMENT_LABEL,
    FOLDER,
    Stage,
    choose_node,
    origin,
    publications,
)
from cmhot.law import fleet_law
from cmhot.propagation.changes import patch
from cmhot.propagation.refresh import Method, refresh

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmhot.clock import Clock
    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.settings import Setting
    from cmhot.propagation.refresh import Refreshed


SAMPLE_EVERY_S = 0.2
"""Seconds between two samples: the precision of an instant of readiness."""


@dataclass(frozen=True, slots=True)
class ReadySample:
    """Which pods were Ready at one instant."""

    at_s: float  # of the monotonic clock, when the answer was there
    ready: frozenset[str]  # uids of the pods that were Ready and not going


class RequestCounter:
    """A cluster whose requests are counted, lists of several pages once.

    While somebody sleeps on its clock, samples are taken of the pods' readiness, whose
    own requests are not counted.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        labels: Mapping[str, str],
        every_s: float = SAMPLE_EVERY_S,
    ) -> None:
        self._calls: list[str] = []
        self.samples: list[ReadySample] = []
        self.clock = _SamplingClock(self.sample, cluster.clock, every_s)
        self._cluster, self._lock = cluster, threading.Lock()
        self._list_pods = partial(
            cluster.list, POD, namespace=namespace, labels=dict(labels)
        )

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a cluster has
        """Give the cluster's attributes; calls of its methods are counted."""
        found = getattr(self._cluster, name)
        if not callable(found):
            return found

        @wraps(found)
        def counted(*args: object, **named: object) -> object:
            self._calls.append(name)
            return found(*args, **named)

        return counted

    @property
    def requests(self) -> int:
        """So many were made."""
        return len(self._calls)

    def until(self, instant_s: float | None) -> Self:
        """Count on, while requests are given up at an instant at latest."""
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__ | {"_cluster": self._cluster.until(instant_s)}
        return other

    def sample(self) -> None:
        """See which pods are Ready."""
        pods, _ = self._list_pods()
        ready = frozenset(one["metadata"]["uid"] for one in pods if is_pod_ready(one))
        at_s = self._cluster.clock.monotonic()
        with self._lock:
            self.samples.append(ReadySample(at_s, ready))


class _SamplingClock:
    """A clock that takes samples while somebody sleeps on it."""

    def __init__(
        self, sample: Callable[[], None], clock: Clock, every_s: float
    ) -> None:
        self._sample, self._clock, self._every_s = sample, clock, every_s
        self.utc_ns, self.monotonic = clock.utc_ns, clock.monotonic

    def sleep(self, seconds: float) -> None:
        """Sleep, and sample again and again; a sample may end it a little late."""
        until = self._clock.monotonic() + seconds
        while (left := until - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left, self._every_s))
            self._sample()


NAME = "remedies"
NOTHING = "nothing"
METHODS = tuple(Method)
SETTLE_S = 5.0
"""Pause between two trials: starting pods' syncs are over, deleted pods are gone."""
COLUMNS = (
    *("method", "trial", "pods", "seconds", "restarted", "min_ready_share"),
    *("pod_seconds_lost", "requests", "api_requests", "verified_s"),
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One method on all pods."""

    refreshed: Refreshed  # what `cmhot refresh` says
    first_s: float
    last_s: float
    """From the call until the first and the last pod had it: to the publication (mtime
    of ``..data``) where pods stay; to the sample that found the pod Ready where they
    are new, `SAMPLE_EVERY_S` late at most."""
    replaced: int  # pods that were not there before
    min_ready_share: float  # least share of the replicas that was Ready, as sampled
    pod_seconds_lost: float  # replicas that were not Ready, times how long
    requests: int  # of the refresh, its looks into pods among them


def start(stage: Stage, pods: int) -> None:
    """Make the ConfigMap and a Deployment that mounts it; wait until it is Ready."""
    stage.apply(*stage.mounted_config_map(NAME, pods=pods, data={"seq": "0"}))
    stage.await_pods(NAME, pods)


def trial(stage: Stage, *, method: str, seq: int) -> Trial:
    """Update the ConfigMap, refresh at once, and find when each pod had it."""
    cluster = stage.cluster
    counter = RequestCounter(
        cluster, namespace=stage.namespace, labels={EXPERIMENT_LABEL: NAME}
    )
    counter.sample()
    known = counter.samples[0].ready
    patch(cluster, NAME, {"seq": str(seq)}, namespace=stage.namespace)
    called_ns, called_s = cluster.clock.utc_ns(), cluster.clock.monotonic()
    done = refresh(
        cast("Cluster", counter),
        f"deployment/{NAME}",
        method=method,
        namespace=stage.namespace,
    )
    requests = counter.requests
    counter.sample()
    pods = stage.await_pods(NAME, done.pods)
    stay = [one for one in pods if one["metadata"]["uid"] in known]
    new = {one["metadata"]["uid"] for one in pods} - known
    had = [at_s - called_s for at_s in first_ready(counter.samples, new)]
    if stay:
        published = publications(stage, stay, FOLDER).values()
        had += [(at_ns - called_ns) / NS_PER_S for at_ns, _ in published]
    least, lost = capacity(counter.samples, done.pods)
    return Trial(
        refreshed=done,
        first_s=min(had),
        last_s=max(had),
        replaced=len(new),
        min_ready_share=least,
        pod_seconds_lost=lost,
        requests=requests,
    )


def first_ready(samples: Sequence[ReadySample], uids: set[str]) -> list[float]:
    """Give for each pod the instant of the sample that first found it Ready."""
    found = []
    for uid in sorted(uids):
        at = next((one.at_s for one in samples if uid in one.ready), None)
        if at is None:
            msg = f"pod {uid} was not seen to be Ready: the refresh was not complete"
            raise CheckError(msg)
        found.append(at)
    return found


def capacity(samples: Sequence[ReadySample], replicas: int) -> tuple[float, float]:
    """Give the least share of Ready replicas, and the pod-seconds that were missing.

    A sample counts until the next one; more than the replicas count as the replicas.
    """
    missing = [max(replicas - len(one.ready), 0) for one in samples]
    lost = sum(
        gone * (after.at_s - before.at_s)
        for gone, before, after in zip(missing, samples, samples[1:], strict=False)
    )
    return 1 - max(missing) / replicas, lost


def compare_methods(
    cluster: Cluster,
    *,
    methods: Sequence[str] = METHODS,
    repeats: int = 30,
    pods: int = 10,
    node: str = "",
    namespace: str = "",
    image: str = "",
    report: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Try each method again and again, in turn, on one Deployment.

    Parameters
    ----------
    cluster
        Where.
    methods
        Methods, by their names in `cmhot refresh`.
    repeats
        Trials of each.
    pods
        Of the Deployment.
    node
        Where they run; empty: the first one of the longest `syncFrequency`.
    namespace, image
        As of `Stage`.
    report
        Called with a line after each trial.

    Returns
    -------
    DataFrame
        One row per trial, and as many of the method ``nothing``: quantiles of the law
        of how long all these pods take by themselves. Columns `COLUMNS`, among them
        ``requests``, those that changed something, and ``api_requests``, all of them;
        ``attrs`` as `cmhot.experiments.stage.origin` has them.

    Raises
    ------
    UsageError
        For impossible numbers or unknown methods, before anything is made.
    """
    at_least(1, repeats=repeats, pods=pods)
    unknown = sorted(set(methods) - set(Method))
    if unknown or not methods:
        what = f"{unknown[0]!r} is none" if unknown else "none is given"
        msg = f"methods = {[*methods]}: {what}; choose of {', '.join(Method)}"
        raise UsageError(msg)
    chosen = choose_node(cluster, node)
    setting = chosen.setting
    assert setting is not None, "choose_node knows the setting"  # noqa: S101
    rows = _nothing(setting, pods=pods, repeats=repeats, kubelet=chosen.kubelet)
    with Stage(cluster, node=chosen, namespace=namespace, image=image) as stage:
        start(stage, pods)
        for number in range(1, repeats + 1):
            for place, method in enumerate(methods, start=1):
                cluster.clock.sleep(SETTLE_S)
                seq = number * len(methods) + place
                seen = trial(stage, method=method, seq=seq)
                rows.append(row_of(seen, number))
                report(
                    f"{number} of {repeats}, {method}: {seen.last_s:.2f} s, "
                    f"{seen.min_ready_share:.0%} ready at least"
                )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table.attrs.update(origin(cluster, chosen))
    return table


def row_of(seen: Trial, number: int) -> dict[str, Any]:
    """Give a trial as a row of the table."""
    return {
        "method": seen.refreshed.method.value,
        "trial": number,
        "pods": seen.refreshed.pods,
        "seconds": seen.last_s,
        "restarted": seen.replaced,
        "min_ready_share": seen.min_ready_share,
        "pod_seconds_lost": seen.pod_seconds_lost,
        "requests": seen.refreshed.writes,
        "api_requests": seen.requests,
        "verified_s": seen.refreshed.seconds,
    }


def _nothing(
    setting: Setting, *, pods: int, repeats: int, kubelet: str | None
) -> list[dict[str, Any]]:
    """Give quantiles of how long all pods of one node take by themselves."""
    law = fleet_law(setting, pods=pods, sharers=pods, kubernetes=kubelet)
    if law is None:
        return []  # Cache with an unknown TTL
    return [
        {
            "method": NOTHING,
            "trial": number,
            "pods": pods,
            "seconds": float(law.quantile((number - 0.5) / repeats)),
            "restarted": 0,
            "min_ready_share": 1.0,
            "pod_seconds_lost": 0.0,
            "requests": 0,
            "api_requests": 0,
        }
        for number in range(1, repeats + 1)
    ]
