"""Small files that would take all memory, and values of kinds that nobody expects."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmhot.errors import CmhotError, RunError
from cmhot.runs.rundir import pack, read_run

if TYPE_CHECKING:
    from tests.unit.strangers.conftest import Change, Told

DATA = Path(__file__).parents[3] / "data"
DEEP = "[" * 100_000 + "]" * 100_000
BIG = 10**30
EVERY_RUN = sorted(
    path.parent.relative_to(DATA).as_posix() for path in DATA.glob("*/*/run.json")
)


def refused(told: Told, run: Path, *words: str) -> None:
    """See that a run is refused in a sentence with these words."""
    code, _, said = told("summarise", run)
    assert code == 2, said
    assert len(said.splitlines()) == 1
    for word in words:
        assert word in said


@pytest.mark.parametrize("name", EVERY_RUN)
def test_all_published_runs_are_read(name: str) -> None:
    """Older runs have other keys; none of them is refused.

    One that ended before its probes were ready has no updates.
    """
    found = read_run(DATA / name)

    assert len(found.updates) or "begin_ns" not in found.meta


def test_many_rows_in_a_few_bytes_are_refused(
    run: Path, tmp_path: Path, told: Told
) -> None:
    """Thirty million rows of half a megabyte are refused by the footer alone."""
    packed = pack(read_run(run), tmp_path / "packed")
    file = packed / "publications.parquet"
    one = pq.read_table(file).slice(0, 1)
    indices = pa.array(np.zeros(1_000_000, dtype=np.int64))
    with pq.ParquetWriter(file, one.schema, compression="zstd") as writer:
        for _ in range(30):
            writer.write_table(one.take(indices))
    assert file.stat().st_size < 2_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    refused(told, packed, "publications.parquet", "30,000,000 rows")

    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 200_000  # KiB; the rows would take gigabytes


def test_long_texts_that_are_packed_small_are_refused(
    run: Path, tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that each of many rows has is counted as often as it stands there."""
    monkeypatch.setattr("cmhot.runs.disk.MOST_TEXT", 10_000_000)
    packed = pack(read_run(run), tmp_path / "packed")
    file = packed / "publications.parquet"
    table = pq.read_table(file)
    column = pa.array(["x" * 1_000_000]).take(pa.array([0] * len(table)))
    place = table.schema.get_field_index("uid")
    pq.write_table(table.set_column(place, "uid", column), file)

    refused(told, packed, "publications.parquet", "bytes of text")


def test_updates_times_pods_are_bounded(
    run: Path, told: Told, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few thousand lines of each may be billions of delays."""
    monkeypatch.setattr("cmhot.runs.disk.MOST_DELAYS", 1000)
    pod = {"node": "n0", "consumer": "volume"}
    change(pods=[{**pod, "pod": f"p{number}"} for number in range(1000)])

    refused(told, run, "updates for each of 1,000 pods")


def test_updates_times_gaps_are_bounded(
    run: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gap is looked into for each update of each pod of the node."""
    monkeypatch.setattr("cmhot.runs.disk.MOST_GAP_STEPS", 1000)
    detail = {"from_ns": 1, "to_ns": 2}
    gap = {"at_ns": 1, "kind": "gap", "object": "node/n0", "detail": detail}
    (run / "events.jsonl").write_text((json.dumps(gap) + "\n") * 100)

    refused(told, run, "100 gaps")


@pytest.mark.parametrize("name", ["updates.jsonl", "events.jsonl"])
def test_deep_json_is_refused(name: str, run: Path, told: Told) -> None:
    """In a line it is damage, wherever it stands."""
    content = (run / name).read_text()
    (run / name).write_text(f'{{"x": {DEEP}}}\n{{}}\n{content}')

    refused(told, run, name)


def test_a_deep_detail_is_refused(run: Path, told: Told) -> None:
    """What JSON still reads may be too deep for what follows."""
    detail = "[" * 200 + "]" * 200
    row = f'{{"at_ns": 1, "kind": "gap", "object": "x", "detail": {detail}}}\n'
    (run / "events.jsonl").write_text(row)

    refused(told, run, "events.jsonl", "detail")


@pytest.mark.parametrize("depth", [200, 100_000])
def test_a_deep_run_file_is_refused(run: Path, told: Told, depth: int) -> None:
    """Under a key that nobody knows, too."""
    deep = "[" * depth + "]" * depth
    content = (run / "run.json").read_text().rstrip().removesuffix("}")
    (run / "run.json").write_text(f'{content}, "more": {deep}}}')

    refused(told, run, "run.json", "32 levels")


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, BIG, 2**62 + 1])
@pytest.mark.parametrize(
    ("name", "key"),
    [("updates.jsonl", "acked_ns"), ("publications.jsonl", "published_ns")],
)
def test_a_number_that_is_too_large_is_refused(
    name: str, key: str, value: int, run: Path, told: Told
) -> None:
    """Of more than 64 bits, or so large that a difference would be."""
    first, *rest = (run / name).read_text().splitlines()
    changed = json.dumps(json.loads(first) | {key: value})
    (run / name).write_text("\n".join([changed, *rest]) + "\n")

    refused(told, run, name, key)


def test_a_line_without_end_is_refused(
    run: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row is never so long that it must not be held."""
    monkeypatch.setattr("cmhot.runs.disk.LONGEST_LINE", 10_000)
    (run / "events.jsonl").write_text('{"at_ns": "' + "x" * 20_000)

    refused(told, run, "events.jsonl", "line 1")


def test_a_name_that_moves_the_cursor_is_refused(run: Path, told: Told) -> None:
    """Names are printed: none holds what a terminal obeys."""
    file = run / "publications.jsonl"
    file.write_text(file.read_text().replace('"volume"', '"\\u001b[2Jvolume"', 1))

    refused(told, run, "publications.jsonl", "consumer", r"\x1b")


@pytest.mark.parametrize("name", ["<b>", "$\\frac$", "[x](http://y)", "`x`", "a|b"])
def test_a_name_that_means_something_elsewhere_is_refused(
    name: str, run: Path, told: Told, change: Change
) -> None:
    """Names stand in pages, figures and Markdown that are given away."""
    content = (run / "publications.jsonl").read_text()
    changed = content.replace('"volume"', json.dumps(name))
    (run / "publications.jsonl").write_text(changed)
    refused(told, run, "publications.jsonl", "consumer")

    (run / "publications.jsonl").write_text(content)
    change(kubelets={"n0": name})
    refused(told, run, "run.json", "kubelets.n0")


@pytest.mark.parametrize(
    "wrong",
    [
        {"settings": []},
        {"settings": {"n0": 3}},
        {"settings": {"n0": {"sync_frequency_s": [1]}}},
        {"settings": {"n0": {"sync_frequency_s": True}}},
        {"settings": {"n0": {"sync_frequency_s": 1e12}}},
        {"settings": {"n0": {"sync_frequency_s": 10.0, "strategy": 3}}},
        {"settings": {"n0": {"source": "inferred", "inferred": {"low_s": 1}}}},
        {"pods": 7},
        {"pods": ["p"]},
        {"pods": [{"pod": "p"}]},
        {"pods": [{"pod": ["p"], "node": "n", "consumer": "volume"}]},
        {"pods": [{"pod": "p", "node": "n", "consumer": "volume"}] * 2},
        {"kubelets": ["v1.37.1"]},
        {"kubelets": {"n0": {}}},
        {"kubernetes": ["v1.37.1"]},
        {"modelled": [1]},
        {"checks": [1]},
        {"status": ["complete"]},
        {"node_labels": {"n0": ["a"]}},
        {"measure_from_ns": "soon"},
        {"measure_until_ns": 1.5},
        {"observed_until_ns": BIG},
        {"target": {"a": 1}},
        {"host": "machine"},
        {"packages": [1]},
        {"clock": "mine"},
        {"sources": {"go": "here"}},
        {"plan": [1]},
        {"plan": {"pods": "many"}},
        {"rows": {"updates.jsonl": "all"}},
        {"started_utc": 7},
        {"run_id": 7},
    ],
    ids=str,
)
def test_a_value_of_another_kind_is_named(
    wrong: dict[str, Any], run: Path, told: Told, change: Change
) -> None:
    """The sentence says which key of run.json is wrong, and exit code 2 that it is."""
    change(**wrong)

    refused(told, run, "run.json", next(iter(wrong)))


def test_keys_that_nobody_knows_do_no_harm(
    run: Path, told: Told, change: Change
) -> None:
    """A newer writer adds some; and what is not known may be null."""
    change(news={"a": [1]}, sources=None, plan={"pods": None}, kubelets={"n0": None})

    assert told("summarise", run)[0] == 0


def test_a_packed_table_of_other_columns_is_refused(
    run: Path, tmp_path: Path, told: Told
) -> None:
    """A column that is not there, or of another kind, is named."""
    packed = pack(read_run(run), tmp_path / "packed")
    file = packed / "updates.parquet"
    table = pq.read_table(file)
    pq.write_table(table.drop_columns("acked_ns"), file)
    refused(told, packed, "updates.parquet", "acked_ns")

    place = table.schema.get_field_index("seq")
    texts = pa.array(["1"] * len(table))
    pq.write_table(table.set_column(place, "seq", texts), file)
    refused(told, packed, "updates.parquet", "seq")


@pytest.mark.parametrize("column", ["purpose", "status", "configmap"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_a_packed_text_that_is_none_is_refused(
    run: Path, tmp_path: Path, told: Told, column: str, *, dictionary: bool
) -> None:
    """Bytes of no text are found when the table is read, not when one is shown."""
    packed = pack(read_run(run), tmp_path / "packed")
    file = packed / "updates.parquet"
    table = pq.read_table(file)
    place = table.schema.get_field_index(column)
    bytes_ = pa.array([b"\x80"] * len(table)).view(pa.string())
    table = table.set_column(place, column, bytes_)
    pq.write_table(table, file, use_dictionary=dictionary)

    refused(told, packed, "updates.parquet", "copy the run directory anew")


def test_the_longest_period_is_computed(run: Path, told: Told, change: Change) -> None:
    """A setting at the limit of what is read takes no memory to speak of."""
    setting = {"sync_frequency_s": 14_400.0, "strategy": "Watch", "ttl_s": 14_400.0}
    change(settings={"n0": setting})

    assert told("summarise", run)[0] == 0


def test_what_is_refused_is_an_error_of_ours(run: Path) -> None:
    """A caller from Python gets one of `cmhot.errors`."""
    (run / "run.json").write_text("[" * 100_000)

    with pytest.raises(RunError) as caught:
        read_run(run)

    assert isinstance(caught.value, CmhotError)


@pytest.mark.parametrize("end", ["soon", 1.5, BIG, [1], True, None])
def test_an_end_of_a_gap_that_is_no_instant_is_refused(
    end: object, run: Path, told: Told
) -> None:
    """What is free in an event is looked at where it is computed with."""
    gap = {"at_ns": 1, "kind": "gap", "object": "node/n0"}
    row = gap | {"detail": {"from_ns": 1, "to_ns": end}}
    (run / "events.jsonl").write_text(json.dumps(row) + "\n")

    refused(told, run, "events.jsonl", "to_ns of a gap")
