"""Every published number follows from the published data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cmhot.plots.figure import FOLDER
from studies.findings import differences, rounded

ROOT = Path(__file__).parents[2]


def test_every_number_is_computed_anew() -> None:
    """`make verify-data` finds no difference, and counts what it compared."""
    done = subprocess.run(
        [sys.executable, "-m", "studies.findings", "--verify"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert ": 0 differ" in done.stdout


def test_other_code_finds_the_same() -> None:
    """The recomputation agrees, is short enough to be read, and knows no `cmhot`."""
    program = (
        "import runpy, sys\n"
        "try: runpy.run_module('studies.recomputation', run_name='__main__')\n"
        "except SystemExit as end: code = end.code\n"
        "sys.exit(code or any(name.split('.')[0] == 'cmhot' for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert ": 0 differ" in done.stdout
    for path in (ROOT / "studies").glob("recomp*.py"):
        lines = path.read_text("utf-8").splitlines()
        assert len(lines) <= 200  # what a stranger reads in one sitting


def test_the_headline_has_the_default_of_the_longer_runs_alone() -> None:
    """The first edition's was disturbed, and is neither drawn nor told."""
    published = json.loads((ROOT / "docs" / "findings.json").read_bytes())
    drawn = json.loads((ROOT / "docs" / "headline" / "headline.json").read_bytes())
    numbers = drawn["numbers"]
    longer = [
        row["n_delays"]
        for row in published["second"]["by_run"]
        if row["setting"] == "60 s, Watch" and row["run"] in numbers["runs"]
    ]

    counts = {row["sync_frequency_s"]: row["n_delays"] for row in numbers["settings"]}

    assert longer
    assert counts[60.0] == sum(longer)


def test_the_figure_of_costs_has_the_published_cells() -> None:
    """`make ship-data` has put them into the package."""
    published = json.loads((ROOT / "docs" / "findings.json").read_bytes())

    rows = json.loads((FOLDER / "costs.json").read_bytes())["rows"]
    cells = published["costs"]["cells"]
    drawn = [row for row in cells if row["maps"] == 1 and row["pods"]]
    assert [row | own for row, own in zip(drawn, rows, strict=True)] == drawn


def test_the_figure_of_loads_has_the_published_ones() -> None:
    """`make ship-data` has put them into the package."""
    published = json.loads((ROOT / "docs" / "findings.json").read_bytes())

    rows = json.loads((FOLDER / "limits.json").read_bytes())["rows"]
    for row, own in zip(rows, published["validity"], strict=True):
        assert row.items() >= {key: own[key] for key in ("pods", "p99_s")}.items()
        assert row["answer"] == (
            "no start"
            if own["refused"]
            else {True: "within", False: "beyond", None: "not decided"}[own["holds"]]
        )


def test_a_changed_number_is_named() -> None:
    """A number, a missing row and one too many are each told, with their place."""
    published = json.loads('{"H1": [{"sup": 0.01, "holds": true}], "n": 5}')
    computed = {"H1": [{"sup": 0.02, "holds": True}], "m": 5}

    assert differences(published, computed) == [
        "H1[0].sup: published 0.01, computed 0.02",
        "m: published None, computed 5",
        "n: published 5, computed None",
    ]


def test_numbers_are_rounded_to_six_digits() -> None:
    """The last bits of a sum are left out, whole numbers and words are kept."""
    assert rounded({"a": [1.23456789, 7, True, None, "x"]}) == {
        "a": [1.23457, 7, True, None, "x"]
    }
