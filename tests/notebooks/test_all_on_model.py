"""All notebooks, executed as papermill does it, on the model and with small sizes.

Laws are asserted on the numbers that each figure left, not on outputs of cells.
"""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from cmhot.errors import UsageError
from cmhot.report import notebooks
from tests.notebooks import test_live_notebooks

pytestmark = pytest.mark.notebook

MOST_CPU_S = 180.0
"""Of processor time for all: three minutes on one core that does nothing else."""

MEASURED = Path(__file__).parents[2] / "data" / "study-2026-11-24"
"""The published runs."""

SMALL: dict[str, dict[str, Any]] = {
    "02-collect": {"pods": 6, "pods_at": ["60s=40"], "duration_s": 120.0},
    "03-delay-distribution": {},
    "04-sync-frequency": {},
    "05-change-detection": {"pods": 6, "duration_s": 240.0},
    "07-whole-fleet": {},
    "09-how-to-measure-it-wrong": {"at": "sync=10s", "trials": 10},
    "10-what-if": {},
    "11-costs": {},
    "12-limits": {},
    **test_live_notebooks.SMALL,
}
"""Sizes. Most of those that live from runs are given the one that the first makes."""

SPENT: dict[str, float] = {}
"""Processor time that each took, seconds."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for runs, figures and executed copies."""
    return tmp_path_factory.mktemp("all on the model")


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """Collect the run from which most of the notebooks live."""
    execute("02-collect", folder, run_id="shared")
    return folder / "runs" / "shared"


def execute(name: str, folder: Path, **more: object) -> Path:
    """Execute a notebook on the model, and note what it took."""
    told = {
        "target": "model",
        "out": folder / "runs",
        "figures_out": folder / "figures",
    }
    known = notebooks.parameters(name)
    values = {key: value for key, value in told.items() if key in known}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    saved = notebooks.execute(name, values | SMALL[name] | more, out=folder / "done")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    SPENT[name] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return saved


def figure(folder: Path, name: str) -> dict[str, Any]:
    """Read the numbers of a figure that was written, of which all files are there."""
    files = [f"{name}.svg", f"{name}.png", f"{name}-narrow.svg"]
    assert [one for one in files if not (folder / "figures" / one).stat().st_size] == []
    text = (folder / "figures" / f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    assert found["name"] == name
    assert found["modelled"] is True
    assert all(found[key] for key in ("title", "alt", "caption", "paragraph"))
    numbers: dict[str, Any] = found["numbers"]
    return numbers


def test_all_are_here() -> None:
    """Each notebook has its size: a new one is executed here, too."""
    assert sorted(SMALL) == notebooks.names()


def test_delay_distribution(run: Path, folder: Path) -> None:
    """At each of six settings half of the delays are over after 0.6 to 0.75 S."""
    execute("03-delay-distribution", folder, runs=[run])

    settings = figure(folder, "delay-distribution")["settings"]
    halves = [
        one["interval_estimator"]["p50_s"] / one["sync_frequency_s"] for one in settings
    ]
    # 0.625 S and a quarter of a second: 0.68 S at 5 s, 0.64 S at 20 s
    assert [0.55 < half < 0.75 for half in halves] == [True] * 6


def test_sync_frequency(run: Path, folder: Path) -> None:
    """The median grows with S; divided by S and half a second, all are one."""
    execute("04-sync-frequency", folder, runs=[run])

    rows = figure(folder, "sync-frequency")["settings"]
    medians = {row["sync_frequency_s"]: row["intervals_p50_s"] for row in rows}
    assert list(medians) == [5, 10, 20, 60]
    assert sorted(medians.values()) == list(medians.values())
    scaled = [row["p50_scaled"] for row in figure(folder, "collapse")["settings"]]
    # six pods for two minutes: the median at 20 s is good to a tenth
    assert max(scaled) - min(scaled) < 0.1


def test_sync_frequency_of_a_second_or_two(tmp_path: Path) -> None:
    """There a second of S costs half a second, by the law and as measured."""
    values = {"runs": [MEASURED / "fast"], "figures_out": tmp_path / "figures"}

    notebooks.execute("04-sync-frequency", values, out=tmp_path / "done")

    numbers = json.loads((tmp_path / "figures" / "sync-frequency.json").read_text())
    means = {
        row["sync_frequency_s"]: (row["intervals_mean_s"], row["law_mean_s"])
        for row in numbers["numbers"]["settings"]
    }
    # 20 pods for 18 minutes: a mean is good to a hundredth of a second
    assert means[1] == pytest.approx((1.0, 1.0), abs=0.01)
    assert means[2] == pytest.approx((1.5, 1.5), abs=0.01)


def test_change_detection(folder: Path) -> None:
    """Watch, Get and Cache are one; a TTL of 30 s is seen. It collects by itself."""
    execute("05-change-detection", folder, out=folder / "of its own")

    rows = figure(folder, "change-detection")["settings"]
    means = {
        (row["strategy"], row["ttl_s"]): row["intervals_mean_s"]
        for row in rows
        if row["sync_frequency_s"] == 10
    }
    late = means.pop(("Cache", 30.0))
    # 6.6 s; with the TTL some 20 s, as six pods share what is cached
    assert sorted(means) == [("Cache", 0.0), ("Get", 0.0), ("Watch", 0.0)]
    assert all(5.9 < mean_s < 7.3 for mean_s in means.values())
    assert 14 < late < 26


def test_whole_fleet(run: Path, folder: Path) -> None:
    """All forty have it later than one, and none later than 1.5 S and 1.2 s."""
    execute("07-whole-fleet", folder, runs=[run])

    fleets = figure(folder, "fleet")["fleets"]
    assert [row["pods"] for row in fleets] == [1, 2, 5, 10, 20, 40]
    assert [row["p50_s"] for row in fleets] == sorted(row["p50_s"] for row in fleets)
    assert fleets[-1]["p99_s"] <= 91.2  # at S = 60 s, the longest of the run
    assert fleets[0]["p50_law_s"] == pytest.approx(37.75, abs=0.01)
    assert fleets[-1]["p50_s"] > 1.4 * fleets[0]["p50_s"]


def test_how_to_measure_it_wrong(run: Path, folder: Path) -> None:
    """Executed closed loops find what the law says of their pauses."""
    execute("09-how-to-measure-it-wrong", folder, runs=[run])

    ways = figure(folder, "wrong-ways")["ways"]
    closed = [row for row in ways if row["method"] == "closed loop"]
    assert [row["n"] for row in closed] == [30] * 4  # three loops of ten trials
    assert all(row["executed"] for row in closed)
    assert [row["mean_s"] for row in closed] == pytest.approx(
        [row["law_s"] for row in closed],
        abs=0.8,  # three standard errors of 30 intervals of sd 1.41 s
    )
    assert closed[0]["mean_s"] > 1.6 * ways[0]["truth_s"]


@pytest.mark.parametrize("name", test_live_notebooks.SMALL)
def test_experiment(name: str, folder: Path) -> None:
    """An experiment runs through, its assertions hold, its figure says modelled."""
    execute(name, folder)

    drawn = folder / "figures" / f"{test_live_notebooks.FIGURES[name]}.svg"
    assert "modelled, not measured" in drawn.read_text(encoding="utf-8")


def test_what_if(folder: Path) -> None:
    """It asserts its text itself; no figure of it is for a report."""
    saved = execute("10-what-if", folder)

    assert "60 s, Watch: p99 83.8 s" in saved.read_text(encoding="utf-8")


def test_costs(folder: Path) -> None:
    """It asserts its text itself, and says what was not measured."""
    saved = execute("11-costs", folder, sync=["10s", "0.5s"])

    text = saved.read_text(encoding="utf-8")
    assert "10 s, Watch instead of the default, 60 s, Watch: p99 14.4 s" in text
    assert "not measured for syncFrequency of 0.5 s, only for 1 to 300" in text


def test_limits(folder: Path) -> None:
    """It asserts its text itself, and says where the study says nothing."""
    saved = execute("12-limits", folder)

    text = saved.read_text(encoding="utf-8")
    assert "60 s, Watch; pods: 110; ConfigMaps in each: 1" in text
    assert "1.5 syncs and 0.0 reads a second" in text


def test_all_of_them_take_less_than_three_minutes() -> None:
    """All notebooks, with their kernels: processor time, as the machine may be busy."""
    if set(SPENT) != set(SMALL):
        pytest.skip("not all notebooks were executed here")
    assert sum(SPENT.values()) < MOST_CPU_S


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("podz", 3, "notebook {} has no parameter podz: it knows "),
        ("pods", "3", "notebook {} takes pods as int, and '3' is none: "),
        ("runs", "a", r"notebook {} takes runs as list\[str\], and 'a' is none: "),
    ],
    ids=["misspelt", "type", "list"],
)
@pytest.mark.parametrize("notebook", ["04-sync-frequency", "07-whole-fleet"])
def test_wrong_parameter_makes_nothing(
    notebook: str, name: str, value: object, message: str, tmp_path: Path
) -> None:
    """It stops before a kernel starts, naming the parameters; nothing is made."""
    with pytest.raises(UsageError, match=message.format(notebook)) as caught:
        notebooks.execute(notebook, {name: value}, out=tmp_path / "new")

    assert "runs: list[str], target: str, out: str" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("02-collect", {"pods": 0}, "0 pods cannot measure anything"),
        ("04-sync-frequency", {"tolerance": 0.0}, "tolerance = 0.0 is not possible"),
        ("09-how-to-measure-it-wrong", {"at": "sync=-1s"}, "-1s.* is not a duration"),
    ],
    ids=["pods", "tolerance", "setting"],
)
def test_impossible_value_makes_nothing(
    name: str, values: dict[str, object], message: str, tmp_path: Path
) -> None:
    """An early cell refuses it, before anything is created; parameters are named."""
    told = {"target": "model", "out": tmp_path / "runs"}

    with pytest.raises(notebooks.NotebookError, match=message) as caught:
        notebooks.execute(name, told | values, out=tmp_path / "done")

    assert "the notebook's parameters are " in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["done"]
