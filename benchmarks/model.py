"""How fast the modelled kubelet is: by events, and where syncs are merely drawn."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.common import CLOCK, Result, publish
from cmhot.clock import ns
from cmhot.cluster.model import Kubelet, simulate
from cmhot.cluster.model.virtual_kubelet import History
from cmhot.kubelet.settings import Setting, Strategy
from studies.syncs import sync_instants

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 7
SYNC_US = 20.0
"""That is 50,000 pod syncs a second."""
RUN_MS = 60.0
UNIFORMS = 2.0
HOUR_S = 3600
GAP_S = 1.7
"""Between updates: every sync at S = 10 s has something to publish."""

SITUATIONS = {
    "20 pods, 10 s": (Setting(10), 20),
    "20 pods, 60 s": (Setting(60), 20),
    "20 pods, 10 s, cache": (Setting(10, Strategy.CACHE, 60), 20),
    "1,000 pods, 10 s": (Setting(10), 1000),
}


def least_s(work: Callable[[], object], *, rounds: int = ROUNDS) -> float:
    """Return the shortest of several times: others use the machine as well."""
    times = []
    for _ in range(rounds + 1):
        began = CLOCK.monotonic()
        work()
        times.append(CLOCK.monotonic() - began)
    return min(times[1:])


def sync_us(setting: Setting, pods: int) -> float:
    """Return microseconds per sync of an hour's virtual time, by events."""
    history = History()
    for number, at_s in enumerate(np.arange(0, HOUR_S, GAP_S)):
        history.write(number, at_ns=ns(at_s))
    syncs = 0

    def run() -> None:
        nonlocal syncs
        kubelet = Kubelet(setting, np.random.default_rng(1))
        kubelet.add([[history]] * pods, at_ns=0)
        kubelet.run(ns(HOUR_S))
        syncs = kubelet.syncs

    return least_s(run) / syncs * 1e6


def run_ms() -> float:
    """Return milliseconds for a whole run: 20 pods, 20 minutes, S = 10 s."""
    return least_s(partial(simulate, Setting(10), pods=20, duration_s=1200)) * 1e3


def sampler_ratio(*, pods: int, syncs: int) -> float:
    """Return the sampler's time over that of drawing its three uniforms per sync."""
    rng = np.random.default_rng(1)
    ours = partial(sync_instants, Setting(60), pods=pods, syncs=syncs, rng=rng)
    return least_s(ours) / least_s(partial(rng.random, 3 * pods * syncs))


def main() -> int:
    """Measure all of it; it takes some seconds."""
    results = [
        *(
            Result(f"a sync, {name}", sync_us(*situation), "µs", SYNC_US)
            for name, situation in SITUATIONS.items()
        ),
        Result("a run, 20 pods, 20 min", run_ms(), "ms", RUN_MS),
        *(
            Result(
                f"sampled syncs, {syncs} per pod, over their uniforms",
                sampler_ratio(pods=1_000_000 // syncs, syncs=syncs),
                "",
                UNIFORMS,
            )
            for syncs in (20, 100, 1000)
        ),
    ]
    return 0 if publish("model", results, rounds=ROUNDS) else 1


if __name__ == "__main__":
    sys.exit(main())
