"""How soon `cmhot wait` notices that the last pod has an update, on a real kubelet.

Pods of one Deployment on one node of S = 10 s get updates when the kubelet syncs them
by itself, or all at once, by ``kubectl annotate``. The instant of a file is that of the
kubelet's link, as in `benchmarks.refresh`; the last one is compared with the end of the
command.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
from typing import TYPE_CHECKING

from benchmarks.common import CLOCK, Result, publish
from benchmarks.refresh import REST_S, deployments
from cmhot.clock import NS_PER_S
from cmhot.cluster.port import POD

if TYPE_CHECKING:
    from benchmarks.refresh import Bench

BED = "bench-wait"
NOTICED_S = 1.0


def trial(bench: Bench, *, touched: bool) -> float:
    """Update, wait, and give the seconds from the last file to the end."""
    found, _ = bench.cluster.list(POD, namespace=bench.namespace)
    uids = {one["metadata"]["uid"] for one in found}
    command = bench.questions()["wait"]
    bench.update()
    waiting = bench.start(command)
    if touched:
        CLOCK.sleep(REST_S)
        bench.run(bench.commands("annotate")["kubectl"])
    status = waiting.wait()
    ended_ns = CLOCK.utc_ns()
    if status != 0:
        msg = f"{' '.join(command)} ended with {status}"
        raise RuntimeError(msg)
    return (ended_ns - max(bench.published(uids))) / NS_PER_S


def main() -> int:
    """Measure with so many pods."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, action="append")
    parser.add_argument("--trials", type=int, default=20)
    chosen = parser.parse_args()
    if shutil.which("kubectl") is None:
        print("kubectl is not installed: nothing else touches all pods at once")
        return 2
    results, trials, load = [], {}, os.getloadavg()
    with deployments("sync=10s", BED, chosen.pods) as benches:
        for bench in benches:
            trial(bench, touched=True)  # makes the bytecode
            for touched in (False, True):
                found = [trial(bench, touched=touched) for _ in range(chosen.trials)]
                how = "all touched" if touched else "by syncs"
                title = f"{bench.pods} pods, {how}: noticed after the last"
                late = sorted(found)[int(0.9 * (len(found) - 1))]
                results += [
                    Result(title, statistics.median(found), "s", NOTICED_S),
                    Result(f"{title}, 90 %", late, "s"),
                    Result(f"{title}, longest", max(found), "s"),
                ]
                trials[title] = found
    more = {"load_before": load, "load_after": os.getloadavg(), "trials": trials}
    return 0 if publish("wait", results, **more) else 1


if __name__ == "__main__":
    sys.exit(main())
