"""The studies' pages: what they say was seen, and still follows from the data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmhot.kubelet.eras import TYPICAL
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law.prediction import predict
from cmhot.runs.rundir import read_run
from cmhot.runs.sync_intervals import refresh_intervals
from cmhot.statistics.population import populations
from studies import faults, findings, headline, hypotheses, kubelet, law, pages, publish
from studies import verdicts as judged
from studies.draws import draw_delays
from studies.editions import FIRST


def test_a_bar_does_not_begin_another_cell() -> None:
    """A row has as many cells as it was given, whatever they say."""
    text = pages.table(["sup|F̂ - F|", "x"], [["|Δp50| ≤ 1", None]])

    assert text.splitlines() == [
        r"| sup\|F̂ - F\| | x |",
        "| --- | --- |",
        r"| \|Δp50\| ≤ 1 | – |",  # noqa: RUF001 - a dash
    ]


@pytest.mark.parametrize("name", ["law", "kubelet", "hypotheses", "coverage"])
def test_a_page_says_that_all_of_it_holds(name: str) -> None:
    """What must be shown was seen when the page was made, in full size."""
    numbers = json.loads((pages.DOCS / f"{name}.json").read_text())
    text = (pages.DOCS / f"{name}.md").read_text()

    assert numbers["holds"] is True
    assert "**no**" not in text
    assert "refuted**" not in text
    assert text.count("| yes |") > 4


def test_the_law_agrees_with_the_model_in_small() -> None:
    """A fiftieth of the study: the median of 20,000 delays to four standard errors."""
    case = law.Case(Setting(10, Strategy.CACHE, 60), 5)

    row = law.compare(case, number=20_000)

    assert row["law"] == {
        key: predict(case.setting, sharers=5, timing=TYPICAL).law.summary()[key]
        for key in law.KEYS
    }
    # 2000 fetches, some 18 s apart in their delays: 18 / √2000 = 0.4 s
    assert abs(row["difference_s"]["p50_s"]) < 4 * 0.4


def test_measured_numbers_follow_from_the_data() -> None:
    """The lattice of the intervals, made again from the shipped run, is the page's."""
    run = read_run(kubelet.DATA / "main")
    refreshes = {
        str(key["strategy"]): own
        for key, own in populations(refresh_intervals(run))
        if key["sync_frequency_s"] == 5.0
    }
    page = json.loads((pages.DOCS / "hypotheses.json").read_text())

    (again,) = hypotheses.lattice({Setting(5): refreshes["Watch"]})

    (said,) = [one for one in page["lattice"] if one["setting"] == "5 s, Watch"]
    assert again["n"] == said["n"] == 3531
    assert again["chi2"] == pytest.approx(said["chi2"])
    assert again["inferred_s"] == pytest.approx(said["inferred_s"])


def test_a_law_that_is_wrong_is_rejected_in_each_of_twelve_cells() -> None:
    """Delays three times as long as they should be: no verdict may hold."""
    rng = np.random.default_rng(0)
    shaped = {
        setting: draw_delays(setting, rng, pods=6, window_s=2 * sync_s)
        for sync_s in (5.0, 10.0, 20.0, 60.0)
        for strategy in Strategy
        for setting in [Setting(sync_s, strategy, 0.0)]
    }
    tripled = {
        setting: own.assign(delay_s=3 * own["delay_s"])
        for setting, own in shaped.items()
    }

    rows = [
        row for row in judged.folk(tripled) if row["hypothesis"].startswith("the law")
    ]

    assert len(rows) == 12
    assert not any(row["holds"] for row in rows)


def test_a_missed_delay_counts_on_neither_side() -> None:
    """Of five updates, one missed, two of four were there by 10 s, one after 60 s."""
    table = pd.DataFrame(
        {
            "status": ["observed", "observed", "missed", "observed", "observed"],
            "delay_s": [4.0, 10.0, float("nan"), 60.0, 70.0],
        }
    )

    (row,) = findings.shares({Setting(60): table, Setting(60, Strategy.GET): table})

    assert (row["setting"], row["n"]) == ("60 s, Watch", 4)
    assert (row["by_10_s"], row["above_sync"]) == (0.5, 0.25)


def test_the_width_is_judged_where_it_was_declared() -> None:
    """H12 is of the kubelet's defaults: neither Get nor another S counts."""
    cells = [
        {"setting": name, "sync_frequency_s": s, "p99_s": 84.0, "p99_95": [83.0, 84.5]}
        for name, s in (("60 s, Get", 60.0), ("60 s, Watch", 60.0), ("20 s, Watch", 20))
    ]

    (row,) = judged.width(cells)

    assert (row["setting"], row["half_s"], row["holds"]) == ("60 s, Watch", 0.75, True)


def test_the_page_about_faults_follows_from_its_numbers() -> None:
    """Written anew from the rows that were kept, it is the page of the repository."""
    kept = json.loads((pages.DOCS / "faults.json").read_text())

    text = faults.page(kept["told"], [faults.Row(**row) for row in kept["rows"]])

    assert text == (pages.DOCS / "faults.md").read_text()


def test_a_published_run_has_the_name_of_its_directory() -> None:
    """One that was kept under another name says that name, so that both can be read."""
    for path in FIRST.data.glob("*/run.json"):
        run = read_run(path.parent)
        assert run.meta["run_id"] == path.parent.name

        renamed = replace(run, path=Path("elsewhere") / "again")
        assert publish.meta_of(renamed)["run_id"] == "again"


def test_the_headlines_figure_tells_its_four_curves() -> None:
    """The picture is of Watch, and so are its words."""
    said = json.loads((headline.FIGURES / f"{headline.FIGURE}.json").read_text())

    told = f"{said['alt']} {said['caption']} {said['paragraph']}"
    assert said["alt"].count("half by") == 4
    assert "Get" not in told
    assert "Cache" not in told
