"""Phases of publications: coherent, even, and fading."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cmhot.clock import NS_PER_S
from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting
from cmhot.law import interval_pmf
from cmhot.statistics import coherence_by_sync, phase_coherence
from tests.unit.statistics.tables import T0


def published(at_s: list[float], *, node: str = "n", pod: str = "p") -> pd.DataFrame:
    """Give publications of a pod."""
    stamps = [T0 + round(at * NS_PER_S) for at in at_s]
    return pd.DataFrame({"node": node, "pod": pod, "published_ns": stamps})


def test_coherence_by_hand() -> None:
    """Phases 0 and 1/4 of the period: |1 + i| / 2 = 1/√2; at one phase, 1."""
    found = phase_coherence(published([0.0, 5.25]), period_s=1.0)
    same = phase_coherence(published([0.5, 3.5, 9.5]))

    assert found["coherence"][0] == pytest.approx(1 / np.sqrt(2))
    assert same["coherence"][0] == pytest.approx(1.0)
    assert same["n"].tolist() == [3]


def test_each_node_has_its_tick() -> None:
    """Nodes are told apart: two kubelets with different ticks are each coherent."""
    ticks = [published([k + 0.1 for k in range(20)], node="a")]
    ticks += [published([k + 0.6 for k in range(20)], node="b")]

    found = phase_coherence(pd.concat(ticks))

    assert found["node"].tolist() == ["a", "b"]
    assert found["coherence"].tolist() == pytest.approx([1.0, 1.0])
    assert (found["p_value"] < 1e-6).all()


def test_rayleighs_p_value_is_uniform() -> None:
    """Even phases reject as often as they may, and agree with a permutation's share."""
    rng = np.random.default_rng(1)
    p = [
        phase_coherence(published(rng.uniform(0, 13, 20).tolist()), period_s=13.0)[
            "p_value"
        ][0]
        for _ in range(400)
    ]

    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.035)
    assert np.mean(p) == pytest.approx(0.5, abs=0.05)


def test_coherence_fades_from_sync_to_sync() -> None:
    """Pods created together lose coherence by |E exp(2πi X/13)| = 0.78 a sync.

    400 pods: the noise is about 0.05.
    """
    rng = np.random.default_rng(2)
    values, probabilities = interval_pmf(Setting(10))
    lives = rng.choice(values, p=probabilities, size=(400, 4))
    table = pd.concat(
        published(row.tolist(), pod=f"p{k}")
        for k, row in enumerate(np.cumsum(lives, axis=1))
    )

    found = coherence_by_sync(table, period_s=13.0)

    assert found["sync"].tolist() == [1, 2, 3, 4]
    assert found["pods"].tolist() == [400] * 4
    factor = abs(np.exp(2j * np.pi * values / 13) @ probabilities)
    assert factor == pytest.approx(0.78, abs=0.005)
    assert found["coherence"].tolist() == pytest.approx(
        [factor**k for k in range(1, 5)], abs=0.1
    )
    assert (found["p_value"] < 0.001).all()


@pytest.mark.parametrize("period_s", [0.0, -1.0])
def test_a_period_is_above_zero(period_s: float) -> None:
    """There are no phases of nothing."""
    with pytest.raises(UsageError, match="no phases"):
        phase_coherence(published([1.0]), period_s=period_s)
