"""The summary: its JSON keys, what it refuses to pool, and how it judges."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.cluster.model.simulate import simulate
from cmhot.errors import RunError, UsageError
from cmhot.kubelet.eras import Timing
from cmhot.kubelet.settings import Setting
from cmhot.runs import schema
from cmhot.runs.delays import delays
from cmhot.runs.rundir import RunWriter, read_run
from cmhot.runs.sync_intervals import refresh_intervals
from cmhot.statistics.summarise import summarise
from cmhot.statistics.summary import check_requirements

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.conftest import SimulateRun, WriteRun

POPULATION = ["sync_frequency_s", "strategy", "ttl_s", "consumer"]
T0 = 1_767_225_600_000_000_000
COUNTS = [
    "pods",
    "n_delays",
    "n_timeout",
    "n_interrupted",
    "n_missed",
    "n_not_sent",
    "n_failed",
]
LOCATIONS = ["mean_s", "p50_s", "p90_s", "p95_s", "p99_s"]


def test_the_json_has_the_keys_that_programs_rely_on(simulate_run: SimulateRun) -> None:
    """`summarise --json` has every key of the design, in plain JSON."""
    writer = simulate_run("r", settings=["sync=10s", "sync=20s,strategy=Get"])

    found = json.loads(json.dumps(summarise([writer.path]).to_dict(), allow_nan=False))

    assert found["runs"] == ["r"]
    assert found["modelled"] is True
    assert found["kubernetes"] == "v1.37.1"
    assert [entry["strategy"] for entry in found["settings"]] == ["Watch", "Get"]
    for entry in found["settings"]:
        parts = ["confidence", "interval_estimator", "law", "fit", "upper_95"]
        parts += [
            "clock_bound_s",
            "censoring",
            "never",
            "setting_source",
            "inferred",
            "by",
        ]
        assert list(entry) == [*POPULATION, *COUNTS, *LOCATIONS, "max_s", *parts]
        assert list(entry["confidence"]) == LOCATIONS
        assert [len(pair) for pair in entry["confidence"].values()] == [2] * 5
        assert list(entry["interval_estimator"]) == [
            "n_syncs",
            *LOCATIONS,
            "max_s",
            "confidence",
        ]
        assert list(entry["law"]) == [*LOCATIONS, "max_s"]
        assert {"sup_difference", "upper_95", "equivalent"} <= set(entry["fit"])


def test_the_numbers_are_those_of_the_run(simulate_run: SimulateRun) -> None:
    """Both estimators find the law that the simulated kubelet obeys."""
    writer = simulate_run("r", pods=20, window_s=600)

    (found,) = summarise([writer.path]).to_dict()["settings"]

    assert found["pods"] == 20
    assert found["n_delays"] == 20 * 360  # a gap of 10 s / 6 on average, for 600 s
    assert found["law"]["mean_s"] == pytest.approx(6.577, abs=0.001)
    assert found["law"]["max_s"] == pytest.approx(16.2)
    assert found["mean_s"] == pytest.approx(6.58, abs=0.15)
    assert found["interval_estimator"]["mean_s"] == pytest.approx(6.58, abs=0.08)
    assert found["interval_estimator"]["p99_s"] == pytest.approx(14.35, abs=0.2)
    assert found["interval_estimator"]["n_syncs"] == pytest.approx(
        20 * 600 / 13, rel=0.1
    )
    assert found["fit"]["equivalent"] is True


def test_what_is_not_known_is_null(write_run: WriteRun) -> None:
    """Two pods at an unknown setting have numbers, but no limits, law or fit."""
    writer = write_run(
        updates=[(1, 0.0, 0.0)],
        publications=[("p", 1, 3.0), ("q", 1, 5.0)],
        settings={},
    )

    (found,) = summarise([writer.path]).to_dict()["settings"]

    assert found["sync_frequency_s"] is None
    assert found["mean_s"] == 4.0
    assert set(found["confidence"].values()) == {None}
    assert found["interval_estimator"]["n_syncs"] is None
    assert set(found["law"].values()) == {None}
    assert set(found["fit"].values()) == {None}


def test_pods_that_share_a_cache_are_no_blocks(simulate_run: SimulateRun) -> None:
    """Under Cache with a TTL two minutes are too short for limits; it has a law."""
    writer = simulate_run("r")
    meta = json.loads((writer.path / "run.json").read_text())
    meta["settings"]["n0"].update(strategy="Cache", ttl_s=60.0)
    writer.write_run(meta)

    (found,) = summarise([writer.path]).to_dict()["settings"]

    assert found["p50_s"] > 0
    assert set(found["confidence"].values()) == {None}
    assert found["law"]["mean_s"] == pytest.approx(35.8, abs=0.1)  # 8 sharers, T = 60


def test_an_unknown_ttl_has_no_law(simulate_run: SimulateRun) -> None:
    """Under Cache without a TTL the delays are described, and no more."""
    writer = simulate_run("r")
    meta = json.loads((writer.path / "run.json").read_text())
    meta["settings"]["n0"].update(strategy="Cache", ttl_s=None)
    writer.write_run(meta)

    (found,) = summarise([writer.path]).to_dict()["settings"]

    assert found["p50_s"] > 0
    assert set(found["law"].values()) == {None}
    assert found["interval_estimator"]["n_syncs"] is None


def test_the_version_decides_what_a_ttl_does(simulate_run: SimulateRun) -> None:
    """From 1.24 to 1.28 Cache is Get, whatever the TTL: the law and pods as blocks."""
    writer = simulate_run("r", kubernetes="v1.28.15")
    meta = json.loads((writer.path / "run.json").read_text())
    meta["settings"]["n0"].update(strategy="Cache", ttl_s=60.0)
    writer.write_run(meta)

    (found,) = summarise([writer.path]).to_dict()["settings"]

    assert found["law"]["mean_s"] == pytest.approx(6.577, abs=0.001)
    assert found["confidence"]["p50_s"] is not None
    assert found["interval_estimator"]["n_syncs"] > 50


def test_derived_tables_give_the_same_summary(
    simulate_run: SimulateRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a collection left is read; what it is made of gives the same numbers."""
    writer = simulate_run("r", settings=["sync=10s", "sync=20s,strategy=Get"])
    before = summarise([writer.path]).to_dict()
    run = read_run(writer.path)

    writer.write_derived(delays(run), schema.DELAYS)
    writer.write_derived(refresh_intervals(run), schema.REFRESH)

    def never(*_: object) -> None:
        msg = "read again"
        raise AssertionError(msg)

    monkeypatch.setattr("cmhot.statistics.summarise.read_run", never)
    monkeypatch.setattr("cmhot.statistics.summarise._ANSWERS", {})

    assert summarise([writer.path]).to_dict() == before


def test_an_invalid_run_is_refused_unless_forced(simulate_run: SimulateRun) -> None:
    """It names the check that failed; with force it is summarised."""
    checks = {
        "clock_bound": {"passed": False, "value": 1},
        "lateness": {"passed": True},
    }
    path = simulate_run("r", status="invalid", checks=checks).path

    with pytest.raises(RunError, match=r"invalid: clock_bound failed; .*--force"):
        summarise([path])
    assert summarise([path], force=True).settings


def test_a_run_without_trials_is_refused(write_run: WriteRun) -> None:
    """Nothing measured is an error, not an empty table."""
    with pytest.raises(RunError, match="no trial in tiny"):
        summarise([write_run(pods=["p"]).path])


def test_runs_of_one_setting_are_pooled(simulate_run: SimulateRun) -> None:
    """Pods of the same name in two runs are two pods."""
    paths = [simulate_run(name, pods=4, seed=k).path for k, name in enumerate("ab")]

    (found,) = summarise(paths).to_dict()["settings"]

    assert found["pods"] == 8
    assert found["confidence"]["p50_s"] is not None


@pytest.mark.parametrize(
    ("key", "value"), [("modelled", False), ("kubernetes", "v1.36.2")]
)
def test_unlike_runs_are_not_pooled(
    simulate_run: SimulateRun,
    key: str,
    value: Any,  # noqa: ANN401 - any value of run.json
) -> None:
    """Runs whose fixed metadata differ are refused, with both values named."""
    first = simulate_run("a", pods=1, window_s=20)
    second = simulate_run("b", pods=1, window_s=20, **{key: value})

    with pytest.raises(RunError, match=f"differ in {key} .*a: .*b: {value}"):
        summarise([first.path, second.path])


def test_a_run_counts_once(simulate_run: SimulateRun) -> None:
    """The same run twice is a mistake, not twice the data."""
    path = simulate_run("a", pods=1, window_s=20).path

    with pytest.raises(UsageError, match="given twice"):
        summarise([path, path])


def test_no_run_is_refused() -> None:
    """Without a run there is nothing to say."""
    with pytest.raises(UsageError, match="no run to summarise"):
        summarise([])


def test_the_table_has_a_row_per_setting(simulate_run: SimulateRun) -> None:
    """Measured, interval estimator and law stand in one row."""
    writer = simulate_run("r", settings=["sync=10s", "sync=20s"])

    table = summarise([writer.path]).table()

    assert table["sync_frequency_s"].tolist() == [10.0, 20.0]
    assert table["law_p50_s"].tolist() == pytest.approx([6.5, 12.75])
    assert (table["intervals_p50_s_low"] < table["intervals_p50_s"]).all()


def test_the_text_says_that_it_is_modelled(simulate_run: SimulateRun) -> None:
    """What comes from the model says so in its first line; numbers are aligned."""
    writer = simulate_run("r")

    lines = summarise([writer.path]).to_text().splitlines()

    assert lines[0] == "Modelled, not measured, Kubernetes v1.37.1; run r"
    assert lines[1].split() == ["seconds", "mean", "p50", "p90", "p95", "p99", "max"]
    assert lines[3].startswith("10 s, Watch, volume: 8 pods, 576 delays")
    (law,) = [line for line in lines if line.startswith("  law")]
    numbers = [float(cell) for cell in law.split()[1:]]
    assert numbers == pytest.approx([6.58, 6.5, 11.875, 12.92, 14.35, 16.2], abs=0.006)
    assert len(law) == len(lines[1])


def test_the_text_names_what_was_lost(write_run: WriteRun) -> None:
    """Timeouts are said beside the delays, and missing limits are explained."""
    writer = write_run(
        updates=[(1, 0.0, 0.0)], pods=["p"], publications=[], kubernetes="v1.37.1"
    )

    text = summarise([writer.path]).to_text()

    assert text.startswith("Measured, Kubernetes v1.37.1; run tiny")
    assert "1 pod, 0 delays, 1 timeout" in text
    assert "no 95 % limits" in text


def test_what_was_waited_for_in_vain_is_censored(simulate_run: SimulateRun) -> None:
    """Kaplan and Meier's quantiles lie between those of the best and worst case."""
    writer = simulate_run("r")
    meta = json.loads((writer.path / "run.json").read_text())
    dead = {"node": "n0", "pod": "dead", "container": "probe", "consumer": "volume"}
    writer.write_run({**meta, "pods": [*meta["pods"], dead]})

    summary = summarise([writer.path])

    (own,) = summary.settings
    assert own.never is None
    assert own.censoring is not None
    value, _, _, best, worst = own.censoring["p50_s"]
    assert best <= value <= worst
    assert own.censoring["p99_s"][4] is None  # a pod in nine never saw any
    text = summary.to_text()
    assert "Kaplan-Meier" in text
    assert "worst case" in text


def test_what_never_updates_has_a_bound(write_run: WriteRun) -> None:
    """Of three pods none saw it: up to 63 % of pods might, as 0.05 = (1 - p)³ says."""
    writer = write_run(
        updates=[(1, 0.0, 0.0)], pods=["p", "q", "r"], observed_until_ns=T0 + 9 * 10**9
    )

    summary = summarise([writer.path])

    (own,) = summary.settings
    assert own.never == {
        "pods": 3,
        "pods_updated": 0,
        "waited_s": 9.0,
        "upper": pytest.approx(1 - 0.05 ** (1 / 3)),
    }
    assert "none of 3 pods saw an update within 9.0 s" in summary.to_text()


def test_a_requirement_is_judged_by_its_bound(simulate_run: SimulateRun) -> None:
    """What the data show holds; what they do not show fails."""
    summary = summarise([simulate_run("r").path])

    sure, doubtful, wrong = check_requirements(
        summary, ["p99<90s", "p99 < 14.4", "p50<1s"]
    )

    assert sure.ok
    assert "95 % upper bound" in sure.detail
    assert not doubtful.ok
    assert not wrong.ok


def test_timeouts_count_against_a_requirement(simulate_run: SimulateRun) -> None:
    """A pod that never published makes the worst case, and p99 has no bound."""
    writer = simulate_run("r")
    meta = json.loads((writer.path / "run.json").read_text())
    dead = {"node": "n0", "pod": "dead", "container": "probe", "consumer": "volume"}
    writer.write_run({**meta, "pods": [*meta["pods"], dead]})
    summary = summarise([writer.path])

    (p99,) = check_requirements(summary, ["p99<1h"])

    assert summary.settings[0].counts["n_timeout"] == 72
    assert not p99.ok
    assert "72 waited for in vain" in p99.detail


def test_too_little_data_fail_a_requirement(simulate_run: SimulateRun) -> None:
    """With five pods there is no bound, and the judgement says so."""
    summary = summarise([simulate_run("r", pods=5).path])

    (judgement,) = check_requirements(summary, ["p50<1h"])

    assert not judgement.ok
    assert "too few independent pods: 5, and 6 are needed" in judgement.detail


@pytest.mark.parametrize(
    "text", ["p99", "p98<90s", "p99>90s", "p99<", "p99<=90s", "max<90s", "p99<soon"]
)
def test_a_malformed_requirement_is_refused(
    simulate_run: SimulateRun, text: str
) -> None:
    """A requirement that cannot be read is wrong use, not a failed check."""
    summary = summarise([simulate_run("r", pods=1, window_s=20).path])

    with pytest.raises(UsageError):
        check_requirements(summary, [text])


def test_the_direct_limits_enclose_the_direct_numbers(
    simulate_run: SimulateRun,
) -> None:
    """`confidence` is about the numbers beside it."""
    (found,) = summarise([simulate_run("r").path]).to_dict()["settings"]

    for name, (low, high) in found["confidence"].items():
        assert low < found[name] < (math.inf if high is None else high)


def test_the_same_records_are_summarised_once(
    simulate_run: SimulateRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again the answer is kept; of other records of the same size it is new."""
    run = simulate_run("once", settings=["sync=5s"]).path
    first = summarise([run])

    def never(*_: object) -> None:
        msg = "computed again"
        raise AssertionError(msg)

    monkeypatch.setattr("cmhot.statistics.summarise._summarise", never)

    assert summarise([run]) is first
    content = (run / "publications.jsonl").read_text()
    (run / "publications.jsonl").write_text(content.replace("1", "2"))
    with pytest.raises(AssertionError, match="computed again"):
        summarise([run])


@pytest.mark.parametrize(("staleness_s", "above_s"), [(0.005, 14.3), (0.9, 15.2)])
def test_a_bound_knows_of_slow_watches(
    tmp_path: Path, staleness_s: float, above_s: float
) -> None:
    """Syncs that read old content add to each delay, and to no interval between them.

    The law's p99 is 14.4 s, and 15.3 s with 0.9 s of staleness: `--require` is not to
    let the latter pass as below 15 s.
    """
    timing = Timing(sync_s=0.01, staleness_s=staleness_s, write_s=0.003)
    run = simulate(
        Setting(10), pods=50, duration_s=900, timing=timing, seed=5, run_id="r"
    )
    writer = RunWriter.create(tmp_path, meta=run.meta)
    for table, rows in (
        (schema.PUBLICATIONS, run.publications),
        (schema.UPDATES, run.updates),
    ):
        rows.to_json(writer.path / table.file, orient="records", lines=True)

    (found,) = summarise([writer.path]).settings

    bound_s = found.upper_95["p99_s"]
    assert bound_s is not None
    assert above_s < bound_s < above_s + 0.2
