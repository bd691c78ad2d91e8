"""The run directory: what is written is read back exactly, whatever happened."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from cmhot.errors import RunError, UsageError
from cmhot.runs import schema
from cmhot.runs import tables as derived_module
from cmhot.runs.delays import delays, delays_in_chunks
from cmhot.runs.rundir import RunWriter, read_by_node, read_outline, read_run
from cmhot.runs.tables import DerivedWriter, read_derived

if TYPE_CHECKING:
    from tests.unit.conftest import SimulateRun

STAMP = 1_767_225_600_123_456_789  # needs all 61 bits: no float holds it
UPDATE: dict[str, Any] = {
    "seq": 1,
    "configmap": "probe",
    "planned_ns": None,
    "sent_ns": STAMP - 1,
    "acked_ns": STAMP,
    "resource_version": "4711",
    "status": "acked",
    "error": None,
    "purpose": "scramble",
}
PUBLICATION: dict[str, Any] = {
    "node": "n",
    "pod": "p",
    "uid": "u",
    "container": "probe",
    "consumer": "volume",
    "configmap": "probe",
    "seq": 1,
    "published_ns": STAMP + 2,
    "read_ns": STAMP + 3,
}


@pytest.fixture
def writer(tmp_path: Path) -> RunWriter:
    """Give a fresh run directory."""
    return RunWriter.create(tmp_path / "out", meta={"run_id": "r", "seed": 1})


def test_what_is_written_is_read_back(writer: RunWriter) -> None:
    """Each raw file comes back as it was written, its integers exact."""
    writer.append_update(UPDATE)
    writer.append_publications([PUBLICATION, {**PUBLICATION, "pod": "q"}])
    writer.append_clock({"node": "n", "at_ns": STAMP, "offset_ns": -5, "bound_ns": 7})
    detail = {"from_ns": STAMP, "to_ns": STAMP + 1}
    event = {"at_ns": STAMP, "kind": "gap", "object": "pod/p", "detail": detail}
    writer.append_event(event)

    run = read_run(writer.path)

    (update,) = run.updates.to_dict("records")
    assert update["sent_ns"] == 1_767_225_600_123_456_788
    assert update["acked_ns"] == 1_767_225_600_123_456_789
    assert update["planned_ns"] is None
    assert update["resource_version"] == "4711"
    assert update["purpose"] == "scramble"
    assert run.publications["published_ns"].tolist() == [1_767_225_600_123_456_791] * 2
    assert run.publications["pod"].tolist() == ["p", "q"]
    assert run.clock["offset_ns"].tolist() == [-5]
    assert run.events["detail"].tolist() == [detail]
    assert run.meta == {"format": 1, "run_id": "r", "seed": 1}


def test_stamps_are_integers_when_some_are_unknown(writer: RunWriter) -> None:
    """A null among the stamps does not turn the others into floats."""
    writer.append_update(UPDATE)
    writer.append_update({"seq": 2, "configmap": "probe", "status": "not_sent"})

    run = read_run(writer.path)

    assert str(run.updates["acked_ns"].dtype) == "Int64"
    assert run.updates["acked_ns"].tolist() == [1_767_225_600_123_456_789, pd.NA]


def test_an_absent_purpose_is_a_trial(writer: RunWriter) -> None:
    """Updates that do not say what they were for count."""
    line = json.dumps({key: UPDATE[key] for key in UPDATE if key != "purpose"})
    (writer.path / "updates.jsonl").write_text(line + "\n")

    assert read_run(writer.path).updates["purpose"].tolist() == ["trial"]


def test_a_torn_last_line_is_ignored(writer: RunWriter) -> None:
    """A crash in the middle of a write costs that line only."""
    writer.append_publications([PUBLICATION])
    with (writer.path / "publications.jsonl").open("a") as file:
        file.write('{"node":"n","po')

    assert len(read_run(writer.path).publications) == 1


def test_a_torn_line_is_cut_off_before_the_next(writer: RunWriter) -> None:
    """A run that goes on after a crash has no damage in its middle."""
    writer.append_update(UPDATE)
    with (writer.path / "updates.jsonl").open("ab") as file:
        file.write(b'{"seq":2,"conf')

    writer.close()
    again = RunWriter.reopen(writer.path)
    again.cut_torn_lines()
    again.append_update({**UPDATE, "seq": 3})

    assert read_run(writer.path).updates["seq"].tolist() == [1, 3]


HELD = "another cmhot is collecting into .*r: wait for it, or end it first"


def test_a_run_has_one_writer(writer: RunWriter) -> None:
    """While one lives, another is refused; nothing of it is seen in the directory."""
    before = {path.name: path.read_bytes() for path in writer.path.iterdir()}

    with pytest.raises(RunError, match=HELD):
        RunWriter.reopen(writer.path)

    assert {path.name: path.read_bytes() for path in writer.path.iterdir()} == before
    writer.append_update(UPDATE)
    assert len(read_run(writer.path).updates) == 1


def test_a_closed_writer_makes_room_for_the_next(writer: RunWriter) -> None:
    """The next one holds the run in its turn, until it is closed or forgotten."""
    writer.close()
    writer.close()  # twice is no harm

    with RunWriter.reopen(writer.path), pytest.raises(RunError, match=HELD):
        RunWriter.reopen(writer.path)
    forgotten = RunWriter.reopen(writer.path)
    del forgotten

    RunWriter.reopen(writer.path).close()


HOLDER = """
import sys
from pathlib import Path
from cmhot.runs.rundir import RunWriter
writer = RunWriter.reopen(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_killed_writer_makes_room_for_the_next(writer: RunWriter) -> None:
    """Of another process, however it ends."""
    writer.close()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(writer.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=HELD):
            RunWriter.reopen(writer.path)
        other.kill()

    RunWriter.reopen(writer.path).close()


def test_a_discarded_run_is_let_go(writer: RunWriter) -> None:
    """Its name is free again."""
    writer.discard()

    again = RunWriter.create(writer.path.parent, meta={"run_id": "r"})

    with pytest.raises(RunError, match=HELD):
        RunWriter.reopen(again.path)


def test_a_disk_without_locks_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems lock no directories."""

    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr("fcntl.flock", refuse)
    one = RunWriter.create(tmp_path, meta={"run_id": "r"})
    other = RunWriter.reopen(one.path)

    other.append_update(UPDATE)

    assert len(read_run(one.path).updates) == 1


def test_a_full_disk_tears_no_line(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it took of a line is taken back, so that the next one is whole."""
    writer.append_update(UPDATE)
    size = (writer.path / "updates.jsonl").stat().st_size

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(RunError, match="No space left on device; what was"):
            writer.append_update({**UPDATE, "seq": 2})

    assert (writer.path / "updates.jsonl").stat().st_size == size
    writer.append_update({**UPDATE, "seq": 3})
    assert read_run(writer.path).updates["seq"].tolist() == [1, 3]


def test_a_damaged_line_elsewhere_is_named(writer: RunWriter) -> None:
    """Damage that no crash explains is not passed over."""
    (writer.path / "updates.jsonl").write_text("{\n" + json.dumps(UPDATE) + "\n")

    with pytest.raises(RunError, match=r"updates\.jsonl, line 1, is damaged"):
        read_run(writer.path)


def test_the_last_row_of_an_update_holds(writer: RunWriter) -> None:
    """A write that failed and was settled by reading back is acknowledged."""
    writer.append_update({**UPDATE, "status": "failed", "acked_ns": None})
    writer.append_update(UPDATE)

    assert read_run(writer.path).updates["status"].tolist() == ["acked"]


def test_a_publication_read_twice_appears_once(writer: RunWriter) -> None:
    """Reading the container log again from its start adds nothing."""
    writer.append_publications([PUBLICATION])
    writer.append_publications([{**PUBLICATION, "read_ns": STAMP + 9}])

    assert len(read_run(writer.path).publications) == 1


def test_run_json_is_replaced_as_a_whole(writer: RunWriter) -> None:
    """Writing run.json leaves no draft behind."""
    writer.write_run({"run_id": "r", "status": "complete"})

    assert read_run(writer.path).meta["status"] == "complete"
    assert sorted(file.name for file in writer.path.iterdir()) == [
        "clock.jsonl",
        "events.jsonl",
        "publications.jsonl",
        "run.json",
        "updates.jsonl",
    ]


def test_delays_survive_parquet(simulate_run: SimulateRun) -> None:
    """The derived table is the same after a round trip, stamps included."""
    writer = simulate_run("r", pods=2, window_s=20)
    table = delays(read_run(writer.path))

    writer.write_derived(table, schema.DELAYS)

    again = pd.read_parquet(writer.path / "delays.parquet")
    assert again["acked_ns"].tolist() == table["acked_ns"].tolist()
    assert list(again) == [column.name for column in schema.DELAYS.columns]
    pd.testing.assert_frame_equal(again, table)


@pytest.fixture
def derived(simulate_run: SimulateRun) -> RunWriter:
    """Write a run with its delays."""
    writer = simulate_run("r", pods=2, window_s=20)
    writer.write_derived(delays(read_run(writer.path)), schema.DELAYS)
    return writer


def test_a_derived_table_is_read_by_column(derived: RunWriter) -> None:
    """Only the columns asked for are read, texts as categories."""
    found = read_derived(derived.path, schema.DELAYS, ["pod", "delay_s"])

    assert found is not None
    assert list(found) == ["pod", "delay_s"]
    assert isinstance(found["pod"].dtype, pd.CategoricalDtype)
    again = delays(read_run(derived.path))
    assert found["pod"].tolist() == again["pod"].tolist()
    assert found["delay_s"].tolist() == again["delay_s"].tolist()


@pytest.mark.parametrize("change", ["more records", "another run.json", "not there"])
def test_a_table_of_other_records_is_not_read(derived: RunWriter, change: str) -> None:
    """What was derived before the records changed has to be derived again."""
    if change == "more records":
        derived.append_update({**UPDATE, "seq": 10_000})
    elif change == "another run.json":
        derived.write_run({**read_run(derived.path).meta, "status": "complete"})
    else:
        (derived.path / "delays.parquet").unlink()

    assert read_derived(derived.path, schema.DELAYS, ["delay_s"]) is None


def test_a_foreign_table_is_not_trusted(derived: RunWriter) -> None:
    """A Parquet file without the mark, and one that is none, are made anew."""
    file = derived.path / "delays.parquet"
    pd.read_parquet(file).to_parquet(file)
    assert read_derived(derived.path, schema.DELAYS, ["delay_s"]) is None

    file.write_bytes(b"no parquet")
    assert read_derived(derived.path, schema.DELAYS, ["delay_s"]) is None


def test_publications_are_on_the_disk_before_the_next_row(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The logs keep them, so that they need no sync of their own."""
    synced: list[str] = []

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fsync", note)

    writer.append_publications([PUBLICATION])
    assert synced == []
    writer.append_update(UPDATE)
    assert synced == ["publications.jsonl", "updates.jsonl"]
    writer.append_update({**UPDATE, "seq": 2})
    assert synced[2:] == ["updates.jsonl"]


def test_a_run_is_read_node_by_node(simulate_run: SimulateRun) -> None:
    """Parts are the whole; whoever wrote it, and however its last line ended."""
    writer = simulate_run("r", settings=("sync=10s", "sync=5s"), pods=2, window_s=20)
    silent = {"node": "n9", "pod": "q", "container": "probe", "consumer": "volume"}
    meta = read_run(writer.path).meta
    writer.write_run({**meta, "pods": [*meta["pods"], silent]})
    file = writer.path / "publications.jsonl"
    lines = file.read_text().splitlines()
    turned = [json.dumps(dict(reversed(json.loads(line).items()))) for line in lines]
    file.write_text("\n".join([*turned[:5], *lines[5:], '{"node":"n0","po']))

    parts = {
        part.meta["pods"][0]["node"]: part
        for part in read_by_node(read_outline(writer.path))
    }

    whole = read_run(writer.path).publications
    assert [*parts] == ["n0", "n1", "n9"]
    assert len(parts["n9"].publications) == 0
    for node in ("n0", "n1"):
        own = whole[whole["node"] == node].reset_index(drop=True)
        part = parts[node].publications  # its texts are categories
        pd.testing.assert_frame_equal(part.astype(own.dtypes), own)


def test_damage_is_found_node_by_node(writer: RunWriter) -> None:
    """A line that is none, followed by others, is no torn one."""
    file = writer.path / "publications.jsonl"
    file.write_text('{"node":\n' + json.dumps(PUBLICATION) + "\n")

    with pytest.raises(RunError, match=r"publications\.jsonl, .* is damaged"):
        list(read_by_node(read_outline(writer.path)))


def test_a_table_is_written_in_pieces(
    simulate_run: SimulateRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces with categories of their own are one table, in groups of some rows."""
    writer = simulate_run("r", pods=3, window_s=20)
    run = read_run(writer.path)
    pieces = [*delays_in_chunks(run, rows=1)]
    monkeypatch.setattr(derived_module, "ROW_GROUP", len(pieces[0]) + 1)

    with DerivedWriter(writer.path, schema.DELAYS) as table:
        for piece in pieces:
            table.add(piece)
        table.finish()

    file = pq.ParquetFile(writer.path / "delays.parquet")
    assert file.metadata.num_row_groups == 2
    again = pd.read_parquet(writer.path / "delays.parquet")
    pd.testing.assert_frame_equal(again, delays(run), check_categorical=False)


def test_what_was_not_finished_leaves_nothing(simulate_run: SimulateRun) -> None:
    """A table whose making failed is not there, nor a part of it."""
    writer = simulate_run("r", pods=1, window_s=20)
    before = sorted(writer.path.iterdir())

    with DerivedWriter(writer.path, schema.DELAYS) as table:
        table.add(delays(read_run(writer.path)))

    assert sorted(writer.path.iterdir()) == before


def test_an_unknown_status_is_not_written(simulate_run: SimulateRun) -> None:
    """A derived table holds only what the schema allows."""
    writer = simulate_run("r", pods=1, window_s=20)
    table = delays(read_run(writer.path)).assign(status="lost")

    with pytest.raises(RunError, match=r"status of delays\.parquet is one of observed"):
        writer.write_derived(table, schema.DELAYS)


def test_a_run_is_never_overwritten(writer: RunWriter) -> None:
    """A second run of the same name is refused, and the first is untouched."""
    writer.append_update(UPDATE)

    with pytest.raises(UsageError, match="exists already"):
        RunWriter.create(writer.path.parent, meta={"run_id": "r"})

    assert len(read_run(writer.path).updates) == 1


def test_a_run_of_another_writer_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it appears at the last moment."""
    mkdir, path = Path.mkdir, tmp_path / "out" / "r"

    def late(folder: Path, *rest: Any, **more: Any) -> None:  # noqa: ANN401 - as Path's
        if folder == path:
            mkdir(path, parents=True, exist_ok=True)
            (path / "updates.jsonl").write_text("theirs")
        mkdir(folder, *rest, **more)

    monkeypatch.setattr(Path, "mkdir", late)

    with pytest.raises(UsageError, match="exists already"):
        RunWriter.create(tmp_path / "out", meta={"run_id": "r"})

    assert (path / "updates.jsonl").read_text() == "theirs"


@pytest.mark.parametrize("run_id", ["..", "a/b", "-x", ".x", "", "x" * 102, "é", "r\n"])
def test_a_name_that_names_no_folder(run_id: str, writer: RunWriter) -> None:
    """It is refused for a new run, and in one that somebody else wrote."""
    new = writer.path.parents[1] / "new"
    content = json.loads((writer.path / "run.json").read_text())
    (writer.path / "run.json").write_text(json.dumps({**content, "run_id": run_id}))

    with pytest.raises(UsageError, match="cannot name a run: use up to 101 letters"):
        RunWriter.create(new, meta={"run_id": run_id})
    with pytest.raises(
        RunError, match=r"run\.json has the run_id .* cannot name a run"
    ):
        read_run(writer.path)

    assert not new.exists()


def test_an_unwritable_folder_leaves_nothing(tmp_path: Path) -> None:
    """Where no folder can be made, the message says what to do, and none is."""
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="choose a writable folder"):
        RunWriter.create(tmp_path / "file" / "out", meta={"run_id": "r"})

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failed_creation_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk refuses in the middle, folders that were made are removed."""

    def refuse(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)

    with pytest.raises(UsageError, match="No space left on device"):
        RunWriter.create(tmp_path / "new" / "out", meta={"run_id": "r"})

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_says_what_is_kept(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An append that the disk refuses ends in a RunError with its remedy."""

    def refuse(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)

    with pytest.raises(RunError, match="free some space"):
        writer.append_update(UPDATE)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**UPDATE, "acked": 1}, "no column acked"),
        ({**UPDATE, "seq": None}, "seq is None"),
        ({**UPDATE, "acked_ns": 1.5e18}, "acked_ns is 1.5e"),
        ({**UPDATE, "configmap": 3}, "configmap is 3"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    writer: RunWriter, row: dict[str, Any], message: str
) -> None:
    """A row with a wrong key or a wrong type is not written."""
    with pytest.raises(RunError, match=message):
        writer.append_update(row)

    assert (writer.path / "updates.jsonl").read_text() == ""


def test_a_newer_writer_may_add_keys(writer: RunWriter) -> None:
    """Keys that the schema does not know are left out on reading."""
    line = json.dumps({**UPDATE, "colour": "blue"})
    (writer.path / "updates.jsonl").write_text(line + "\n")

    assert "colour" not in read_run(writer.path).updates


def test_a_missing_run_is_refused(tmp_path: Path) -> None:
    """The message says that the folder is no run directory."""
    with pytest.raises(RunError, match=r"has no run\.json"):
        read_run(tmp_path)


def test_another_format_is_refused(writer: RunWriter) -> None:
    """A format of the future is not guessed at."""
    (writer.path / "run.json").write_text('{"format": 2}')

    with pytest.raises(RunError, match="has format 2, and this cmhot reads format 1"):
        read_run(writer.path)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_run_json_is_refused(writer: RunWriter, content: str) -> None:
    """A run.json that is no object raises."""
    (writer.path / "run.json").write_text(content)

    with pytest.raises(RunError):
        read_run(writer.path)


def test_missing_raw_files(writer: RunWriter) -> None:
    """Events and clock may be absent, updates and publications may not."""
    (writer.path / "events.jsonl").unlink()
    (writer.path / "clock.jsonl").unlink()

    assert read_run(writer.path).events.empty

    (writer.path / "publications.jsonl").unlink()

    with pytest.raises(RunError, match="is missing: copy the run directory as a whole"):
        read_run(writer.path)
