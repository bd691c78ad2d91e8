"""A cluster seen through an account of what is asked of it, and of who is Ready.

A remedy waits most of its time. `Attended` is the cluster that a remedy is given: it
counts the requests, and its clock looks at the pods while it sleeps, so that no second
thread is needed and it works in virtual time as well. Its own looks are not counted.

Rollout, recreate and annotate on the same pods: seconds, and what they cost.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cmhot.clock import Clock
    from cmhot.cluster.port import Captured, Cluster
    from cmhot.kubelet.settings import Setting
    from cmhot.kubelet.uses import Kind
    from cmhot.propagation.refresh import Refreshed


LOOK_EVERY_S = 0.2
"""Between two looks, seconds: as well as an instant of readiness is known."""


@dataclass(frozen=True, slots=True)
class Look:
    """Who was Ready at one instant.

    Attributes
    ----------
    at_s
        Of the monotonic clock, when the answer was there.
    ready
        Uids of the pods that were Ready and not going.
    """

    at_s: float
    ready: frozenset[str]


class Attended:
    """A cluster whose requests are counted and whose pods are looked at.

    Parameters
    ----------
    cluster, door
        Behind it.
    namespace, labels
        Of the pods.
    every_s
        Between two looks.

    Attributes
    ----------
    requests
        That were asked for, lists of several pages once; looks at pods are left out.
    looks
        In order.
    """

    def __init__(
        self,
        cluster: Cluster,
        door: Cluster,
        *,
        namespace: str,
        labels: Mapping[str, str],
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        self.target, self.modelled = cluster.target, cluster.modelled
        self.local_image = cluster.local_image
        self.requests = 0
        self.looks: list[Look] = []
        self.clock: Clock = _AttendingClock(self, cluster.clock, every_s)
        self._cluster, self._door = cluster, door
        self._namespace, self._labels = namespace, dict(labels)
        self._lock = threading.Lock()

    def look(self) -> None:
        """See who is Ready."""
        pods, _ = self._cluster.list(
            POD, namespace=self._namespace, labels=self._labels
        )
        ready = frozenset(one["metadata"]["uid"] for one in pods if is_pod_ready(one))
        at_s = self._cluster.clock.monotonic()
        with self._lock:
            self.looks.append(Look(at_s, ready))

    def _count(self) -> None:
        with self._lock:
            self.requests += 1

    def version(self) -> str:
        """As behind it."""
        self._count()
        return self._cluster.version()

    def sources(self) -> dict[str, Any] | None:
        """As behind it."""
        return self._cluster.sources()

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None
    ) -> dict[str, Any]:
        """As behind it."""
        self._count()
        return self._cluster.get(kind, name, namespace=namespace)

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """As behind it."""
        self._count()
        return self._cluster.list(kind, namespace=namespace, labels=labels)

    def pages(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[Sequence[dict[str, Any]]]:
        """As behind it."""
        self._count()
        return self._door.pages(kind, namespace=namespace, labels=labels)

    def names(self, kind: Kind, *, namespace: str) -> Sequence[str]:
        """As behind it."""
        self._count()
        return self._door.names(kind, namespace=namespace)

    def watch(
        self,
        kind: Kind,
        *,
        namespace: str,
        labels: Mapping[str, str],
        resource_version: str,
    ) -> Iterator[dict[str, Any]]:
        """As behind it."""
        self._count()
        return self._cluster.watch(
            kind, namespace=namespace, labels=labels, resource_version=resource_version
        )

    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]:
        """As behind it."""
        self._count()
        return self._cluster.apply(manifest, namespace=namespace)

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """As behind it."""
        self._count()
        return self._cluster.patch(kind, name, body, namespace=namespace)

    def delete(self, kind: Kind, name: str, *, namespace: str | None = None) -> None:
        """As behind it."""
        self._count()
        self._cluster.delete(kind, name, namespace=namespace)

    def log(
        self, pod: str, *, namespace: str, container: str, since_ns: int | None = None
    ) -> str:
        """As behind it."""
        self._count()
        return self._cluster.log(
            pod, namespace=namespace, container=container, since_ns=since_ns
        )

    def run_in(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str
    ) -> str:
        """As behind it."""
        self._count()
        return self._cluster.run_in(
            pod, command, namespace=namespace, container=container
        )

    def capture(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str
    ) -> Captured:
        """As behind it."""
        self._count()
        return self._door.capture(
            pod, command, namespace=namespace, container=container
        )

    def add_ephemeral(
        self, pod: str, container: Mapping[str, Any], *, namespace: str
    ) -> None:
        """As behind it."""
        self._count()
        self._door.add_ephemeral(pod, container, namespace=namespace)

    def kubelet_configuration(self, node: str) -> dict[str, Any]:
        """As behind it."""
        self._count()
        return self._cluster.kubelet_configuration(node)


class _AttendingClock:
    """A clock that looks at the pods while somebody sleeps on it."""

    def __init__(self, attended: Attended, clock: Clock, every_s: float) -> None:
        self._attended, self._clock, self._every_s = attended, clock, every_s

    def utc_ns(self) -> int:
        """As behind it."""
        return self._clock.utc_ns()

    def monotonic(self) -> float:
        """As behind it."""
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep, and look again and again; a look may end it a little late."""
        until = self._clock.monotonic() + seconds
        while (left := until - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left, self._every_s))
            self._attended.look()


NAME = "remedies"
NOTHING = "nothing"
METHODS = tuple(Method)
SETTLE_S = 5.0
"""Between two trials: syncs of starting pods are over, and pods that went are gone."""
COLUMNS = (
    *("method", "trial", "pods", "seconds", "restarted", "min_ready_share"),
    *("pod_seconds_lost", "requests", "api_requests", "verified_s"),
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One method on all pods.

    Attributes
    ----------
    refreshed
        What `cmhot refresh` says.
    first_s, last_s
        From the call until the first and the last pod had it: to the publication
        (mtime of ``..data``) where pods stay; to the look that found the pod Ready
        where they are new, `cmhot.experiments.forcing.LOOK_EVERY_S` late at most.
    replaced
        Pods that are others than before.
    min_ready_share
        Least share of the replicas that was Ready meanwhile, as far as was looked.
    pod_seconds_lost
        Replicas that were not Ready, times how long.
    requests
        Asked of the API server by the refresh, its looks into pods among them.
    """

    refreshed: Refreshed
    first_s: float
    last_s: float
    replaced: int
    min_ready_share: float
    pod_seconds_lost: float
    requests: int


def start(stage: Stage, pods: int) -> None:
    """Make the ConfigMap and a Deployment that mounts it; wait until it is Ready."""
    stage.apply(*stage.mounted_config_map(NAME, pods=pods, data={"seq": "0"}))
    stage.await_pods(NAME, pods)


def trial(stage: Stage, *, method: str, seq: int) -> Trial:
    """Update the ConfigMap, refresh at once, and see when each pod had it."""
    cluster = stage.cluster
    attended = Attended(
        cluster,
        stage.door,
        namespace=stage.namespace,
        labels={EXPERIMENT_LABEL: NAME},
    )
    attended.look()
    known = attended.looks[0].ready
    patch(cluster, NAME, {"seq": str(seq)}, namespace=stage.namespace)
    called_ns, called_s = cluster.clock.utc_ns(), cluster.clock.monotonic()
    done = refresh(
        attended, f"deployment/{NAME}", method=method, namespace=stage.namespace
    )
    requests = attended.requests
    attended.look()
    pods = stage.await_pods(NAME, done.pods)
    stay = [one for one in pods if one["metadata"]["uid"] in known]
    new = {one["metadata"]["uid"] for one in pods} - known
    had = [at_s - called_s for at_s in first_ready(attended.looks, new)]
    if stay:
        published = publications(stage, stay, FOLDER).values()
        had += [(at - called_ns) / NS_PER_S for at in published]
    least, lost = capacity(attended.looks, done.pods)
    return Trial(
        refreshed=done,
        first_s=min(had),
        last_s=max(had),
        replaced=len(new),
        min_ready_share=least,
        pod_seconds_lost=lost,
        requests=requests,
    )


def first_ready(looks: Sequence[Look], uids: set[str]) -> list[float]:
    """Give for each pod the instant of the look that first found it Ready.

    Raises
    ------
    CheckError
        One was never Ready.
    """
    found = []
    for uid in sorted(uids):
        at = next((look.at_s for look in looks if uid in look.ready), None)
        if at is None:
            msg = f"pod {uid} was not seen to be Ready: the refresh was not complete"
            raise CheckError(msg)
        found.append(at)
    return found


def capacity(looks: Sequence[Look], replicas: int) -> tuple[float, float]:
    """Give the least share that was Ready, and the pod-seconds that were missing.

    What was seen at a look counts until the next one; more than the replicas
    count as the replicas.

    Parameters
    ----------
    looks
        In order, one at least.
    replicas
        That there should be.
    """
    missing = [max(replicas - len(look.ready), 0) for look in looks]
    lost = sum(
        gone * (after.at_s - before.at_s)
        for gone, before, after in zip(missing, looks, looks[1:], strict=False)
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
        Which, by the names that `cmhot refresh` has for them.
    repeats
        Trials of each.
    pods
        Of the Deployment.
    node
        Where they run; empty: the first one of the longest `syncFrequency`.
    namespace, image
        As of `Stage`.
    report
        Takes a line after each trial.

    Returns
    -------
    DataFrame
        One row per trial, and as many of the method ``nothing``: quantiles of the law
        of how long all these pods take by themselves. Columns `COLUMNS`, among them
        ``requests``, which changed something, and ``api_requests``, all of them;
        ``attrs`` as `cmhot.experiments.stage.origin` has them.

    Raises
    ------
    UsageError
        For numbers or methods that cannot be, before anything is made.
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
