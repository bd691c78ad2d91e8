"""Rollout, recreate and annotate on the same pods: seconds, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.errors import CheckError, UsageError
from cmhot.experiments.attending import Attended
from cmhot.experiments.looking import publications
from cmhot.experiments.stage import (
    EXPERIMENT_LABEL,
    Stage,
    choose_node,
    config_map,
    origin,
)
from cmhot.law import fleet_law
from cmhot.objects import patch
from cmhot.parameters import at_least
from cmhot.refreshing import refresh
from cmhot.refreshing.outcome import Method

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cmhot.experiments.attending import Look
    from cmhot.port.cluster import Cluster
    from cmhot.refreshing.outcome import Refreshed
    from cmhot.settings import Setting

NAME = "remedies"
FOLDER = "/etc/v"
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
        where they are new, `cmhot.experiments.attending.LOOK_EVERY_S` late at most.
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
    mounts = [{"name": "v", "mountPath": FOLDER}]
    spec = stage.pod_spec(
        stage.container(volumeMounts=mounts),
        volumes=[{"name": "v", "configMap": {"name": NAME}}],
    )
    stage.apply(config_map(NAME, seq="0"), stage.deployment(NAME, pods=pods, spec=spec))
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


def compare(
    cluster: Cluster,
    *,
    methods: Sequence[str] = METHODS,
    repeats: int = 30,
    pods: int = 10,
    node: str = "",
    namespace: str = "",
    image: str = "",
    tell: Callable[[str], None] = lambda _: None,
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
    tell
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
                tell(
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
