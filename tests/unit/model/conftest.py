"""A modelled kubelet to experiment with: every look at a volume is seen."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cmhot.clock import NS_PER_S, ns
from cmhot.cluster.model.virtual_kubelet import History, Kubelet
from cmhot.kubelet.eras import CURRENT, IDEAL

if TYPE_CHECKING:
    import numpy.typing as npt

    from cmhot.cluster.model.virtual_kubelet import ModelPod
    from cmhot.kubelet.eras import Era, Timing
    from cmhot.kubelet.settings import Setting

EVERY_NS = NS_PER_S // 200
"""A new number every 5 ms: no look that reads new content finds what it has."""


@dataclass(frozen=True, slots=True)
class Lab:
    """A kubelet and its pods; times are seconds since the start."""

    kubelet: Kubelet
    pods: list[ModelPod]

    def run(self, until_s: float) -> None:
        """Let time pass."""
        self.kubelet.run(ns(until_s))

    def touch(self, at_s: float, *, pod: int = 0) -> None:
        """Annotate a pod."""
        self.kubelet.update(self.pods[pod], at_ns=ns(at_s))

    def published(
        self, pod: int = 0, *, volume: int = 0, since_s: float = 0.0
    ) -> npt.NDArray[np.float64]:
        """Give the instants of a pod's publications, to the nanosecond."""
        instants = np.array(self.pods[pod].volumes[volume].instants_ns) / NS_PER_S
        return instants[instants >= since_s]

    def relist_after(self, at_s: float) -> float:
        """Give the first relist after an instant."""
        return self.kubelet._relist_after(ns(at_s)) / NS_PER_S


class MakeLab:
    """Makes labs: pods are created at 0 with one ConfigMap, whose number runs."""

    def __call__(
        self,
        setting: Setting,
        *,
        pods: int = 1,
        long_s: float = 1000,
        era: Era = CURRENT,
        timing: Timing = IDEAL,
        maps: int = 1,
        seed: int = 1,
    ) -> Lab:
        """Make one; with several maps each pod has one of its own, in turn."""
        histories = [running_history(long_s) for _ in range(maps)]
        kubelet = Kubelet(setting, np.random.default_rng(seed), era=era, timing=timing)
        mounts = [[histories[pod % maps]] for pod in range(pods)]
        return Lab(kubelet, kubelet.add(mounts, at_ns=0))


def running_history(long_s: float) -> History:
    """Make a ConfigMap whose number is the count of 5 ms since the start."""
    history = History()
    history.numbers, history.instants_ns = _running(long_s)
    return history


@cache  # many ConfigMaps may run alike
def _running(long_s: float) -> tuple[array[int], array[int]]:
    numbers = range(int(long_s * NS_PER_S / EVERY_NS))
    return array("q", numbers), array("q", (EVERY_NS * number for number in numbers))


@pytest.fixture
def make_lab() -> MakeLab:
    """Give the maker of labs."""
    return MakeLab()
