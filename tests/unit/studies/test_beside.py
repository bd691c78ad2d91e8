"""Remedies beside pods that wait, and disturbed pods beside idle ones."""

from __future__ import annotations

import hashlib
import json
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pytest

from cmhot.clock import NS_PER_S
from cmhot.cluster.testbed.image import find_busybox
from cmhot.law import law_for
from studies import beside, disturbed, findings_page, pages, verdicts
from studies.draws import T0, draw_delays
from studies.editions import SECOND

if TYPE_CHECKING:
    from cmhot.runs.rundir import Run

METHODS = ("annotate", "rollout", "recreate")


def run_of_stamps(**stamps_s: list[float]) -> Run:
    """Give what is looked at of a run: each pod's publications, seconds from T0."""
    rows = [
        {"pod": pod, "published_ns": T0 + int(at * NS_PER_S)}
        for pod, instants in stamps_s.items()
        for at in instants
    ]
    return cast("Run", SimpleNamespace(publications=pd.DataFrame(rows)))


def at(*seconds: float) -> list[int]:
    """Give instants."""
    return [T0 + int(one * NS_PER_S) for one in seconds]


def trials_of(seconds: list[tuple[float, float, float]]) -> pd.DataFrame:
    """Give a row for each method of each round, ten seconds after the one before."""
    return pd.DataFrame(
        [
            {
                "round": number,
                "method": method,
                "pods": 10,
                "seconds": one,
                "called_ns": T0 + int(10 * NS_PER_S * (3 * number + place)),
            }
            for number, row in enumerate(seconds)
            for place, (method, one) in enumerate(zip(METHODS, row, strict=True))
        ]
    )


def test_waiting_lasts_until_the_last_pod_s_next_sync() -> None:
    """A publication at the instant itself is too early: it has an older number."""
    run = run_of_stamps(a=[0.0, 60.0, 130.0], b=[20.0, 90.0])

    waited = beside.waited_s(run, at(10.0, 60.0, 95.0))

    assert waited.tolist() == pytest.approx([50.0, 70.0, np.inf])


def test_a_round_that_is_not_whole_is_left_out_and_counted() -> None:
    """One trial failed, and the last round was not outlasted by who waited."""
    trials = trials_of([(1, 9, 30), (1, np.nan, 30), (2, 8, 31), (1, 9, 30)])
    run = run_of_stamps(a=[15.0, 75.0, 100.0])

    rows = beside.remedies(trials, run)

    assert beside.rounds(trials, run).index.tolist() == [0, 2]
    assert [row["method"] for row in rows] == [*METHODS, "waiting"]
    assert {(row["n"], row["left_out"]) for row in rows} == {(2, 2)}
    (waiting,) = [row for row in rows if row["method"] == "waiting"]
    # from 0, 10 and 20 s to 15 and 75 s; from 60, 70 and 80 s to 75 and 100 s
    assert waiting["max_s"] == pytest.approx((15 + 5 + 55) / 3)
    assert waiting["median_s"] == pytest.approx((75 / 3 + 40 / 3) / 2)
    assert waiting["law_s"] > 60


def test_what_is_quicker_is_told_in_pairs() -> None:
    """Of twelve rounds recreate beats rollout in half: that is not asked."""
    seconds = [(1.0, 9.0, 9.0 + (-1) ** number) for number in range(12)]
    run = run_of_stamps(a=[60.0 * k + 59 for k in range(9)])

    rows = beside.quicker(trials_of(seconds), run)

    assert [row["of"] for row in rows] == [
        *(["rollout", "annotate"], ["recreate", "annotate"], ["waiting", "annotate"]),
        *(["waiting", "rollout"], ["waiting", "recreate"]),
    ]
    assert all(row["holds"] for row in rows)
    assert rows[0]["median_95"] == [8.0, 8.0]


def test_what_is_not_always_quicker_is_not_shown() -> None:
    """Annotate lost three of ten rounds; and nine rounds are too few for anything."""
    mixed = [(1.0, 9.0 if number % 10 > 2 else 0.5, 30.0) for number in range(10)]
    run = run_of_stamps(a=[60.0 * k + 59 for k in range(9)])

    assert not beside.quicker(trials_of(mixed), run)[0]["holds"]
    assert beside.quicker(trials_of(mixed), run)[1]["holds"]
    assert not beside.quicker(trials_of(mixed[:9]), run)[1]["holds"]


def test_limits_of_a_median_are_exact() -> None:
    """Of 12 values the third and the tenth, which miss it in 2 · 1.9 % of samples."""
    found = beside.median(np.arange(12.0))

    assert found == {"median_s": 5.5, "median_95": [2.0, 9.0]}


def test_pods_that_see_it_sooner_are_told_from_idle_ones() -> None:
    """By means of pods; the idle ones are not judged."""
    rng = np.random.default_rng(5)
    idle = rng.normal(38, 4, 50)

    rows = beside.sooner({"idle": idle, "readiness": idle - 6, "crashing": idle - 0.1})

    assert [row["holds"] for row in rows] == [None, True, False]
    assert rows[1]["sooner_95"][0] < 6 < rows[1]["sooner_95"][1]
    law = law_for(beside.SETTING)
    assert law is not None
    assert rows[0]["law_mean_s"] == law.mean_s


def test_updates_count_from_the_last_onset_on() -> None:
    """Not those before, nor those after the time that is watched."""
    table = draw_delays(
        beside.SETTING, np.random.default_rng(1), pods=5, window_s=2400.0
    )
    stamps = table.drop_duplicates(["pod", "published_ns"])
    newest = table.groupby(["pod", "published_ns"], observed=True)["seq"].max()
    first = pd.DataFrame({"pod": table["pod"].unique(), "published_ns": T0, "seq": 0})
    own = stamps[["pod", "published_ns"]].merge(newest.reset_index())
    trials = table.drop_duplicates("seq")[["seq", "acked_ns"]]
    run: Any = SimpleNamespace(
        publications=pd.concat([first, own], ignore_index=True),
        updates=trials.assign(purpose="trial", status="acked"),
    )

    waits = beside.watched(run)

    since_s = (table["acked_ns"] - T0) / NS_PER_S
    onset_s = disturbed.CALM_S + beside.STAGGER_S
    kept = table[since_s.between(onset_s, onset_s + beside.WATCHED_S, "left")]
    expected = kept.groupby("pod", observed=True)["delay_s"].mean()
    assert waits.mean(axis=1) == pytest.approx(expected.to_numpy())
    assert abs(verdicts.in_step(waits)) < 1


@pytest.mark.parametrize("stagger_s", [0, 300])
def test_each_pod_has_an_onset_of_its_own(stagger_s: int) -> None:
    """By its name; the shell of a probe reckons it, and is what busybox has."""
    words = disturbed._later(stagger_s)
    busybox = find_busybox()
    done = subprocess.run(
        [busybox, "sh", "-c", f"hostname() {{ echo cmhot-7; }}; echo {words}"],
        capture_output=True,
        text=True,
        check=True,
    )

    hashed = hashlib.md5(b"cmhot-7\n", usedforsecurity=False).hexdigest()
    assert int(done.stdout) == (int(hashed[:6], 16) % stagger_s if stagger_s else 0)


def test_the_section_tells_both_parts() -> None:
    """Each with its table, and a line for its hypothesis."""
    method = {
        "method": "annotate",
        "pods": 10,
        "n": 12,
        "left_out": 1,
        "median_s": 1.0,
        "median_95": [0.9, 1.1],
        "max_s": 1.4,
        "lag_r": 0.1,
        "law_s": None,
    }
    pair = {
        "pods": 10,
        "of": ["rollout", "annotate"],
        "median_s": 8.0,
        "median_95": [7.0, 9.0],
        "holds": True,
    }
    idle = {
        "kind": "idle",
        "pods": 50,
        "correlation": 0.01,
        "mean_s": 38.0,
        "mean_95": [36.0, 40.0],
        "law_mean_s": 38.2,
        "sooner_95": None,
        "holds": None,
    }
    crashing = {**idle, "kind": "crashing", "sooner_95": [-1.0, 5.0], "holds": False}

    text = findings_page._beside(
        {"methods": [method], "H19": [pair], "H20": [idle, crashing]}
    )

    assert "| 10 | annotate | 12 | 1 | 1.0 (0.9 … 1.1) | 1.4 | +0.10 |" in text
    assert "| 10 | rollout | annotate | 8.0 (7.0 … 9.0) | yes |" in text
    assert (
        "| crashing | 50 | +0.01 | 38.0 (36.0 … 40.0) | 38.2 | -1.00 … 5.00 |" in text
    )
    assert "| shown | 1 of 1 |" in text
    assert "| not shown | 0 of 1 |" in text


def test_each_part_makes_what_the_findings_read() -> None:
    """The edition names the same runs and the table of trials."""
    parts = [one for one in SECOND.experiments if one.name.startswith("beside-")]

    assert [one.made for one in parts] == [*beside.PARTS.values()]
    assert beside.TRIALS in SECOND.tables


def test_the_protocol_is_what_the_module_says() -> None:
    """Written anew with the power that was kept, it is the page of the repository."""
    kept = json.loads((pages.DOCS / "beside-protocol.json").read_text())

    text = beside.page(kept["power"])

    assert text.strip() == (pages.DOCS / "beside-protocol.md").read_text().strip()
    assert min(kept["power"].values()) >= beside.LEAST_POWER
