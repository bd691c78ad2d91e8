"""Manifests are read from anything, and an update says when it was."""

import json
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.errors import ClusterError, CmhotError, UnreachableError, UsageError
from cmhot.kubelet.settings import Setting
from cmhot.kubelet.uses import CONFIG_MAP
from cmhot.propagation.changes import Update, apply
from cmhot.propagation.manifests import read_manifests

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
        *("scalar", "token", "alias", "character", "integer"),
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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-05-01", "2024-05-01"),
        ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z"),
        ("12:30:00", "12:30:00"),
        ("=", "="),
        ("y", True),
        ("Off", False),
        ("~", None),
        ("017", 15),
        ("0o17", 15),
        ("08", 8),
        ("1_000", 1000),
        ("0x1F", 31),
        ("-0b11", -3),
        ("1e3", 1000),
        ("1.5", 1.5),
        ("1e400", "1e400"),
        ("1.2.3", "1.2.3"),
        ("18446744073709551615", 18446744073709551615),
        ("'5'", "5"),
        ("!x 5", "5"),
        ("!x [5]", [5]),
        ("!!binary aGk=", "hi"),
        ("!!binary /w==", "\ufffd"),
    ],
)
def test_a_scalar_is_what_kubectl_makes_of_it(text: str, value: object) -> None:
    """The values are those that sigs.k8s.io/yaml 1.6.0 gives, also for odd forms."""
    (manifest,) = read_manifests(
        f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: m}}, data: {text}}}"
        if text != "~"
        else "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: ~\n"
    )

    assert manifest["data"] == value
    assert type(manifest["data"]) is type(value)


def test_a_last_line_without_its_end_has_one() -> None:
    """So kubectl reads it, by lines: a block's last newline is content."""
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n"

    (manifest,) = read_manifests(f"{head}data:\n  a: |\n    x\n    y")

    assert manifest["data"] == {"a": "x\ny\n"}


def test_a_number_that_json_has_not_is_refused() -> None:
    """So does kubectl; the message tells no value."""
    with pytest.raises(UsageError, match="not what it looks like"):
        read_manifests("a: .inf")


def test_what_kubectl_refuses_is_refused() -> None:
    """A null is no key of JSON, a number no name, an object no list."""
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: "

    for text, said in (
        (f"{head}{{name: m}}\ndata: {{null: a}}", "not what it looks like"),
        (f"{head}{{name: 7}}", "needs apiVersion, kind and metadata.name"),
        ("apiVersion: v1\nkind: List\nitems: {}", "items of a List are no list"),
    ):
        with pytest.raises(UsageError, match=said):
            read_manifests(text)


def test_a_sign_of_merging_is_text_as_a_value() -> None:
    """As a key it merges; `kubectl` takes both."""
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: <<}"

    assert read_manifests(text) == [MAP | {"data": {"a": "<<"}}]


def test_a_list_of_one_kind_gives_it_to_its_items() -> None:
    """`kubectl` takes a ConfigMapList, whose items need not repeat the kind."""
    source = {"apiVersion": "v1", "kind": "ConfigMapList"}

    assert read_manifests(source | {"items": [{"metadata": {"name": "m"}}]}) == [MAP]


def test_json_may_be_indented_by_tabs() -> None:
    """YAML may not, but what begins with a brace is tried as JSON first."""
    text = (
        '{\n\t"apiVersion": "v1",\n\t"kind": "ConfigMap",\n\t"metadata": {"name": "m"}}'
    )

    assert read_manifests(text) == [MAP]


def test_a_file_is_utf_8(tmp_path: Path) -> None:
    """A byte order mark is no part of it."""
    file = tmp_path / "m.json"
    content = MAP | {"data": {"shop": "Bäckerei"}}
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(content, ensure_ascii=False).encode())

    assert read_manifests(file) == [content]


def test_a_text_nested_too_deeply_is_told() -> None:
    """A sentence, no traceback."""
    with pytest.raises(UsageError, match="nested too deeply"):
        read_manifests("[" * 100_000)


def test_the_contexts_namespace_is_the_default() -> None:
    """As `kubectl` takes it; one that is given counts before it."""
    cluster = ModelCluster([Setting(10)])
    cluster.namespace = "shop"

    for namespace, kept in ((None, "shop"), ("other", "other")):
        (stored,) = apply(cluster, MAP, namespace=namespace)
        assert stored["metadata"]["namespace"] == kept


class Refusing(ModelCluster):
    """Takes one object, and no other."""

    error: CmhotError = ClusterError(
        "PATCH … failed (500): …",
        status=500,
        said=".data.k: expected string, got &value.valueUnstructured{Value:7}",
    )

    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Refuse the second."""
        if manifest["metadata"]["name"] == "second":
            raise self.error
        return super().apply(manifest, namespace=namespace)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            Refusing.error,
            "the API server refuses configmap/second: .data.k: expected string;",
        ),
        (UsageError("no such kind"), "configmap/second: no such kind;"),
        (UnreachableError("no answer"), "configmap/second: no answer;"),
    ],
    ids=["refused", "unknown", "silent"],
)
def test_what_was_applied_before_a_refusal_is_told(
    error: CmhotError, said: str
) -> None:
    """With the API server's reason; nobody says "failed (500)" of a wrong value."""
    cluster = Refusing([Setting(10)])
    cluster.error = error
    names = ("first", "second", "third")
    told: list[str] = []

    with pytest.raises(type(error)) as raised:
        apply(
            cluster,
            [MAP | {"metadata": {"name": name}} for name in names],
            tell=told.append,
        )

    assert str(raised.value) == f"{said} applied before it: configmap/first"
    assert told == ["configmap/first applied"]
    assert cluster.names(CONFIG_MAP, namespace="default") == ["first"]


def test_another_namespace_than_the_manifests_is_refused() -> None:
    """As `kubectl` does, before anything is sent."""
    cluster = ModelCluster([Setting(10)])
    other = MAP | {"metadata": {"name": "n", "namespace": "shop"}}

    with pytest.raises(UsageError, match="say -n shop"):
        apply(cluster, [MAP, other], namespace="default")

    assert not list(cluster.names(CONFIG_MAP, namespace="default"))
