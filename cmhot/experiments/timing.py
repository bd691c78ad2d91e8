"""The blog post's experiment, timed: how long until each pod sees an edit.

In the volume that is the instant of a publication; an environment is looked at after
the longest time that a volume may take, and does not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.experiments.blog import BY_ENV, BY_VOLUME, FOLDER, KEY, edit
from cmhot.experiments.looking import publications, text_of, variables
from cmhot.experiments.phases import scramble
from cmhot.experiments.stage import origin
from cmhot.law import law_for, longest_interval_s, mean_interval_s
from cmhot.parameters import at_least
from cmhot.settings import Setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmhot.experiments.stage import Stage
    from cmhot.nodes import ObservedNode
    from cmhot.objects import Update

ABOUT_S = 10.0
""" "After about 10 s", as every later post repeats."""
SLACK_S = 2.0
"""Beyond the longest delay: the watch, the volume loops, and a busy machine."""


def timed(
    stage: Stage,
    *,
    updates: int = 6,
    pods: int = 10,
    seed: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Time the post's experiment: change both maps again and again, look into all pods.

    Pods that were made together are synced together; so each is touched once before, at
    a random instant, as a collection does. The gaps are longer than the longest delay,
    by a random time: no update knows anything of the syncs, and each has a publication
    of its own.

    Parameters
    ----------
    stage
        Open, with a node of known setting; `widen` has been called with `pods`.
    updates
        How many.
    pods
        Of each Deployment.
    seed
        Of the gaps.
    tell
        Takes a line after each update.

    Returns
    -------
    DataFrame
        One row per update, pod and consumer, with columns of
        `cmhot.runs.delays.delays`: ``seq, configmap, node, pod, consumer, sent_ns,
        acked_ns, published_ns, delay_s, waited_s, status, sync_frequency_s, strategy,
        ttl_s``. ``delay_s`` is NaN and ``waited_s`` not where the pod still had the
        old content; ``attrs`` as of `cmhot.experiments.stage.origin`.
    """
    at_least(1, updates=updates, pods=pods)
    node, setting = _known(stage.node)
    rng = np.random.default_rng(seed)
    scramble(stage, BY_VOLUME, setting, seed=seed)
    rows: list[dict[str, Any]] = []
    for seq in range(1, updates + 1):
        gap_s = float(rng.uniform(0.0, mean_interval_s(setting)))
        stage.cluster.clock.sleep(gap_s)
        level = f"DEBUG-{seq}"
        by_env, by_volume = edit(stage, level)
        law = law_for(setting)
        longest_s = longest_interval_s(setting) if law is None else law.max_s
        stage.cluster.clock.sleep(longest_s + SLACK_S)
        own = {
            "seq": seq,
            "node": node.name,
            "strategy": setting.strategy.value,
            "sync_frequency_s": setting.sync_frequency_s,
            "ttl_s": setting.ttl_s,
        }
        rows += [{**own, **row} for row in _turned(stage, by_volume, level, pods)]
        rows += [{**own, **row} for row in _unturned(stage, by_env, level, pods)]
        tell(f"update {seq} of {updates}")
    table = pd.DataFrame(rows)
    table.attrs.update(origin(stage.cluster, node))
    return table


def _known(node: ObservedNode | None) -> tuple[ObservedNode, Setting]:
    assert node is not None, "a blog stage has a node"  # noqa: S101
    assert node.setting is not None, "choose_node knows the setting"  # noqa: S101
    return node, node.setting


def _turned(
    stage: Stage, update: Update, level: str, pods: int
) -> list[dict[str, Any]]:
    """Time the volume in each pod, by the instant of its publication."""
    found = stage.await_pods(BY_VOLUME, pods)
    rows = []
    for pod, at_ns in publications(stage, found, FOLDER).items():
        is_seen = text_of(stage, pod, f"{FOLDER}/{KEY}") == level
        rows.append(
            _row(
                update,
                pod,
                consumer="volume",
                at_ns=at_ns,
                delay_s=(at_ns - update.acked_ns) / NS_PER_S if is_seen else None,
                waited_s=_since(stage, update),
            )
        )
    return rows


def _unturned(
    stage: Stage, update: Update, level: str, pods: int
) -> list[dict[str, Any]]:
    """Look whether the environment of any pod has changed: when is not known."""
    rows = []
    for pod in stage.await_pods(BY_ENV, pods):
        name = pod["metadata"]["name"]
        is_seen = variables(stage, name).get(KEY) == level
        waited_s = _since(stage, update)
        rows.append(
            _row(
                update,
                name,
                consumer="envFrom",
                at_ns=stage.cluster.clock.utc_ns(),
                delay_s=waited_s if is_seen else None,
                waited_s=waited_s,
            )
        )
    return rows


def _since(stage: Stage, update: Update) -> float:
    return (stage.cluster.clock.utc_ns() - update.acked_ns) / NS_PER_S


def _row(
    update: Update,
    pod: str,
    *,
    consumer: str,
    at_ns: int,
    delay_s: float | None,
    waited_s: float,
) -> dict[str, Any]:
    is_seen = delay_s is not None
    return {
        "configmap": update.configmap,
        "pod": pod,
        "consumer": consumer,
        "sent_ns": update.sent_ns,
        "acked_ns": update.acked_ns,
        "published_ns": at_ns if is_seen else pd.NA,
        "delay_s": delay_s if is_seen else float("nan"),
        "waited_s": float("nan") if is_seen else waited_s,
        "status": "observed" if is_seen else "timeout",
    }


def shares_by(
    table: pd.DataFrame, setting: Setting, *, within_s: float = ABOUT_S
) -> pd.Series[float]:
    """Say which share of the pods has an update after so many seconds.

    Parameters
    ----------
    table
        From `timed`.
    setting
        Of the node.
    within_s
        How many, from the acknowledged update on.

    Returns
    -------
    Series
        ``measured`` (volumes), ``by the law`` at this setting, ``by the law at the
        default`` of a kubelet, and ``environment``.
    """
    own = table[table["consumer"] == "volume"]["delay_s"]
    env = table[table["consumer"] == "envFrom"]["delay_s"]
    here, default = law_for(setting), law_for(Setting())
    assert default is not None, "the default has a law"  # noqa: S101
    return pd.Series(
        {
            "measured": float((own <= within_s).mean()),
            "by the law": float("nan") if here is None else float(here.cdf(within_s)),
            "by the law at the default": float(default.cdf(within_s)),
            "environment": float((env <= within_s).mean()),
        },
        name=f"share of pods that have it by {within_s:g} s",
    )
