"""Annotate, rollout and recreate on the same pods: seconds, and what they cost.

``python -m studies.remedies --target testbed:NAME`` writes docs/studies/remedies.md,
from the node of the largest syncFrequency, by `cmhot.experiments.forcing`: what
notebook 06 does, on more pods.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cmhot.cluster.targets import connect
from cmhot.experiments.forcing import SETTLE_S, start, trial
from cmhot.experiments.stage import Stage, choose_node
from cmhot.kubelet.settings import Setting
from cmhot.law.prediction import predict
from studies import pages

if TYPE_CHECKING:
    from cmhot.experiments.forcing import Trial

PUBLISHED_WITHIN_S = 2.0
"""What annotate must reach: a second for a sync that has just been, the volume loops'
0.2 s, and the time that the writes take."""


def page(trials: list[Trial], *, kubernetes: str, setting: Setting, pods: int) -> str:
    """Write the page."""
    law = predict(setting, pods=pods, sharers=pods).to_dict()
    waiting = f"p50 {law['p50_s']:.0f}, p99 {law['p99_s']:.0f}"
    rows: list[list[object]] = [
        ["nothing (by the law)", waiting, None, 0, "100%", 0, 0, None]
    ]
    rows += [
        [
            f"`--method {one.refreshed.method}`",
            f"{one.last_s:.2f}",
            f"{one.first_s:.2f}",
            one.replaced,
            f"{one.min_ready_share:.0%}",
            f"{one.pod_seconds_lost:.0f}",
            one.refreshed.writes,
            f"{one.refreshed.seconds:.1f}",
        ]
        for one in trials
    ]
    heads = ["method", "last pod has it, s", "first pod has it, s"]
    heads += ["pods replaced", "ready at least", "pod-seconds lost"]
    heads += ["writes of ours", "verified after, s"]
    return f"""# Remedies beside each other

Made by `python -m studies.remedies` on Kubernetes {kubernetes}: {pods} pods of one
Deployment on one node of {setting}. Each trial updates the ConfigMap and calls
`cmhot refresh` at once. Seconds are from the call: to the publication instant
(mtime of `..data`) where pods stay, to the look that first found the pod Ready where
they are replaced (up to a quarter of a second too large). "Verified" is when `refresh`
had looked into all pods; a pod-second is lost when one of the replicas is not Ready
for a second.

{pages.table(heads, rows)}

After annotate the pods are synced in phase; each later trial found them so.
"""


@click.command()
@click.option("--target", required=True, help="A testbed, such as testbed:NAME.")
@click.option("--pods", default=50, show_default=True)
def main(target: str, pods: int) -> None:
    """Try each method, and write the page."""
    cluster = connect(target)
    node = choose_node(cluster)
    setting = node.setting or Setting()
    trials = []
    with Stage(cluster, node=node) as stage:
        start(stage, pods)
        methods = ["annotate", "rollout", "recreate", "annotate"]
        for seq, method in enumerate(methods, start=1):
            cluster.clock.sleep(SETTLE_S)
            trials.append(trial(stage, method=method, seq=seq))
    holds = all(one.refreshed.ok for one in trials) and all(
        one.last_s <= PUBLISHED_WITHIN_S
        for one in trials
        if one.refreshed.method == "annotate"
    )
    numbers = {
        "kubernetes": cluster.version(),
        "setting": str(setting),
        "pods": pods,
        "holds": holds,
        "trials": [
            {
                "method": one.refreshed.method,
                "first_s": one.first_s,
                "last_s": one.last_s,
                "replaced": one.replaced,
                "min_ready_share": one.min_ready_share,
                "pod_seconds_lost": one.pod_seconds_lost,
                "writes": one.refreshed.writes,
                "acted_s": one.refreshed.acted_s,
                "verified_s": one.refreshed.seconds,
            }
            for one in trials
        ],
    }
    text = page(trials, kubernetes=cluster.version(), setting=setting, pods=pods)
    sys.exit(not pages.write("remedies", text=text, numbers=numbers))


if __name__ == "__main__":
    main()
