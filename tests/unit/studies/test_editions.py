"""An edition of the study is made, published and judged as its protocol says."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from cmhot.cluster.model import ModelCluster
from cmhot.collector.begin import collect
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_run
from studies import (
    findings,
    findings_page,
    headline,
    publish,
    recomputation,
    second,
    study,
)
from studies.draws import draw_refresh
from studies.editions import EDITIONS, SECOND

if TYPE_CHECKING:
    from pathlib import Path

    from studies.editions import Edition


@pytest.fixture(scope="module")
def edition(tmp_path_factory: pytest.TempPathFactory) -> Edition:
    """Make short runs of the second edition on the model."""
    folder = tmp_path_factory.mktemp("edition")
    made = replace(SECOND, built=folder / "built", data=folder / "data")
    for seed, name in enumerate(made.runs):
        plan = Plan(pods=6, duration_s=600.0, seed=seed)
        collect(ModelCluster(second.SETTINGS), plan, out=made.built, run_id=name)
    return made


def test_it_is_published_and_judged(
    edition: Edition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its runs are packed, and each hypothesis has a row for all that it names."""
    publish.publish(edition)
    monkeypatch.setattr(findings, "SECOND", edition)

    numbers = findings.of_second()["second"]

    assert {row["run"] for row in numbers["by_run"]} == {*edition.runs}
    settings = {str(one) for one in second.SETTINGS}
    assert [len(numbers[f"H{k}"]) for k in (13, 14, 15, 16)] == [6, 3, 3, 3]
    assert {row["setting"] for row in numbers["cells"]} == settings
    assert len(numbers["lateness"]) == 6  # three kubelets, and three anew
    for row in numbers["cells"]:
        parts = [one for one in numbers["by_run"] if one["setting"] == row["setting"]]
        assert row["n_syncs"] == sum(one["n_syncs"] for one in parts)


def test_nothing_is_judged_before_all_runs_are_there(
    edition: Edition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two runs says nothing yet."""
    half = replace(edition, built=tmp_path / "built", data=tmp_path / "data")
    half.built.mkdir()
    (half.built / edition.runs[0]).symlink_to(edition.built / edition.runs[0])
    publish.publish(half)
    monkeypatch.setattr(findings, "SECOND", half)

    assert [path.name for path in half.data.iterdir()] == edition.runs[:1]
    assert findings.of_second() == {}


def test_the_page_tells_the_default_by_the_longer_runs(
    edition: Edition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headline, answers and the open question follow the second edition, once there."""
    publish.publish(edition)
    monkeypatch.setattr(findings, "SECOND", edition)
    published = json.loads((findings.DOCS / "findings.json").read_bytes())
    published.pop("second", None)
    both = published | findings.rounded(findings.of_second())
    (own,) = [row for row in both["second"]["cells"] if row["setting"] == "60 s, Watch"]

    before, after = (findings_page.page(one) for one in (published, both))

    assert "## The default, measured longer" not in before
    assert "It waits for longer runs." in before
    assert "It waits for longer runs." not in after
    assert f"slowest of {own['n_delays']:,} delays" in after
    for name in ("H13", "H14", "H15", "H16"):
        assert after.count(f"| {name} | ") == 1
    assert "to be measured again" not in headline.block(both)
    assert f"after {own['p50_s']:.0f} s" in headline.block(both)


def test_other_code_finds_the_same_in_it(
    edition: Edition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recomputation joins the runs of a setting as the findings do."""
    publish.publish(edition)
    monkeypatch.setattr(findings, "SECOND", edition)
    numbers = findings.rounded(findings.of_second())["second"]

    checks = list(recomputation.cells(numbers, edition.data, tuple(edition.runs)))

    differing = [
        what
        for what, one, other, slack in checks
        if "limits" not in what  # of few pods: they are wide by any way
        and not abs(one - other) <= slack + recomputation.SLACK * abs(one)
    ]
    assert differing == []
    assert len(checks) > 40


def test_a_disturbed_setting_is_not_shown() -> None:
    """Its own rows, and the differences from others; what else was shown still is."""
    rng = np.random.default_rng(0)
    refreshes = {
        one: draw_refresh(one, rng, pods=200, window_s=3600.0)
        for one in second.SETTINGS
    }

    free = second.judge(refreshes)
    found = second.judge(refreshes, ["60 s, Get"])

    assert all(row["holds"] for rows in free.values() for row in rows)
    for name, rows in found.items():
        keys = ("first", "second") if name == "H13" else ("setting",)
        for row in rows:
            assert row["holds"] is ("60 s, Get" not in {row[key] for key in keys})


def test_a_disturbed_run_is_made_again_once(
    edition: Edition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it stays, however late its kubelets were; other batches stay at once."""
    (batch, _), name = edition.batches, edition.runs[0]
    run = tmp_path / name
    run.symlink_to(edition.built / name)
    monkeypatch.setattr(study, "is_disturbed", lambda _: True)

    assert not study.is_done(run, batch)
    assert study.is_done(run, replace(batch, undisturbed=False))

    study.set_aside(run)
    assert not study.is_done(run, batch)  # none is there
    run.symlink_to(edition.built / name)
    assert study.is_done(run, batch)


def test_a_run_on_the_tick_is_not_disturbed(edition: Edition) -> None:
    """The model's kubelets are never late."""
    assert not study.is_disturbed(edition.built / edition.runs[0])


def test_what_was_set_aside_is_published_too(edition: Edition, tmp_path: Path) -> None:
    """Under the name that it has there."""
    built = tmp_path / "built"
    (built / "refused").mkdir(parents=True)
    name = edition.runs[0]
    (built / "refused" / f"{name}-1").symlink_to(edition.built / name)

    publish.publish(replace(edition, built=built, data=tmp_path / "data"))

    assert read_run(tmp_path / "data" / f"{name}-1").meta["run_id"] == f"{name}-1"


def test_a_part_that_is_not_here_stays_published(
    edition: Edition, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An edition is made part by part, on machines that have only their own."""
    part = replace(edition, built=tmp_path / "built", data=tmp_path / "data")
    first, second_run = edition.runs[:2]
    for name in (first, second_run):
        shutil.rmtree(part.built, ignore_errors=True)
        part.built.mkdir()
        (part.built / name).symlink_to(edition.built / name)
        publish.publish(part)

    assert sorted(path.name for path in part.data.iterdir()) == sorted(
        [first, second_run]
    )
    told = capsys.readouterr().err.splitlines()
    assert second_run in told[0]
    assert not [line for line in told[1:] if first in line]


def test_an_edition_that_is_not_here_stays_published(
    edition: Edition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who made the second edition alone does not remove the first."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "run.json").write_text("{}")
    absent = replace(EDITIONS["first"], built=tmp_path / "none", data=kept)
    monkeypatch.setattr(
        publish, "EDITIONS", {"first": absent, "second": edition}, raising=True
    )

    publish.main()

    assert (kept / "run.json").read_text() == "{}"
    assert edition.is_published


def test_parts_are_made_where_their_edition_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without names the first edition; the name of an edition means all its parts."""
    made: list[tuple[str, str]] = []

    def note(one: object, out: Path) -> bool:
        made.append((str(getattr(one, "name", one)), out.name))
        return True

    monkeypatch.setattr(study, "run_batch", note)
    monkeypatch.setattr(study, "run_experiment", note)
    run = CliRunner().invoke

    assert run(study.main, ["second"]).exit_code == 0
    assert {place for _, place in made} == {"second"}
    assert [name for name, _ in made][:3] == [*SECOND.runs, "costs"]
    made.clear()
    run(study.main, [])
    assert {place for _, place in made} == {"study"}
    made.clear()
    run(study.main, ["fast", "default-first"])
    assert made == [("fast", "study"), ("default-first", "second")]
    assert run(study.main, ["faster"]).exit_code == 2
