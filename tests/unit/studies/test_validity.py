"""Where the law ends: what each condition makes of a collection, and its answer."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.collector.begin import collect
from cmhot.errors import NotReadyError, RunError
from cmhot.kubelet.settings import Strategy
from cmhot.kubelet.uses import CONFIG_MAP
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_run
from studies import costs, delaying, findings_page, pages, validity, validity_runs
from studies.draws import draw_delays
from studies.editions import SECOND
from studies.validity import Condition

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cmhot.errors import CmhotError
    from cmhot.kubelet.uses import Kind


@pytest.mark.parametrize(("size", "keys"), [(1024, 1), (102_400, 1000), (1001, 100)])
def test_a_map_is_as_large_as_it_should_be(size: int, keys: int) -> None:
    """All bytes, over all keys."""
    made = validity_runs.ballast(Condition("x", size=size, keys=keys))

    assert len(made) == keys
    assert sum(map(len, made.values())) == size


class Noting(ModelCluster):
    """A model that notes what it is given, and when somebody looked."""

    def __init__(self) -> None:
        super().__init__([Condition("x").setting])
        self.noted: list[str] = []
        self.applied: list[dict[str, Any]] = []

    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Note the manifest."""
        self.applied.append(dict(manifest))
        return super().apply(manifest, namespace=namespace)

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Note that a number was written."""
        if kind == CONFIG_MAP and self.noted[-1:] != ["written"]:
            self.noted.append("written")
        return super().patch(kind, name, body, namespace=namespace)


def test_a_collection_is_made_to_a_condition(tmp_path: Path) -> None:
    """Larger and more ConfigMaps; the load begins before the first number."""
    cluster = Noting()
    condition = Condition("x", maps=3, size=500, keys=5)
    under: Any = validity_runs.Loaded(
        cluster,
        condition,
        lambda: cluster.noted.append("begun"),
        lambda: cluster.noted.append("ended"),
    )

    run = collect(under, Plan(pods=3, duration_s=60.0), out=tmp_path, run_id="x")

    assert cluster.noted == ["begun", "written", "ended"]
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for one in cluster.applied:
        by_kind.setdefault(one["kind"], []).append(one)
    names = [one["metadata"]["name"] for one in by_kind["ConfigMap"]]
    assert {"more-1", "more-2"} < {*names}
    (measured,) = [one for one in by_kind["ConfigMap"] if "seq" in one["data"]]
    assert len(measured["data"]) == 6
    (deployment,) = by_kind["Deployment"]
    assert len(deployment["spec"]["template"]["spec"]["volumes"]) == 3
    assert len(read_run(run).publications) > 10


@pytest.mark.parametrize("error", [NotReadyError("only 1 of 30"), RunError("full")])
def test_only_pods_that_were_not_ready_in_time_did_not_start(
    error: CmhotError, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All else that ends a collection says nothing of the load, and fails the part."""
    read = {**dict.fromkeys(costs.COUNTED.values(), 0.0), "requests": {"GET": 1.0}}

    def end(*_: object, **__: object) -> Path:
        raise error

    asked = SimpleNamespace(read=lambda _: read)
    monkeypatch.setattr(costs, "Kubelets", lambda _: asked)
    monkeypatch.setattr(validity_runs, "connect", lambda _: Noting())
    monkeypatch.setattr(validity_runs, "collect", end)
    make = partial(
        validity_runs.collect_under, "testbed:x", "node", Condition("x"), tmp_path
    )

    if isinstance(error, NotReadyError):
        assert make()["refused"] == "only 1 of 30"
        return
    with pytest.raises(RunError, match="full"):
        make()


def test_a_kubelet_that_keeps_to_the_law_is_within() -> None:
    """And one that is three seconds late is beyond; half a run decides nothing."""
    condition = Condition("x")
    table = draw_delays(
        condition.setting, np.random.default_rng(0), pods=30, window_s=300
    )

    assert validity.answer(table, condition.setting)["holds"] is True
    late = table.assign(delay_s=table["delay_s"] + 3)
    found = validity.answer(late, condition.setting)
    assert found["holds"] is False
    assert found["p99_90"][0] > found["law_p99_s"] + 1
    little = draw_delays(
        condition.setting, np.random.default_rng(0), pods=6, window_s=20
    )
    assert validity.answer(little, condition.setting)["holds"] is None


def test_what_never_came_counts_as_endless() -> None:
    """Two of a hundred that were waited for in vain are beyond any law's p99."""
    condition = Condition("x")
    table = draw_delays(
        condition.setting, np.random.default_rng(0), pods=30, window_s=300
    )
    number = np.arange(len(table)) % 50
    table["status"] = np.select(
        [number == 0, number == 1], ["timeout", "not_sent"], "observed"
    )

    found = validity.answer(table, condition.setting)

    assert found["n_in_vain"] == (number == 0).sum()
    assert found["p99_s"] is None
    assert found["holds"] is False


def test_p99_is_that_of_the_delays() -> None:
    """Where all of them came; to a hundredth, since F̂ is looked at in 1001 places."""
    condition = Condition("x")
    table = draw_delays(
        condition.setting, np.random.default_rng(0), pods=30, window_s=300
    )

    found = validity.answer(table, condition.setting)

    assert found["p99_s"] == pytest.approx(table["delay_s"].quantile(0.99), abs=0.02)


def test_the_kubelets_own_numbers_are_rates() -> None:
    """Thirty pods with ten maps at S = 10 s: 23 reads a second, of which 2.3 syncs."""
    counted = {"seconds": 100.0, "cpu_s": 20.0, "syncs": 230.0, "syncing_s": 4.6}
    condition = Condition("x", strategy=Strategy.GET, maps=10)

    found = validity.why({**counted, "limited_s": 50.0}, condition)

    assert found["cores"] == pytest.approx(0.2)
    assert found["sync_ms"] == pytest.approx(20)
    assert found["waiting_requests"] == pytest.approx(0.5)
    assert found["law_syncs_per_s"] == pytest.approx(30 / 13, rel=1e-3)
    assert found["law_reads_per_s"] == pytest.approx(300 / 13, rel=1e-3)


def test_an_answer_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece waits as long as it is to be late, in its order, and then the end."""
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", wait)

    class Sink:
        written = b""
        closed = False

        def write(self, data: bytes) -> None:
            self.written += data

        async def drain(self) -> None:
            pass

        def close(self) -> None:
            self.closed = True

    async def passed() -> Sink:
        source, sink = asyncio.StreamReader(), Sink()
        source.feed_data(b"one")
        source.feed_eof()
        both: Any = sink
        await delaying.pump(source, both, 2.0)
        return sink

    sink = asyncio.run(passed())

    assert (sink.written, sink.closed) == (b"one", True)
    assert waited == pytest.approx([2.0, 2.0], abs=0.5)


def test_each_part_has_a_testbed_of_its_own() -> None:
    """Its nodes are named as the runner expects them; names of runs differ."""
    parts = [one for one in SECOND.experiments if one.name.startswith("validity-")]

    assert [one.arguments[-1] for one in parts] == list(validity.PARTS)
    made = [name for one in parts for name in one.made]
    assert len(set(made)) == len(made)
    assert validity_runs.nodes_of(validity.PARTS["late"]) == [
        *("sync-10s-watch", "sync-10s-watch-2", "sync-10s-watch-3"),
        *("sync-10s-get", "sync-10s-get-2", "sync-10s-get-3"),
    ]


def test_the_section_says_what_is_beyond() -> None:
    """A row for each condition; an endless end is said to be that."""
    row = {
        "part": "pods",
        "run": "validity-x",
        "refused": None,
        "n_delays": 4000,
        "n_in_vain": 7,
        "status": "invalid",
        "p99_s": 30.0,
        "p99_90": [25.0, None],
        "law_p99_s": 14.4,
        "holds": False,
        "cores": 0.1,
        "syncs_per_s": 2.0,
        "law_syncs_per_s": 2.3,
        "sync_ms": 3.0,
        "law_reads_per_s": 115.0,
        "waiting_requests": 40.0,
    }

    counted = {
        "seconds": 333.3,
        "requests": {"GET": 16558.0, "PATCH": 9.0},
        "refused": "only 1 of 30 is Ready",
    }
    silent = {**row, "run": "validity-y", "refused": validity.refused(counted)}
    text = findings_page._validity([row, {**silent, "sync_ms": None, "p99_90": None}])

    assert (
        "| `validity-x` | 4,000 + 7 | 30.0 (25.0 … inf) | 14.4 | **beyond** |" in text
    )
    assert "| 115 | 3 | 40.0 | invalid |" in text
    assert "| `validity-y` | – | – | 14.4 | **pods did not start** |" in text  # noqa: RUF001
    assert "`validity-y`: only 1 of 30 is Ready. In 333 s the kubelet sent" in text
    assert "16,558 reads and 9 patches" in text
    assert "not run yet: `most`, `get`, `cache`, `size`, `core`, `late`." in text


@pytest.mark.parametrize(
    ("name", "holds", "is_odd"),
    [
        ("1000-keys", True, False),
        ("1000-keys", False, True),
        ("1-mib", None, True),
        ("get-50-maps", False, False),
        ("get-50-maps", True, True),
        ("core-10", False, False),  # nothing was expected
    ],
)
def test_what_was_expected_otherwise_is_named(
    name: str,
    holds: bool | None,  # noqa: FBT001 - a verdict
    is_odd: bool,  # noqa: FBT001
) -> None:
    """Not decided is not what was expected, either."""
    row = {"run": f"validity-{name}", "refused": None, "holds": holds}

    text = findings_page._unexpected([row])

    assert (f"but for `validity-{name}`" in text) is is_odd


def test_the_protocol_is_what_the_module_says() -> None:
    """Written anew with the power that was kept, it is the page of the repository."""
    kept = json.loads((pages.DOCS / "validity-protocol.json").read_text())

    text = validity.page(kept["power"])

    assert text.strip() == (pages.DOCS / "validity-protocol.md").read_text().strip()
    assert kept["power"] >= validity.LEAST_POWER
