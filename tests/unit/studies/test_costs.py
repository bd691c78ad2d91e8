"""What syncs cost: the plan, what is read of a kubelet's metrics, and the fit."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law import price
from cmhot.law.price import row_of
from studies import cost_law, costs, findings_page, pages
from studies.findings import rounded

if TYPE_CHECKING:
    from pathlib import Path

METRICS = """\
# HELP kubelet_pod_worker_duration_seconds [ALPHA] Duration
# TYPE kubelet_pod_worker_duration_seconds histogram
kubelet_pod_worker_duration_seconds_bucket{operation_type="sync",le="0.005"} 7
kubelet_pod_worker_duration_seconds_sum{operation_type="sync"} 0.25
kubelet_pod_worker_duration_seconds_count{operation_type="sync"} 9
kubelet_pod_worker_duration_seconds_count{operation_type="create"} 4
# TYPE kubelet_running_pods gauge
kubelet_running_pods 10
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 12.5
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.7e+09
# TYPE rest_client_rate_limiter_duration_seconds histogram
rest_client_rate_limiter_duration_seconds_sum{host="127.0.0.1:443",verb="GET"} 0.5
rest_client_rate_limiter_duration_seconds_sum{host="127.0.0.1:443",verb="PUT"} 0.25
# TYPE rest_client_requests_total counter
rest_client_requests_total{code="200",host="127.0.0.1:443",method="GET"} 30
rest_client_requests_total{code="404",host="127.0.0.1:443",method="GET"} 2
rest_client_requests_total{code="200",host="127.0.0.1:443",method="PUT"} 5
"""


def test_metrics_are_read() -> None:
    """Requests are added up by method, and only syncs are syncs."""
    assert costs.counters(METRICS) == {
        "cpu_s": 12.5,
        "started_s": 1.7e9,
        "running": 10,
        "syncs": 9,
        "syncing_s": 0.25,
        "limited_s": 0.75,
        "requests": {"GET": 32, "PUT": 5},
    }


def test_a_window_is_the_difference_of_two_readings() -> None:
    """Also of a method that was not used before it."""
    before = costs.counters(METRICS)
    after = costs.counters(
        METRICS.replace("12.5", "13.25").replace('="PUT"} 5', '="PATCH"} 3')
    )

    found = costs.window(before, after, seconds=30.0)

    assert found["cpu_s"] == 0.75
    assert found["requests"] == {"GET": 0, "PATCH": 3}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"started_s": 1.0}, True),
        ({"started_s": -12.0}, False),
        ({"running": -1.0}, False),
    ],
)
def test_a_window_is_valid(change: dict[str, float], *, expected: bool) -> None:
    """Not if the kubelet was started anew in it, or a pod did not run at its end."""
    before = costs.counters(METRICS)

    after = {
        name: value + change.get(name, 0.0)
        for name, value in before.items()
        if name != "requests"
    }

    assert costs.is_valid(before, after, pods=10) is expected


def test_each_node_has_every_configuration_once_in_a_repetition() -> None:
    """And no two nodes have the same one at the same time."""
    rounds = cost_law.schedule()

    number = len(cost_law.CONFIGURATIONS)
    assert len(rounds) == cost_law.REPEATS * number
    for start in range(0, len(rounds), number):
        part = rounds[start : start + number]
        for own in zip(*part, strict=True):
            assert Counter(own) == Counter(cost_law.CONFIGURATIONS)
    assert all(len(set(one)) == len(cost_law.POPULATIONS) for one in rounds)
    assert rounds == cost_law.schedule()
    assert rounds != cost_law.schedule(seed=1)


def test_reads_are_limited() -> None:
    """50 pods with 10 maps: 73 reads a second at S = 5 s, 38 at S = 10 s, of 50."""
    many = cost_law.Population(50, 10)

    assert many.saturates(Setting(5, Strategy.GET))
    assert not many.saturates(Setting(10, Strategy.GET))
    assert not many.saturates(Setting(5, Strategy.WATCH))


def test_the_fit_finds_the_terms() -> None:
    """Without noise exactly, whatever the terms are; a saturated window is left out."""
    table = cost_law.simulate(np.random.default_rng(0))
    terms = np.array([20.0, 0.3, 0.05, 4.0, 0.2, 1.5, 2.5])
    table["millicores"] = cost_law.design(table) @ terms

    found = cost_law.fit(table, "millicores")

    assert found.value == pytest.approx(terms)
    assert found.t == pytest.approx(2.0195, abs=1e-4)  # Student's t, 42 rounds
    row = row_of(Setting(10, Strategy.GET), pods=13, maps=2)
    # one sync a second, two reads
    expected = 20 + 13 * 0.3 + 26 * 0.05 + 4 + 2 * 1.5
    assert found.of(row)["value"] == pytest.approx(expected)


def test_intervals_cover() -> None:
    """Of 100 simulated runs 95 % hold each term; 6.5 % are three standard errors."""
    true = np.array(cost_law.ASSUMED["millicores"])
    hits = np.zeros(len(true))
    for seed in range(100):
        table = cost_law.simulate(np.random.default_rng(seed))
        fit = cost_law.fit(table[~table["saturated"]], "millicores")
        rows = cost_law.of_terms(fit)
        hits += [
            row["95"][0] <= value <= row["95"][1]
            for row, value in zip(rows, true, strict=True)
        ]

    assert hits / 100 == pytest.approx(np.full(len(true), 0.95), abs=0.065)


def test_a_wrong_number_of_requests_is_not_shown() -> None:
    """Nine requests for ten ConfigMaps are outside the margin."""
    table = cost_law.simulate(np.random.default_rng(0))
    get = table["strategy"] == "Get"
    table.loc[get, "requests"] -= 0.1 * table["syncs_per_s"] * table["maps"]

    held = {row["term"]: row["holds"] for row in cost_law.judge(table)["H17"]}

    assert held == {"read_Watch": True, "read_Get": False, "read_Cache": True}


def test_counted_windows_become_rates() -> None:
    """Per second and in millicores, all methods together."""
    one = {
        "round": 3,
        "node": "n",
        "pods": 50,
        "maps": 10,
        "strategy": "Cache",
        "sync_frequency_s": 2,
        "seconds": 20.0,
        "cpu_s": 4.0,
        "syncs": 333.0,
        "requests": {"GET": 900.0, "PUT": 100.0},
    }

    (row,) = cost_law.per_second([one]).to_dict("records")

    assert row["millicores"] == 200
    assert row["requests"] == 50
    assert row["syncs_per_s"] == pytest.approx(16.65)
    assert row["saturated"]


def test_the_kubelet_is_given_another_setting() -> None:
    """All else of its file stays."""
    file = json.dumps({"maxPods": 250, "syncFrequency": "60s"})

    found = json.loads(costs.configured(file, Setting(300, Strategy.GET)))

    assert found == {
        "maxPods": 250,
        "syncFrequency": "300s",
        "configMapAndSecretChangeDetectionStrategy": "Get",
    }


def test_pods_mount_their_maps_and_sleep() -> None:
    """Ten ConfigMaps in each of fifty pods of one node."""
    made = costs.workload("n-1", cost_law.Population(50, 10), image="image")

    assert made["spec"]["replicas"] == 50
    spec = made["spec"]["template"]["spec"]
    assert [one["configMap"]["name"] for one in spec["volumes"]] == [
        f"map-{k}" for k in range(10)
    ]
    (container,) = spec["containers"]
    assert len(container["volumeMounts"]) == 10
    assert container["command"] == ["/bin/sleep", "86400"]


def test_a_round_that_was_broken_off_is_measured_again(tmp_path: Path) -> None:
    """What was written before and after it counts."""
    file = tmp_path / "costs.jsonl"
    assert costs.read_rounds(file) == {}
    whole = [json.dumps({"round": k, "windows": [{"node": k}]}) for k in (0, 2)]
    file.write_text(f"\n{whole[0]}\n\n{whole[1][:9]}\n{whole[1]}\n")

    assert costs.read_rounds(file) == {k: [{"node": k}] for k in (0, 2)}


def test_the_section_tells_prices_and_what_is_not_fitted() -> None:
    """A saturated cell has what was measured, and a dash for the fit."""
    table = cost_law.simulate(np.random.default_rng(0))
    found = {**cost_law.judge(table), "without_starts": cost_law.without_starts(table)}

    text = findings_page._costs(found)

    (line,) = [x for x in text.splitlines() if x.startswith("| 50 | 10 | 5 s, Get |")]
    assert line.count("| – |") == 2  # noqa: RUF001 - a dash
    assert "| 10 s, Watch | 110 | 1 |" in text
    assert "| 10 s, Get | 110 | 10 |" not in text
    assert "| H18 |" in text


def test_windows_in_which_pods_still_start_are_told() -> None:
    """Twenty requests a second that no sync asked for: two windows, and the fit."""
    table = cost_law.simulate(np.random.default_rng(0))
    started = (
        *(table["pods"].eq(50), table["maps"].eq(10)),
        *(table["strategy"].eq("Get"), table["sync_frequency_s"].eq(60)),
    )
    late = np.logical_and.reduce(started)
    table.loc[late, "requests"] += 20

    found = cost_law.without_starts(table)

    asked = {"pods": 50, "maps": 10, "strategy": "Get", "windows": 2}
    assert found["left_out"] == [asked]
    assert found["H17"] == cost_law.judge(table[~late])["H17"]
    assert found["H17"] != cost_law.judge(table)["H17"]


def test_the_package_has_the_fit_that_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the limits of the plan, and after it was written and read."""
    table = cost_law.simulate(np.random.default_rng(0))
    file = tmp_path / "price.json"
    file.write_text(json.dumps(rounded(cost_law.for_package(table, "v1.37.1"))))
    monkeypatch.setattr(price, "FILE", file)

    law = price.fitted.__wrapped__()

    assert law.limits == {
        "sync_frequency_s": [1, 300],
        "pods": [0, 110],
        "maps": [1, 10],
    }
    (judged,) = cost_law.judge(table)["H18"]
    rows = [row_of(Setting(s), pods=110, maps=1) for s in (10, 60)]
    found = law.fits["millicores"].of(rows[0] - rows[1])
    assert found["value"] == pytest.approx(judged["value"], rel=1e-4)
    assert found["95"] == pytest.approx(judged["95"], rel=1e-3)


def test_the_protocol_is_what_the_module_says() -> None:
    """Written anew with the power that was kept, it is the page of the repository."""
    kept = json.loads((pages.DOCS / "costs-protocol.json").read_text())

    text = cost_law.page(kept["power"])

    assert text.strip() == (pages.DOCS / "costs-protocol.md").read_text().strip()
    assert min(kept["power"].values()) >= cost_law.LEAST_POWER
