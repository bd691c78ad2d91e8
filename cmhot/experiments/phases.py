"""Give pods that were made together phases of their own, as a collection does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cmhot.law import equilibrium, longest_interval_s
from cmhot.port.cluster import POD
from cmhot.refreshing.circumstances import TOUCHED

if TYPE_CHECKING:
    from cmhot.experiments.stage import Stage
    from cmhot.settings import Setting


def scramble(stage: Stage, part: str, setting: Setting, *, seed: int) -> None:
    """Touch each pod once, and wait until all are as if they had run for long.

    A touch syncs a pod and sets its timer anew. At instants that are drawn from the
    equilibrium law, every pod is stationary as of the longest interval after the
    first of them (Feller, An Introduction to Probability Theory, volume II, XI.4).
    So it takes as long as the longest interval, one and a half times `syncFrequency`.

    Parameters
    ----------
    stage
        Where.
    part
        Whose pods.
    setting
        Of their kubelet.
    seed
        Of the instants.
    """
    clock = stage.cluster.clock
    pods = [
        pod for pod in stage.pods(part) if "deletionTimestamp" not in pod["metadata"]
    ]
    begin_s = clock.monotonic()
    due_s = np.sort(equilibrium(setting, np.random.default_rng(seed), len(pods)))
    for pod, at_s in zip(pods, due_s.tolist(), strict=True):
        clock.sleep(begin_s + at_s - clock.monotonic())
        stage.cluster.patch(
            POD,
            pod["metadata"]["name"],
            {"metadata": {"annotations": {TOUCHED: str(clock.utc_ns())}}},
            namespace=stage.namespace,
        )
    clock.sleep(begin_s + longest_interval_s(setting) - clock.monotonic())
