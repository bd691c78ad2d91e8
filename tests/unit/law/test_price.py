"""The price of a setting: what the package says is what was measured and fitted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmhot import Setting, Strategy, predict
from cmhot.law import mean_interval_s, price
from cmhot.law.price import price_of

FINDINGS = Path(__file__).parents[3] / "docs" / "findings.json"
GET = Setting(10, Strategy.GET)


def test_it_is_the_fit_that_is_published() -> None:
    """The terms that are told, and the price by which precision is judged."""
    published = json.loads(FINDINGS.read_bytes())["costs"]["without_starts"]
    fits = price.fitted().fits
    found = [
        fits["requests_per_s"].of(np.eye(len(price.TERMS))[price.TERMS.index(name)])
        for name in ("read_Watch", "read_Get", "read_Cache")
    ]
    found.append(price_of(Setting(10)).more["millicores"])

    for own, row in zip(found, published["H17"] + published["H18"], strict=True):
        assert own["value"] == pytest.approx(row["value"], rel=1e-4, abs=1e-7)
        assert own["95"] == pytest.approx(row["95"], rel=1e-3, abs=1e-7)


@pytest.mark.parametrize("maps", [1, 10])
@pytest.mark.parametrize("strategy", Strategy)
def test_requests_are_the_reads_of_syncs(strategy: Strategy, maps: int) -> None:
    """Within 2 %, and none under Watch: what H17 says is what is priced."""
    found = price_of(Setting(10, strategy), pods=50, maps=maps).more["requests_per_s"]

    reads = 50 * maps / mean_interval_s(Setting(10))
    expected = 0.0 if strategy is Strategy.WATCH else reads
    assert found["value"] == pytest.approx(expected, abs=0.02 * reads)


def test_a_difference_is_known_better_than_its_parts() -> None:
    """What both settings have in common, an idle kubelet and pods, drops out."""
    found = price_of(Setting(10), instead_of=Setting(60))
    other = price_of(Setting(60))

    for name, more in found.more.items():
        expected = found.spent[name]["value"] - other.spent[name]["value"]
        assert more["value"] == pytest.approx(expected)
    halves = [np.ptp(one["millicores"]["95"]) for one in (found.more, found.spent)]
    assert halves[0] < halves[1]


def test_terms_are_counted() -> None:
    """10 pods with 3 maps at S = 10 s, Get: the syncs of the law, three reads each."""
    row = dict(zip(price.TERMS, price.row_of(GET, pods=10, maps=3), strict=True))

    syncs = 10 / mean_interval_s(GET)
    assert row == {
        "idle": 1,
        "pod": 10,
        "map": 30,
        "sync": pytest.approx(syncs),
        "read_Watch": 0,
        "read_Get": pytest.approx(3 * syncs),
        "read_Cache": 0,
    }


@pytest.mark.parametrize(
    ("setting", "how", "lacking"),
    [
        (Setting(0.5), {}, "for syncFrequency of 0.5 s, only for 1 to 300"),
        (Setting(301), {}, "for syncFrequency of 301 s, only for 1 to 300"),
        (Setting(10), {"pods": 111}, "for 111 pods a node, only for 0 to 110"),
        (Setting(10), {"maps": 11}, "for 11 ConfigMaps a pod, only for 1 to 10"),
        (Setting(10, Strategy.CACHE, 60), {}, "under Cache with another TTL than 0"),
        (Setting(10, Strategy.CACHE, None), {}, "under Cache with another TTL than 0"),
        (Setting(10), {"kubernetes": "1.28"}, "on kubelet 1.28, only on v1.37.1"),
        (Setting(1, Strategy.GET), {}, "at 1 s, Get: reads take over 80%"),
        (Setting(60), {"instead_of": Setting(0.5)}, "for syncFrequency of 0.5 s"),
    ],
)
def test_what_was_not_measured_has_no_price(
    setting: Setting, how: dict[str, Any], lacking: str
) -> None:
    """It says what, and where the measurement ends; no number is given."""
    found = price_of(setting, **how)

    assert found.not_measured.startswith(lacking)
    assert (found.spent, found.more, found.p99_s) == ({}, {}, ())
    assert found.lines()[1:] == [f"not measured {found.not_measured}"]
    assert found.to_dict()["instead_of"]["p99_s"] is None


@pytest.mark.parametrize(
    ("setting", "how"),
    [
        (Setting(1), {}),
        (Setting(300, Strategy.GET), {"maps": 10}),
        (Setting(10, Strategy.CACHE, 0), {"kubernetes": "v1.37.4"}),
        (Setting(10), {"kubernetes": "v0.0.0-dirty"}),
    ],
)
def test_the_borders_were_measured(setting: Setting, how: dict[str, Any]) -> None:
    """Also another patch of the version, and a kubelet that does not name its own."""
    assert price_of(setting, **how).not_measured == ""


def test_a_prediction_says_the_price_beside_the_delay() -> None:
    """The default has its own price; another setting what it costs more."""
    default, shorter = predict(Setting()), predict(GET, pods_per_node=50, maps=2)

    assert "instead of" not in default.to_text()
    assert " millicores (95 %: " in default.to_text()
    *_, where, what, more = shorter.to_text().splitlines()
    assert where == (
        "Price for the kubelet (v1.37.1, fitted) of 50 idle pods with 2 ConfigMaps "
        "each:"
    )
    assert what == (
        "10 s, Get instead of the default, 60 s, Watch: p99 14.4 s instead of 83.8 s,"
    )
    found = shorter.to_dict()["price"]
    assert f"{found['more']['requests_per_s']['value']:+.2f} requests/s" in more
    assert (found["pods_per_node"], found["maps"]) == (50, 2)
    assert where in shorter._repr_html_()
