"""Predictions: the keys that programs rely on, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

import cmhot
from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law.prediction import predict
from cmhot.statistics.sample_size import plan_precision


def test_the_json_has_the_keys_that_programs_rely_on() -> None:
    """Seconds, plain numbers, and each quantile under its share."""
    found = json.loads(
        json.dumps(predict(Setting(60), quantiles=[0.999, 0.5]).to_dict())
    )

    assert set(found.pop("price")) == {
        *("pods_per_node", "maps", "kubelet", "not_measured"),
        *("spent", "instead_of", "more"),
    }
    assert found == {
        "setting": {
            "sync_frequency_s": 60,
            "strategy": "Watch",
            "ttl_s": 0,
            "sharers": 1,
        },
        "pods": 1,
        "rank": 1,
        "kubelets": "from 1.12",
        "mean_s": pytest.approx(38.2, abs=0.05),
        "p50_s": pytest.approx(37.7, abs=0.051),
        "p90_s": pytest.approx(69.2, abs=0.05),
        "p95_s": pytest.approx(75.5, abs=0.051),
        "p99_s": pytest.approx(83.8, abs=0.05),
        "max_s": pytest.approx(91.2),
        "quantiles": {
            "0.999": pytest.approx(88.4, abs=0.05),
            "0.5": pytest.approx(37.75),
        },
    }


def test_the_text_has_a_row_for_each_question() -> None:
    """One pod, and all of them; numbers to a hundredth of a second."""
    lines = (
        cmhot.predict(Setting(60), pods=20, quantiles=[0.999]).to_text().splitlines()
    )

    assert "By the law, not measured: 60 s, Watch, kubelet from 1.12" in lines[0]
    assert lines[3].split()[2:] == ["mean", "p50", "p90", "p95", "p99", "p99.9", "max"]
    assert lines[4].split()[-7:] == [
        "38.25",
        "37.75",
        "69.21",
        "75.45",
        "83.76",
        "88.37",
        "91.20",
    ]
    assert lines[5].startswith("all 20 pods have it")
    assert len({len(line) for line in lines[3:6]}) == 1


def test_the_table_has_the_same_rows() -> None:
    """In JupyterLab it is a table."""
    found = predict(Setting(10), pods=5, rank=2)

    assert found.table().index.tolist() == ["a given pod has it", "2 of 5 pods have it"]
    assert "<table" in found._repr_html_()


@pytest.mark.parametrize(
    ("kubernetes", "kubelets", "mean_s"),
    [
        ("1.9", "1.9 to 1.23, before 1.22.9 and 1.23.6", 59.4),
        ("1.23.5", "1.9 to 1.23, before 1.22.9 and 1.23.6", 59.4),
        ("1.23.6", "1.24 to 1.28, and from 1.22.9 and 1.23.6", 38.2),
        ("1.25", "1.24 to 1.28, and from 1.22.9 and 1.23.6", 38.2),
        (None, "from 1.29", 59.4),
    ],
)
def test_versions_differ_under_a_ttl(
    kubernetes: str | None, kubelets: str, mean_s: float
) -> None:
    """It says for which kubelets it holds."""
    found = predict(
        Setting(60, Strategy.CACHE, 60), sharers=5, kubernetes=kubernetes
    ).to_dict()

    assert found["kubelets"] == kubelets
    assert found["mean_s"] == pytest.approx(mean_s, abs=0.06)


CACHE = Setting(60, Strategy.CACHE, 60)


def test_a_strategy_holds_since_it_can_be_chosen() -> None:
    """Before 1.12 there was no Watch: who asks for it is told what there was."""
    assert predict(Setting(60)).to_dict()["kubelets"] == "from 1.12"
    with pytest.raises(UsageError, match=r"1\.9 knows no Watch.*--strategy Cache"):
        predict(Setting(60), kubernetes="1.9")


@pytest.mark.parametrize(
    ("setting", "how", "says"),
    [
        (Setting(60), {"quantiles": [1.2]}, "between 0 and 1"),
        (Setting(60), {"pods": 0}, "not possible"),
        (Setting(60), {"sharers": 0}, "at least one"),
        (Setting(60), {"age_s": 5, "pods": 3}, "that of one pod"),
        (Setting(60), {"age_s": 5, "extra_syncs_per_h": 3}, "choose one"),
        (Setting(60), {"extra_syncs_per_h": -3}, "a rate is 0 or more"),
        (CACHE, {"age_s": 5}, "may read old content"),
        (Setting(60, Strategy.CACHE, None), {}, "give it"),
        (Setting(60), {"kubernetes": "v1.8.15"}, "begins with"),
    ],
)
def test_nonsense_is_refused(setting: Setting, how: dict[str, Any], says: str) -> None:
    """A clear error, not a number."""
    with pytest.raises(UsageError, match=says):
        predict(setting, **how)


def test_a_known_age_and_extra_syncs_have_their_laws() -> None:
    """A pod synced 5 s ago takes longer, one that is synced often does not."""
    assert predict(Setting(60), age_s=5).law.mean_s == pytest.approx(70.5)
    often = predict(Setting(60), extra_syncs_per_h=60).law
    assert often.mean_s == pytest.approx(30.1, abs=0.1)


def test_a_plan_scales_with_the_square_of_the_width() -> None:
    """Half the width takes four times as long; twice the pods, half the time."""
    wide = plan_precision(Setting(60), width_s=1.0)
    narrow = plan_precision(Setting(60), width_s=0.5)

    assert wide.value_s == pytest.approx(83.76, abs=0.01)
    assert narrow.intervals / wide.intervals == pytest.approx(4, rel=0.01)
    assert wide.minutes[10] / wide.minutes[20] == pytest.approx(2)
    assert "--pods 20 --duration" in wide.to_text()
    assert next(sorted(one) for one in wide.to_dict()["choices"]) == [
        "duration_s",
        "pods",
    ]


def test_under_a_ttl_nodes_count() -> None:
    """Pods of one node share its fetches, so that nodes are what is counted."""
    found = plan_precision(CACHE, width_s=4.0, quantile=0.95, sharers=20)

    assert found.unit == "nodes"
    assert list(found.minutes) == [1, 2, 5]


@pytest.mark.parametrize("how", [{"width_s": 0.0}, {"width_s": 1.0, "quantile": 1.0}])
def test_impossible_plans_are_refused(how: dict[str, Any]) -> None:
    """A width is above 0, a quantile between 0 and 1."""
    with pytest.raises(UsageError, match="no plan"):
        plan_precision(Setting(60), **how)
