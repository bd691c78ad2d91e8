"""What a report is asked for reaches the notebooks that it executes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from cmhot.cli import cli
from cmhot.cluster.testbed import lifecycle
from cmhot.errors import UsageError
from cmhot.kubelet.settings import DEFAULT_SETTINGS, Setting
from cmhot.report import notebooks
from cmhot.report.make import make_report
from cmhot.report.steps import (
    COLLECT,
    Order,
    Pace,
    Step,
    left_out,
    plan_steps,
    steps_on_runs,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have three notebooks: one collects, one lives from runs, one asks a cluster."""
    parameters = {
        COLLECT: ("target", "pods", "duration_s", "gap_s", "out", "run_id", "seed"),
        "03-curves": ("runs", "target", "figures_out", "trials"),
        "08-matrix": ("target", "namespace", "figures_out", "image"),
    }
    monkeypatch.setattr(notebooks, "names", lambda: [*parameters])
    monkeypatch.setattr(notebooks, "info", lambda _: notebooks.NotebookInfo({}, {}, {}))
    monkeypatch.setattr(
        notebooks, "parameters", lambda name: dict.fromkeys(parameters[name])
    )


def values(steps: list[Step]) -> dict[str, dict[str, Any]]:
    """Give what each notebook is told."""
    return {step.notebook: dict(step.values) for step in steps}


def test_namespace_and_setting_are_in_the_plan() -> None:
    """As `cmhot collect` has them."""
    order = Order(target="model", namespace="theirs", setting="sync=10s")

    plan = order.plan([Setting(10)])

    assert (plan.namespace, plan.setting) == ("theirs", "sync=10s")
    assert order.given_setting == Setting(10)


@pytest.mark.usefixtures("known")
def test_a_notebook_is_told_what_it_has_parameters_for() -> None:
    """The collection gets the plan, the others its run, the cluster and the folders."""
    order = Order(target="model", namespace="theirs", pods=4, duration_s=70.0)

    told = values(plan_steps(order, order.plan([Setting(10)]), run_id="r"))

    assert told == {
        COLLECT: {
            "target": "model",
            "pods": 4,
            "duration_s": 70.0,
            "gap_s": 0.0,
            "out": "runs",
            "run_id": "r",
            "seed": 1,
        },
        "03-curves": {"runs": ["runs/r"], "target": "model", "figures_out": "figures"},
        "08-matrix": {
            "target": "model",
            "namespace": "theirs",
            "figures_out": "figures",
            "image": "",
        },
    }


@pytest.mark.usefixtures("known")
def test_existing_runs_need_no_cluster() -> None:
    """Only notebooks that live from runs are executed, and none tries anything."""
    told = values(steps_on_runs(["runs/a", "runs/b"]))

    assert told == {
        "03-curves": {
            "runs": ["runs/a", "runs/b"],
            "figures_out": "figures",
            "trials": 0,
        }
    }


def test_quick_leaves_out_what_takes_long_and_says_so() -> None:
    """Every notebook is executed or left out with a reason; full executes all."""
    order = Order(target="testbed")

    told = values(plan_steps(order, order.plan(DEFAULT_SETTINGS), run_id="r"))

    reasons = left_out("quick")
    assert len(reasons) == 6
    assert sorted([*told, *reasons]) == notebooks.names()
    assert all("the full profile includes it" in reason for reason in reasons.values())
    assert left_out("full") == {}
    assert told["09-how-to-measure-it-wrong"]["trials"] == 0
    full = plan_steps(
        Order(target="testbed", profile="full"), order.plan([Setting()]), run_id="r"
    )
    assert [step.notebook for step in full] == notebooks.names()


def test_a_full_report_takes_an_hour() -> None:
    """It is what each notebook waits for, times how often the profile has it done.

    Beside 6 s for each of thirteen: 1800 s of collecting and 75 s for its pods;
    4 times 5 s; 6 times 10 s and twice 20 s; 30 times 20 s and half of 20 s;
    15 times 10 s and 4 times 5 s; 12 times 2.5 times 5 s.
    """
    order = Order(target="testbed", profile="full")
    plan = order.plan(DEFAULT_SETTINGS, room=1000)

    left_s = Pace.of(plan, DEFAULT_SETTINGS).left_s(plan_steps(order, plan, run_id="r"))

    assert left_s == 78 + 1875 + 20 + 300 + 900 + 450 + 150


def test_a_quick_report_takes_ten_minutes() -> None:
    """On the testbed's default settings it is 425 s of collecting, and its notebooks.

    45 s for 180 pods, 20 s of waiting, 6 s for each of seven notebooks; what is left
    is for the testbed.
    """
    order = Order(target="testbed")
    plan = order.plan(DEFAULT_SETTINGS, room=1000)

    steps = plan_steps(order, plan, run_id="r")

    whole_s = Pace.of(plan, DEFAULT_SETTINGS).left_s(steps)
    assert whole_s == 425 + 45 + 20 + 7 * 6
    assert whole_s + lifecycle.EXPECTED_START_S < 600


@pytest.mark.parametrize(
    ("room", "pods", "at_default"),
    [
        (1000, 16, 100),
        (160, 16, 80),
        (120, 16, 40),
        (96, 16, 16),
        (60, 10, 10),
        (0, 5, 5),
    ],
)
def test_probes_are_as_many_as_there_is_memory_for(
    room: int, pods: int, at_default: int
) -> None:
    """The default gets what the five other settings leave."""
    plan = Order(target="testbed").plan(DEFAULT_SETTINGS, room=room)

    assert (plan.pods, plan.pods_of(Setting())) == (pods, at_default)


def test_a_foreign_cluster_gets_the_same_number_at_each_setting() -> None:
    """Its memory is not known; what is asked for by hand holds everywhere."""
    asked = Order(target="testbed", pods=7).plan(DEFAULT_SETTINGS, room=1000)

    assert Order(target="context:c").plan([Setting()]).pods_of(Setting()) == 16
    assert asked.pods_of(Setting()) == 7


def test_on_the_model_nothing_is_waited_for() -> None:
    """Virtual time costs nothing: what is left is to start kernels."""
    order = Order(target="model", profile="full")

    steps = plan_steps(order, order.plan(DEFAULT_SETTINGS), run_id="r")

    assert Pace().left_s(steps) == 78.0


def test_paths_follow_the_folder(tmp_path: Path) -> None:
    """A report that was moved goes on where it is."""
    step = Step("x", {"runs": ["runs/r"], "out": "runs", "figures_out": "figures"})

    assert step.absolute(tmp_path) == {
        "runs": [f"{tmp_path}/runs/r"],
        "out": f"{tmp_path}/runs",
        "figures_out": f"{tmp_path}/figures",
    }


@pytest.mark.parametrize(
    ("told", "asks"),
    [
        ({"target": "t"}, True),
        ({"target": "t", "runs": ["r"]}, False),
        ({"target": "t", "runs": ["r"], "trials": 12}, True),
        ({"runs": ["r"]}, False),
    ],
    ids=["no-run", "run", "run-and-trials", "no-target"],
)
def test_who_asks_the_cluster(told: dict[str, Any], *, asks: bool) -> None:
    """One that has a run, and tries nothing itself, needs no cluster."""
    assert Step("x", told).asks_cluster is asks


def test_a_setting_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    """It is wrong use, told before anything is made."""
    out = tmp_path / "reports"
    with pytest.raises(UsageError, match="cannot read 'often'"):
        make_report(Order(target="model", setting="often"), out=out)

    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--run", "a", "--resume", "b"), "--run and --resume are different reports"),
        (("--run", "a", "--compare", "b", "c"), "--run and --compare are different"),
        (("--run", "a", "--pods", "3"), "--run measures nothing: leave --pods out"),
        (("--compare", "a", "b", "--duration", "9s"), "leave --duration out"),
    ],
    ids=["run-resume", "run-compare", "run-pods", "compare-duration"],
)
def test_one_way_at_a_time(options: tuple[str, ...], message: str) -> None:
    """Two ways to make a report, or a size for what is not measured, are wrong use."""
    answer = CliRunner().invoke(cli, ["report", *options])

    assert isinstance(answer.exception, UsageError)
    assert message in str(answer.exception)
