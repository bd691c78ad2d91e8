"""The matrix of consumers on the model, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from cmhot.cluster.port import NAMESPACE
from cmhot.errors import UsageError
from cmhot.experiments.matrix import (
    Cell,
    cases,
    consumer_matrix,
)
from cmhot.propagation.inspection import ENVIRON

if TYPE_CHECKING:
    from cmhot.cluster.model import ModelCluster


def namespaces(cluster: ModelCluster) -> int:
    """Count what is there."""
    return len(cluster.list(NAMESPACE)[0])


def test_every_cell_is_as_predicted(cluster: ModelCluster) -> None:
    """By looks into each of two copies, in each of two rounds."""
    table = consumer_matrix(cluster, rounds=2, copies=2)

    known = table.dropna(subset="predicted")
    assert len(table) == len(cases()) * 3
    assert len(known) == len(table) - 2  # an ephemeral container is never restarted
    assert (known["n"] == 4).all()
    assert (known["seen"] == known["n"] * known["predicted"].astype(int)).all()
    assert namespaces(cluster) == 0


def test_never_has_its_bound() -> None:
    """Three in n; where it was seen there is none."""
    update = Cell(cases()[0], "update", predicted=False)
    never = replace(update, seen=0, looks=30, watched_s=90.0)
    later = replace(update, predicted=True, seen=30, looks=30)
    once = replace(later, event="pod restart")
    odd = replace(update, seen=1, looks=30)
    none = replace(update, predicted=None)

    assert never.row()["bound"] == pytest.approx(0.1)
    assert (never.row()["sees"], never.agrees) == ("never", True)
    assert (later.row()["sees"], later.agrees) == ("later", True)
    assert pd.isna(later.row()["bound"])
    assert once.row()["sees"] == "at once"
    assert not odd.agrees
    assert (none.row()["sees"], none.agrees) == (None, True)


def test_what_the_matrix_cannot_be_makes_nothing(cluster: ModelCluster) -> None:
    """A wrong value is named."""
    with pytest.raises(UsageError, match="rounds = 0"):
        consumer_matrix(cluster, rounds=0)

    assert namespaces(cluster) == 0


def test_variables_are_read_from_the_process() -> None:
    """Not from a shell, which hides names like log-level."""
    looks_at = {case.look for case in cases() if "env" in case.title}

    assert looks_at == {ENVIRON}
