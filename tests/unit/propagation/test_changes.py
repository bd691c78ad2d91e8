"""Manifests are read from anything, and an update says when it was."""

import traceback
from pathlib import Path
from typing import Any

import pytest

from cmhot.errors import UsageError
from cmhot.propagation.changes import Update, read_manifests

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


HIDDEN = "hunter2"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            f'kind: Secret\nstringData:\n  password: "{HIDDEN}" extra\n',
            "not YAML: expected <block end>, but found '<scalar>', in line 3",
        ),
        ("a: [1, 2}", "not YAML: expected ',' or ']', but got '}', in line 1"),
        (f"\na: *{HIDDEN}", "not YAML: found undefined alias, in line 2"),
        (
            f"a: !'{HIDDEN} x",
            "not YAML: could not determine a constructor for the tag, in line 1",
        ),
        (
            f"a: b\nc: \0{HIDDEN}",
            "not YAML: a character that is not allowed, in line 2",
        ),
        (f"a: !!int {HIDDEN}", "not YAML: a value is not what it looks like"),
        ({"password": HIDDEN, "a-b": 1}, "metadata.name; this one has password, a-b"),
        (f"{{password:{HIDDEN}}}", "metadata.name; this one has …"),
        (HIDDEN, "this one is but a text: is it the name of a file that is not there?"),
        ({"kind": "A", "metadata": HIDDEN}, "this one has kind, metadata"),
        ([5], "this one is of type int"),
    ],
    ids=[
        *("scalar", "token", "alias", "tag", "character", "integer"),
        *("mapping", "no space", "text", "metadata", "number"),
    ],
)
def test_a_refusal_tells_no_value(source: Source, said: str) -> None:
    """It may be a Secret's: the problem and its line, or the keys, and no more."""
    with pytest.raises(UsageError) as caught:
        read_manifests(source)

    assert said in str(caught.value)
    told = "".join(traceback.format_exception(caught.value))
    assert HIDDEN not in told


def test_a_list_of_nothing_is_no_manifest() -> None:
    """One without items as one with none."""
    with pytest.raises(UsageError, match="no manifest"):
        read_manifests({"apiVersion": "v1", "kind": "List"})


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
