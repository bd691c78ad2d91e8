"""Runs as strangers may have changed them, and the command line that is given them."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from hypothesis import HealthCheck, settings

from cmhot.cli import main
from cmhot.report import notebooks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.conftest import SimulateRun


# A failing example is the answer, so none is kept; what takes long is measured apart.
_SAME = settings(
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
settings.register_profile("short", _SAME, max_examples=40, derandomize=True)
settings.register_profile(
    "fuzz", _SAME, max_examples=int(os.environ.get("FUZZ", "0")) or 5000
)
settings.load_profile("short")


class Told(Protocol):
    """Run the command line in this process."""

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """Return exit code, standard output and standard error."""


class Change(Protocol):
    """Write other values into a run's run.json."""

    def __call__(self, **meta: Any) -> None:  # noqa: ANN401 - any key of run.json
        """Take them by their keys."""


@pytest.fixture
def run(simulate_run: SimulateRun) -> Path:
    """Write a small run."""
    return simulate_run("r", pods=8, window_s=90).path


@pytest.fixture
def change(run: Path) -> Change:
    """Change run.json as somebody else might have."""

    def write(**meta: Any) -> None:  # noqa: ANN401
        content = json.loads((run / "run.json").read_text()) | meta
        (run / "run.json").write_text(json.dumps(content))

    return write


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """Call the command line; what it raises but exits is a fault of ours."""
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cmhot", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have notebooks that do nothing."""

    def execute(name: str, _values: object, *, out: Path, **_: object) -> None:
        (out / f"{name}.ipynb").write_text("{}")

    monkeypatch.setattr(notebooks, "execute", execute)
    monkeypatch.setattr(notebooks, "to_html", lambda _: None)
