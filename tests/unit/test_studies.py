"""The studies' pages: what they say was seen, and still follows from the data."""

from __future__ import annotations

import json

import pytest

from cmhot.kubelet import TYPICAL
from cmhot.prediction import predict
from cmhot.runs.refreshes import refresh_intervals
from cmhot.runs.rundir import read_run
from cmhot.settings import Setting, Strategy
from cmhot.statistics.population import populations
from studies import hypotheses, kubelet, law, pages


@pytest.mark.parametrize("name", ["law", "kubelet", "hypotheses", "coverage"])
def test_a_page_says_that_all_of_it_holds(name: str) -> None:
    """What must be shown was seen when the page was made, in full size."""
    numbers = json.loads((pages.DOCS / f"{name}.json").read_text())
    text = (pages.DOCS / f"{name}.md").read_text()

    assert numbers["holds"] is True
    assert "**no**" not in text
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
