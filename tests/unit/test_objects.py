"""Manifests are read from anything, and consumers are found where they are."""

from pathlib import Path
from typing import Any

import pytest

from cmhot.errors import UsageError
from cmhot.objects import Consumption, consumptions, read_manifests

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


def test_every_way_to_consume_is_found() -> None:
    """Volume, subPath, projected, env and envFrom; other maps' are left out."""
    configmap = {"metadata": {"name": "m"}, "data": {"a": "1", "b": "2"}}
    pod = {
        "spec": {
            "volumes": [
                {"name": "all", "configMap": {"name": "m"}},
                {
                    "name": "mixed",
                    "projected": {
                        "sources": [
                            {
                                "configMap": {
                                    "name": "m",
                                    "items": [{"key": "b", "path": "sub/b.txt"}],
                                }
                            }
                        ]
                    },
                },
                {"name": "other", "configMap": {"name": "x"}},
            ],
            "containers": [
                {
                    "name": "c",
                    "envFrom": [{"prefix": "P_", "configMapRef": {"name": "m"}}],
                    "env": [
                        {
                            "name": "LEVEL",
                            "valueFrom": {"configMapKeyRef": {"name": "m", "key": "a"}},
                        }
                    ],
                    "volumeMounts": [
                        {"name": "all", "mountPath": "/etc/all/"},
                        {"name": "all", "mountPath": "/etc/a", "subPath": "a"},
                        {"name": "mixed", "mountPath": "/mixed"},
                        {"name": "other", "mountPath": "/other"},
                    ],
                }
            ],
        }
    }

    assert list(consumptions(pod, configmap)) == [
        Consumption("c", "envFrom", "a", "P_a"),
        Consumption("c", "envFrom", "b", "P_b"),
        Consumption("c", "env", "a", "LEVEL"),
        Consumption("c", "volume", "a", "/etc/all/a"),
        Consumption("c", "volume", "b", "/etc/all/b"),
        Consumption("c", "subPath", "a", "/etc/a"),
        Consumption("c", "projected", "b", "/mixed/sub/b.txt"),
    ]
