"""Runs to test with: tiny ones written by hand, and long simulated ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pytest

from cmhot.kubelet.settings import parse_setting
from cmhot.law import equilibrium, interval_pmf
from cmhot.runs.rundir import RunWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep what tests note of runs out of the cache of who runs them."""
    folder = tmp_path_factory.mktemp("cache") / "runs"
    monkeypatch.setattr("cmhot.runs.disk.cache_folder", lambda: folder)


T0 = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
S = 1_000_000_000


class WriteRun(Protocol):
    """Write a run directory from rows whose stamps are seconds after T0."""

    def __call__(
        self,
        *,
        updates: Sequence[tuple[int, float, float]] = (),
        publications: Sequence[tuple[str, int, float]] = (),
        events: Sequence[dict[str, Any]] = (),
        pods: Sequence[str] | None = None,
        **meta: Any,  # noqa: ANN401 - any key of run.json
    ) -> RunWriter:
        """Take updates as (seq, sent, acked) and publications as (pod, seq, at)."""


class SimulateRun(Protocol):
    """Write a run of a simulated kubelet: ticked, jittered syncs, random updates."""

    def __call__(
        self,
        run_id: str,
        *,
        settings: Sequence[str] = ("sync=10s",),
        pods: int = 8,
        window_s: float = 120,
        seed: int = 1,
        **meta: Any,  # noqa: ANN401 - any key of run.json
    ) -> RunWriter:
        """Give each setting a node with that many pods."""


def publication(node: str, pod: str, seq: int, at_ns: int) -> dict[str, Any]:
    """Give a row of publications.jsonl for a volume."""
    return {
        "node": node,
        "pod": pod,
        "uid": f"uid-{pod}",
        "container": "probe",
        "consumer": "volume",
        "configmap": "probe",
        "seq": seq,
        "published_ns": at_ns,
        "read_ns": at_ns + 100_000_000,
    }


def listed(node: str, pod: str) -> dict[str, str]:
    """Give an entry of run.json's pods for a volume."""
    return {"node": node, "pod": pod, "container": "probe", "consumer": "volume"}


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Write tiny runs on one 10 s Watch node."""

    def write(
        *,
        updates: Sequence[tuple[int, float, float]] = (),
        publications: Sequence[tuple[str, int, float]] = (),
        events: Sequence[dict[str, Any]] = (),
        pods: Sequence[str] | None = None,
        **meta: Any,  # noqa: ANN401 - any key of run.json
    ) -> RunWriter:
        setting = {"sync_frequency_s": 10.0, "strategy": "Watch", "ttl_s": 0.0}
        known = {"run_id": "tiny", "settings": {"n": setting}, **meta}
        if pods is not None:
            known["pods"] = [listed("n", pod) for pod in pods]
        writer = RunWriter.create(tmp_path / "runs", meta=known)
        for seq, sent, acked in updates:
            stamps = {
                "sent_ns": T0 + round(sent * S),
                "acked_ns": T0 + round(acked * S),
            }
            row = {"seq": seq, "configmap": "probe", **stamps, "status": "acked"}
            writer.append_update(row)
        writer.append_publications(
            publication("n", pod, seq, T0 + round(at * S))
            for pod, seq, at in publications
        )
        for event in events:
            writer.append_event(event)
        return writer

    return write


@pytest.fixture
def simulate_run(tmp_path: Path) -> SimulateRun:
    """Write runs that obey the law."""

    def simulate(
        run_id: str,
        *,
        settings: Sequence[str] = ("sync=10s",),
        pods: int = 8,
        window_s: float = 120,
        seed: int = 1,
        **meta: Any,  # noqa: ANN401 - any key of run.json
    ) -> RunWriter:
        rng = np.random.default_rng(seed)
        nodes = {f"n{i}": parse_setting(text) for i, text in enumerate(settings)}
        syncs_s = [setting.sync_frequency_s for setting in nodes.values()]
        start = 1.5 * max(syncs_s) + 2
        gaps = rng.uniform(0.5, 1.5, round(window_s / min(syncs_s) * 6)) * min(syncs_s)
        acked = T0 + ((start + np.cumsum(gaps / 6)) * S).round().astype(np.int64)
        until = int(acked[-1]) + round(start * S)
        publications, entries = [], []
        for node, setting in nodes.items():
            values, probabilities = interval_pmf(setting)
            for pod in (f"{node}-{k}" for k in range(pods)):
                size = round((until - T0) / S / setting.sync_frequency_s) + 2
                life = rng.choice(values, p=probabilities, size=size)
                at = equilibrium(setting, rng, 1) + np.cumsum(life) - life[0]
                at_ns = T0 + ((at + rng.uniform(0, 0.2, size)) * S).astype(np.int64)
                seqs, first = np.unique(
                    np.searchsorted(acked, at_ns, "right"), return_index=True
                )
                publications += [
                    publication(node, pod, int(seq), int(at_ns[k]))
                    for seq, k in zip(seqs, first, strict=True)
                    if seq > 0 and at_ns[k] < until
                ]
                entries.append(listed(node, pod))
        known: dict[str, Any] = {
            "run_id": run_id,
            "modelled": True,
            "kubernetes": "v1.37.1",
            "pods": entries,
            "measure_from_ns": T0 + round(start * S),
            "measure_until_ns": until,
            "observed_until_ns": until,
            "settings": {
                node: {
                    "sync_frequency_s": setting.sync_frequency_s,
                    "strategy": str(setting.strategy),
                    "ttl_s": setting.ttl_s,
                }
                for node, setting in nodes.items()
            },
        }
        writer = RunWriter.create(tmp_path / "runs", meta={**known, **meta})
        writer.append_publications(publications)
        for seq, stamp in enumerate(acked.tolist(), start=1):
            row = {"seq": seq, "sent_ns": stamp, "acked_ns": stamp, "status": "acked"}
            writer.append_update({**row, "configmap": "probe"})
        return writer

    return simulate
