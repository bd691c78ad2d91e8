"""Where the law ends: loads under which a kubelet keeps to it, or does not.

``python -m studies.validity`` writes docs/studies/validity-protocol.md. It is committed
before the runs, which `studies.validity_runs` makes. `studies.findings` judges them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.kubelet.eras import TYPICAL
from cmhot.kubelet.settings import Setting
from cmhot.law import law_for, mean_interval_s
from cmhot.runs import schema
from cmhot.statistics import cdf_bounds, confidence, delay_blocks, describe_delays
from cmhot.statistics.limits import quantiles_of
from studies import pages
from studies.draws import draw_delays
from studies.protocol import ALPHA, CACHE, GET, WATCH

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from cmhot.kubelet.settings import Strategy

SYNC_S = 10.0
PODS, WINDOW_S, SEED = 30, 300.0, 51
BEYOND_S = 1.0
"""From the law's p99: nearer is within the law, farther is beyond it."""
KIB = 1024
P99 = 0.99
REPLICATES, LEAST_POWER = 200, 0.9


@dataclass(frozen=True, slots=True)
class Condition:
    """A load of one kubelet; what is not said is as in the other studies.

    Attributes
    ----------
    name
        Of its run.
    pods
        Probes on the node.
    strategy
        Of the kubelet, a TTL of 0 where it has one.
    maps
        ConfigMaps that each probe mounts, the measured one among them.
    size
        Bytes of the measured ConfigMap beside its number.
    keys
        That the bytes are spread over.
    core
        Share of a core that the kubelet may use, from the first number on.
    late_s
        How late the API server answers the kubelet, seconds.
    """

    name: str
    pods: int = PODS
    strategy: Strategy = WATCH
    maps: int = 1
    size: int = 0
    keys: int = 1
    core: float | None = None
    late_s: float = 0.0

    @property
    def setting(self) -> Setting:
        """Of its kubelet."""
        return Setting(SYNC_S, self.strategy, 0.0 if self.strategy is CACHE else None)

    @property
    def run(self) -> str:
        """Name of its run."""
        return f"validity-{self.name}"

    @property
    def load(self) -> dict[str, Any]:
        """What the findings say of it, by name."""
        found = {key: getattr(self, key) for key in ("pods", "maps", "keys", "core")}
        own = {"strategy": self.strategy.value, "bytes": self.size}
        return {**found, **own, "late_s": self.late_s, "sync_frequency_s": SYNC_S}


PARTS: dict[str, tuple[Condition, ...]] = {
    "pods": (Condition("pods-30"), Condition("pods-110", pods=110)),
    "most": (Condition("pods-250", pods=250),),
    "get": tuple(
        Condition(f"get-{maps}-maps", strategy=GET, maps=maps) for maps in (1, 10, 50)
    ),
    "cache": tuple(
        Condition(f"cache-{maps}-maps", strategy=CACHE, maps=maps)
        for maps in (1, 10, 50)
    ),
    "size": (
        Condition("1-kib", size=KIB),
        Condition("100-kib", size=100 * KIB),
        # the API server takes 1 MiB at most, of which the number is a part
        Condition("1-mib", size=1023 * KIB),
        Condition("100-keys", size=100 * KIB, keys=100),
        Condition("1000-keys", size=100 * KIB, keys=1000),
    ),
    "core": tuple(
        Condition(f"core-{share}", pods=50, core=share / 100) for share in (50, 20, 10)
    ),
    "late": tuple(
        Condition(
            f"late-{strategy}-{late_s:g}s".lower(), strategy=strategy, late_s=late_s
        )
        for strategy in (WATCH, GET)
        for late_s in (0.1, 0.5, 2.0)
    ),
}
"""Conditions of a part are measured side by side, a kubelet each."""

EXPECTED = {
    **dict.fromkeys(("get-50-maps", "cache-50-maps", "late-get-2s"), False),
    **dict.fromkeys(("pods-110", *(one.name for one in PARTS["size"])), True),
}
"""Whether a condition was expected to be within the law; of others nothing was."""


def answer(table: pd.DataFrame, setting: Setting) -> dict[str, Any]:
    """Say where p99 of the delays lies, and whether that is the law's.

    Delays that were waited for in vain count as endless, and a p99 among them is None.
    ``holds`` is True where p99 is at most `BEYOND_S` above the law's with 95 %, False
    where it is more with 95 %, and None where it is not decided.

    Parameters
    ----------
    table
        Delays of one condition.
    setting
        Of its kubelet.
    """
    expected = _law_p99_s(setting)
    blocks = delay_blocks(table, worst_case=True)
    # both one-sided bounds of 95 % are a two-sided interval of 90 %
    ends = confidence(blocks, level=1 - 2 * ALPHA)["p99_s"]
    (direct,) = describe_delays(table).to_dict("records")
    # p99 may be beyond all that was seen, but F at one instant is always known
    low, high = cdf_bounds(blocks, level=1 - 2 * ALPHA)
    at = max(int(np.searchsorted(blocks.t, expected + BEYOND_S, "right")) - 1, 0)
    within, beyond = low[at] >= P99, high[at] < P99
    return {
        **{str(key): direct[key] for key in ("n_delays", "p50_s", "max_s")},
        "n_in_vain": int(table["status"].isin(schema.DEAD_ENDS).sum()),
        "p99_s": _finite(float(quantiles_of(blocks.t, blocks.cdf(), [P99])[0])),
        "p99_90": None if ends is None else [_finite(end) for end in ends],
        "law_p99_s": expected,
        "holds": None if ends is None or within == beyond else bool(within),
    }


def _law_p99_s(setting: Setting) -> float:
    law = law_for(setting, timing=TYPICAL)
    assert law is not None  # noqa: S101 - there is one at a TTL of 0
    return float(law.quantile(P99))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def no_answer(setting: Setting) -> dict[str, Any]:
    """Say that there are no delays: the pods did not start."""
    unknown = dict.fromkeys(("p50_s", "max_s", "p99_s", "p99_90", "holds"))
    counts = {"n_delays": 0, "n_in_vain": 0}
    return {**counts, **unknown, "law_p99_s": _law_p99_s(setting)}


def refused(counted: Mapping[str, Any]) -> dict[str, Any] | None:
    """Say why a collection could not begin; None: it did.

    With the seconds until then, and how often the kubelet read something and patched a
    status meanwhile.
    """
    if "refused" not in counted:
        return None
    sent = counted["requests"]
    return {
        "error": counted["refused"],
        "seconds": counted["seconds"],
        "reads": int(sent["GET"]),
        "patches": int(sent["PATCH"]),
    }


def why(counted: Mapping[str, float], condition: Condition) -> dict[str, Any]:
    """Say what the kubelet itself counted, beside what idle pods would ask of it.

    Parameters
    ----------
    counted
        As `studies.costs.window` gives it.
    condition
        What the kubelet was under.
    """
    seconds, syncs = counted["seconds"], counted["syncs"]
    expected = condition.pods / mean_interval_s(condition.setting)
    reads = 0 if condition.strategy is WATCH else expected * condition.maps
    return {
        "cores": counted["cpu_s"] / seconds,
        "syncs_per_s": syncs / seconds,
        "law_syncs_per_s": expected,
        "law_reads_per_s": reads,
        "sync_ms": 1000 * counted["syncing_s"] / syncs if syncs else None,
        # requests wait side by side, so that this may be above one
        "waiting_requests": counted["limited_s"] / seconds,
    }


def power() -> float:
    """Count in how many simulated runs a kubelet that keeps to the law is shown to."""
    condition = Condition("idle")
    shown = 0
    for seed in range(REPLICATES):
        rng = np.random.default_rng(seed)
        table = draw_delays(
            condition.setting, rng, pods=condition.pods, window_s=WINDOW_S
        )
        shown += answer(table, condition.setting)["holds"] is True
    return shown / REPLICATES


def page(shown: float) -> str:
    """Write the protocol."""
    rows = [
        [
            f"`{one.run}`",
            part,
            one.setting,
            one.pods,
            one.maps,
            _size(one),
            None if one.core is None else f"{one.core:.0%}",
            f"{one.late_s:g}" if one.late_s else None,
        ]
        for part, conditions in PARTS.items()
        for one in conditions
    ]
    heads = ["run", "part", "kubelet", "pods", "ConfigMaps a pod", "size, keys"]
    heads += ["of a core", "API server late, s"]
    return f"""# Where the law ends: what is measured, expected and judged

Written by `python -m studies.validity` before its runs were made; do not edit.
`make study PARTS='{" ".join(f"validity-{part}" for part in PARTS)}'` makes them, on a
machine that does nothing else: some eight minutes a part, ten with 250 pods. What is
there and complete stays.

**Question.** At what load is p99 of the delay more than {BEYOND_S:g} s above the law's,
and why. The law knows nothing of a kubelet's load: it has S alone.
**Unit, delay, schedule.** As in [the first protocol](protocol.md); windows of
{WINDOW_S / 60:g} minutes, seed {SEED}. S = {SYNC_S:g} s: a kubelet at the default of
60 s bears the same load with six times as many pods.

{pages.table(heads, rows)}

Conditions of a part are measured side by side, a kubelet each; `pods-30` is the idle
one.
* **ConfigMaps**: the measured one and others that do not change, in every pod.
* **Size, keys**: of the measured one; only its number changes.
* **Of a core**: the kernel lets the kubelet's process use no more (`cpu.max`, or
  `cpu.cfs_quota_us`), from the first number on, so that its pods had started.
* **Late**: a proxy of this project's between kubelet and API server holds back all that
  comes from the API server for so long; what the collector measures is not delayed.

**Judged by** p99 of the delays themselves, with 95 % on each side, pods as blocks;
delays waited for in vain count as endless. `within`: it is at most {BEYOND_S:g} s above
the law's; `beyond`: it is more; `not decided` otherwise. No correction for several
rows: each answers a question of its own. **Power**: a kubelet that keeps to the law is
shown `within` in {shown:.0%} of {REPLICATES} simulated runs of {PODS} pods.
**Why**: what the kubelet itself counts from the first number to the end: its CPU, syncs
a second beside the law's, seconds of a sync, and how many requests on average wait for
its own limit (kubeAPIQPS, 50 a second by default).
**Expected**: beyond the law where reads alone ask for more than 50 requests a second
(Get and Cache with 50 ConfigMaps), and where answers are 2 s late under Get; within it
for 110 pods, sizes and keys. Of the others nothing is expected.
**Invalid runs** are not made again: a load may be what makes them so. They say so.
"""


def _size(condition: Condition) -> str | None:
    if not condition.size:
        return None
    return f"{condition.size / KIB:g} KiB, {condition.keys}"


def main() -> int:
    """Compute the power, and write the protocol."""
    shown = power()
    numbers = {"holds": shown >= LEAST_POWER, "power": shown}
    text = page(shown)
    return 0 if pages.write("validity-protocol", text=text, numbers=numbers) else 1


if __name__ == "__main__":
    sys.exit(main())
