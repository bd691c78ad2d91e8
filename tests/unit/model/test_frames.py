"""From modelled volumes to columns."""

from __future__ import annotations

from cmhot.cluster.model.simulate import frame_of, published, repeated
from cmhot.cluster.model.virtual_kubelet import Content, History, Volume
from cmhot.runs import schema


def volume(*publications: tuple[int, int]) -> Volume:
    """Make a volume with publications of (number, instant)."""
    made = Volume(Content(History(), staleness_ns=0))
    for number, at_ns in publications:
        made.publish(number, at_ns=at_ns)
    return made


def test_publications_come_volume_by_volume_up_to_the_end() -> None:
    """One at the last instant counts; a volume without any is there with none."""
    volumes = [volume((1, 10), (2, 20), (3, 21)), volume(), volume((2, 15))]

    sizes, numbers, instants_ns = published(volumes, until_ns=20)

    assert sizes.tolist() == [2, 0, 1]
    assert numbers.tolist() == [1, 2, 2]
    assert instants_ns.tolist() == [10, 20, 15]


def test_a_frame_has_all_columns_of_its_table() -> None:
    """One text stands for every row, and what is not given is null."""
    given = {"seq": [1, 2], "configmap": "c", "purpose": repeated(["a", "b"], [0, 2])}

    frame = frame_of(given, schema.UPDATES, rows=2)

    assert list(frame) == [column.name for column in schema.UPDATES.columns]
    assert frame["configmap"].to_list() == ["c", "c"]
    assert frame["purpose"].to_list() == ["b", "b"]
    assert frame["error"].isna().all()
