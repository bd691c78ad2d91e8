"""A kept summary is the one that was made, and only of the same records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cmhot.statistics.summarise import keep, key_of, read_kept, summarise

if TYPE_CHECKING:
    from pathlib import Path

    from cmhot.statistics.summary import Summary
    from tests.unit.conftest import SimulateRun


@pytest.fixture
def summary(simulate_run: SimulateRun) -> Summary:
    """Summarise a small run with limits, and with a setting that is not read."""
    run = simulate_run("kept", settings=["sync=5s", "sync=10s,strategy=Cache,ttl=60"])
    return summarise([run.path])


def test_what_is_kept_is_read_again(
    summary: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value comes back as it was."""
    monkeypatch.setattr("cmhot.statistics.summarise.WORTH_KEEPING", 1)

    keep(tmp_path, "key", summary)

    assert read_kept(tmp_path, "key") == summary


def test_small_ones_are_not_kept(summary: Summary, tmp_path: Path) -> None:
    """Nothing is written beside a run that is summarised in a moment."""
    keep(tmp_path, "key", summary)

    assert not list(tmp_path.glob("summary-*"))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"settings": [{"x": 1}]}'])
def test_what_cannot_be_read_is_made_anew(content: str, tmp_path: Path) -> None:
    """A torn or strange file is as good as none."""
    (tmp_path / "summary-key.json").write_text(content)

    assert read_kept(tmp_path, "key") is None


def test_a_folder_that_cannot_be_written_is_no_error(
    summary: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the summary is made again next time."""
    monkeypatch.setattr("cmhot.statistics.summarise.WORTH_KEEPING", 1)

    keep(tmp_path / "absent", "key", summary)


def test_other_records_have_another_key() -> None:
    """So have another label, and the same runs in another order."""
    keys = {
        key_of([b"a", b"b"], None),
        key_of([b"b", b"a"], None),
        key_of([b"a", b"b"], "zone"),
        key_of([b"a"], None),
    }

    assert len(keys) == 4
