"""How soon `cmhot wait` notices that the last pod has an update, on a real kubelet.

Pods of one Deployment on one node of S = 10 s get updates when the kubelet syncs them
by itself. The instant of a file is that of the kubelet's link, as in
`benchmarks.refresh`; the last one is compared with the end of the command.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys

from benchmarks.common import (
    CLOCK,
    NAMESPACE_GONE_S,
    Result,
    await_ready,
    fresh_namespace,
    publish,
)
from benchmarks.refresh import NAME, READY_S, Bench, manifests
from cmhot.clock import NS_PER_S
from cmhot.cluster.port import POD
from cmhot.cluster.targets import connect
from cmhot.cluster.testbed import layout, lifecycle
from cmhot.kubelet.settings import parse_setting

BED = "bench-wait"
SETTING = "sync=10s"
NOTICED_S = 1.0


def trial(bench: Bench) -> float:
    """Update, wait, and give the seconds from the last file to the end."""
    found, _ = bench.cluster.list(POD, namespace=bench.namespace)
    uids = {one["metadata"]["uid"] for one in found}
    where = ["--context", bench.context, "-n", bench.namespace]
    bench.update()
    bench.run([[sys.executable, "-m", "cmhot", "wait", f"configmap/{NAME}", *where]])
    return (CLOCK.utc_ns() - max(bench.published(uids))) / NS_PER_S


def main() -> int:
    """Measure with so many pods."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, action="append")
    parser.add_argument("--trials", type=int, default=20)
    chosen = parser.parse_args()
    wanted = layout.make_spec([parse_setting(SETTING)], name=BED)
    lifecycle.up(wanted)
    results, trials, load = [], {}, os.getloadavg()
    try:
        cluster = connect(f"testbed:{BED}")
        home = layout.home(BED)
        volumes = home.run / wanted.nodes[0].name / "kubelet" / "pods"
        for pods in chosen.pods or [10, 50]:
            with fresh_namespace(
                cluster, "bench", gone_within_s=NAMESPACE_GONE_S
            ) as namespace:
                for manifest in manifests(pods):
                    cluster.apply(manifest, namespace=namespace)
                await_ready(cluster, namespace, count=pods, deadline_s=READY_S)
                bench = Bench(
                    cluster, namespace, home.kubeconfig, f"cmhot-{BED}", volumes, pods
                )
                trial(bench)  # makes the bytecode
                found = [trial(bench) for _ in range(chosen.trials)]
            title = f"{pods} pods: noticed after the last"
            late = sorted(found)[int(0.9 * (len(found) - 1))]
            results += [
                Result(title, statistics.median(found), "s", NOTICED_S),
                Result(f"{title}, 90 %", late, "s"),
                Result(f"{title}, longest", max(found), "s"),
            ]
            trials[str(pods)] = found
    finally:
        lifecycle.down(BED)
    more = {"load_before": load, "load_after": os.getloadavg(), "trials": trials}
    return 0 if publish("wait", results, **more) else 1


if __name__ == "__main__":
    sys.exit(main())
