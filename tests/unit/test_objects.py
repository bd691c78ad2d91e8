"""Manifests are read from anything, and an update says when it was."""

from pathlib import Path
from typing import Any

import pytest

from cmhot.errors import UsageError
from cmhot.objects import Update, read_manifests

Source = Any  # anything that a user may give

MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}


@pytest.mark.parametrize(
    "source",
    [
        MAP,
        [MAP],
        (MAP,),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n",
        """---
apiVersion: v1
kind: List
items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: m}}]
---
""",
    ],
    ids=["dict", "list", "tuple", "yaml", "List among empty documents"],
)
def test_one_manifest_from_anything(source: Source) -> None:
    """A dict, a list, a YAML text and a List all give the same objects."""
    assert read_manifests(source) == [MAP]


def test_a_path_is_a_file(tmp_path: Path) -> None:
    """A Path, and a text that names a file, are read."""
    file = tmp_path / "m.yaml"
    file.write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: m}}")

    assert read_manifests(file) == read_manifests(str(file)) == [MAP]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "no manifest"),
        ("a: [", "not YAML"),
        ("just words", "needs apiVersion"),
        ({"kind": "ConfigMap"}, "needs apiVersion"),
        (Path("/nonexistent/m.yaml"), "cannot read"),
    ],
)
def test_what_is_no_manifest_is_refused(source: Source, said: str) -> None:
    """The message says what a manifest needs."""
    with pytest.raises(UsageError, match=said):
        read_manifests(source)


def test_an_update_tells_when_it_took_effect() -> None:
    """Acknowledged when, and how long after it was sent."""
    second = 10**9
    update = Update(
        configmap="m",
        resource_version="7",
        planned_ns=1_767_225_600 * second,
        sent_ns=1_767_225_600 * second,
        acked_ns=1_767_225_600 * second + 4_200_000,
    )

    assert repr(update) == (
        "configmap/m was updated: acknowledged at 2026-01-01 00:00:00 UTC, "
        "4.2 ms after it was sent (version 7)"
    )
