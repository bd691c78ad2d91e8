"""How containers use an object, and what becomes of an update: no cluster needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cmhot.errors import UsageError
from cmhot.kubelet.uses import (
    Role,
    Use,
    Way,
    fate_of,
    nearest,
    parse_reference,
    references_of,
    unmounted,
    uses_of,
)
from cmhot.kubelet.view import (
    content_of,
    read_environ,
)
from tests.unit.kubelet.pods import ENV, MAP, SECRET, VOLUME, pod

if TYPE_CHECKING:
    from cmhot.kubelet.uses import Reference
    from tests.unit.kubelet.pods import Dict


@pytest.mark.parametrize(
    ("given", "reference", "expected"),
    [
        (pod(volume=VOLUME), MAP, Use("c", Role.CONTAINER, Way.VOLUME, "/etc/v")),
        (
            pod(
                volume={
                    "configMap": {
                        "name": "m",
                        "items": [{"key": "a", "path": "x/y"}],
                        "optional": True,
                    }
                }
            ),
            MAP,
            Use(
                *("c", Role.CONTAINER, Way.VOLUME, "/etc/v"),
                items=(("a", "x/y"),),
                optional=True,
            ),
        ),
        (
            pod(
                volume={
                    "projected": {
                        "sources": [
                            {"configMap": {"name": "m"}},
                            {"configMap": {"name": "other"}},
                        ]
                    }
                }
            ),
            MAP,
            Use("c", Role.CONTAINER, Way.PROJECTED, "/etc/v"),
        ),
        (
            pod(volume=VOLUME, mount={"subPath": "a", "mountPath": "/etc/a"}),
            MAP,
            Use("c", Role.CONTAINER, Way.SUB_PATH, "/etc/a", sub_path="a"),
        ),
        (
            pod(
                volume=VOLUME,
                mount={"subPathExpr": "$(WHO).txt", "mountPath": "/etc/a"},
                env=[
                    {
                        "name": "WHO",
                        "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
                    }
                ],
            ),
            MAP,
            Use(
                "c", Role.CONTAINER, Way.SUB_PATH_EXPR, "/etc/a", sub_path="$(WHO).txt"
            ),
        ),
        (
            pod(volume=VOLUME, mount={"subPathExpr": "$(UNKNOWN)"}),
            MAP,
            Use(
                *("c", Role.CONTAINER, Way.SUB_PATH_EXPR, "/etc/v"),
                sub_path="$(UNKNOWN)",
            ),
        ),
        (
            pod(**ENV),
            MAP,
            Use("c", Role.CONTAINER, Way.ENV, "LEVEL", items=(("a", "LEVEL"),)),
        ),
        (
            pod(envFrom=[{"prefix": "P_", "configMapRef": {"name": "m"}}]),
            MAP,
            Use("c", Role.CONTAINER, Way.ENV_FROM, "P_"),
        ),
        (
            pod(volume=VOLUME, field="initContainers"),
            MAP,
            Use("c", Role.INIT, Way.VOLUME, "/etc/v"),
        ),
        (
            pod(volume=VOLUME, field="initContainers", restartPolicy="Always"),
            MAP,
            Use("c", Role.SIDECAR, Way.VOLUME, "/etc/v"),
        ),
        (
            pod(volume=VOLUME, field="ephemeralContainers"),
            MAP,
            Use("c", Role.EPHEMERAL, Way.VOLUME, "/etc/v"),
        ),
        (
            pod(volume={"secret": {"secretName": "m"}}),
            SECRET,
            Use("c", Role.CONTAINER, Way.VOLUME, "/etc/v"),
        ),
        (
            pod(envFrom=[{"secretRef": {"name": "m", "optional": True}}]),
            SECRET,
            Use("c", Role.CONTAINER, Way.ENV_FROM, "", optional=True),
        ),
    ],
    ids=[
        *("volume", "items", "projected", "subPath", "subPathExpr", "unknown expr"),
        *("env", "envFrom", "init", "sidecar", "ephemeral", "secret", "secret envFrom"),
    ],
)
def test_each_way_is_found(given: Dict, reference: Reference, expected: Use) -> None:
    """Once, with its place, and only for the object's own kind."""
    other = SECRET if reference == MAP else MAP

    assert uses_of(given, reference) == (expected,)
    assert references_of(given) >= {reference}
    assert uses_of(given, other) == ()
    assert other not in references_of(given)


def test_a_volume_that_nobody_mounts() -> None:
    """It is no use, but it is found."""
    given = pod(volume=VOLUME)
    given["spec"]["containers"][0]["volumeMounts"] = []

    assert uses_of(given, MAP) == ()
    assert unmounted(given, MAP) == ["v"]


@pytest.mark.parametrize(
    ("role", "way", "immutable", "expected"),
    [
        (Role.CONTAINER, Way.VOLUME, False, (True, True, True)),
        (Role.CONTAINER, Way.PROJECTED, False, (True, True, True)),
        (Role.CONTAINER, Way.SUB_PATH, False, (False, True, True)),
        (Role.CONTAINER, Way.SUB_PATH_EXPR, False, (False, True, True)),
        (Role.CONTAINER, Way.ENV, False, (False, True, True)),
        (Role.CONTAINER, Way.ENV_FROM, False, (False, True, True)),
        (Role.SIDECAR, Way.VOLUME, False, (True, True, True)),
        (Role.SIDECAR, Way.ENV, False, (False, True, True)),
        (Role.INIT, Way.VOLUME, False, (False, False, True)),
        (Role.EPHEMERAL, Way.VOLUME, False, (True, None, None)),
        (Role.EPHEMERAL, Way.ENV, False, (False, None, None)),
        (Role.CONTAINER, Way.VOLUME, True, (False, False, True)),
    ],
)
def test_what_becomes_of_an_update(
    role: Role,
    way: Way,
    immutable: bool,  # noqa: FBT001 - a column of the table
    expected: tuple[bool, bool | None, bool | None],
) -> None:
    """The cells that the testbed's matrix shows too."""
    fate = fate_of(Use("c", role, way, "/v"), immutable=immutable)

    assert (fate.update, fate.container_restart, fate.pod_restart) == expected
    assert fate.why


def test_content_of_maps_and_secrets() -> None:
    """Bytes, as a file would hold them."""
    plain = {"kind": "ConfigMap", "data": {"a": "ü"}, "binaryData": {"b": "AAE="}}
    secret = {"kind": "Secret", "data": {"a": "AAE="}}

    assert content_of(plain) == {"a": "ü".encode(), "b": b"\0\1"}
    assert content_of(secret) == {"a": b"\0\1"}
    assert content_of({"kind": "ConfigMap"}) == {}


def test_an_environment_is_read_as_it_is() -> None:
    """Also names that a shell drops, and values with an equals sign."""
    assert read_environ(b"log-level=info\0A=b=c\0\0") == {
        "log-level": b"info",
        "A": b"b=c",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("configmap/m", MAP),
        ("cm/m", MAP),
        ("ConfigMaps/m", MAP),
        ("secret/m", SECRET),
    ],
)
def test_references(text: str, expected: Reference) -> None:
    """Short and long forms."""
    assert parse_reference(text) == expected


@pytest.mark.parametrize("text", ["m", "configmap/", "pod/m", "configmap/a/b"])
def test_no_reference(text: str) -> None:
    """The message says how to write one."""
    with pytest.raises(UsageError, match="configmap/NAME"):
        parse_reference(text)


def test_the_nearest_name() -> None:
    """A typo is recognised, another name is not."""
    assert nearest("app-confg", ["app-config", "db"]) == "app-config"
    assert nearest("app", ["something", "app"]) is None
