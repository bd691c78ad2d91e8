"""What the kubelet gives a container, in the smallest cases of each rule.

`studies.containers` compares the same rules with containers of a real kubelet.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.kubelet.uses import Reference, Way, uses_of
from cmhot.kubelet.view import Absent, view_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmhot.kubelet.view import ContainerView

OBJECTS: dict[str, dict[str, Any]] = {
    "configmap/site": {"data": {"site.yml": "a: 1", "B": "two"}},
    "configmap/layer": {"data": {"site.yml": "b: 2"}, "binaryData": {"bin": "AAE="}},
    "secret/key": {
        "kind": "Secret",
        "data": {"site.yml": base64.b64encode(b"hidden").decode()},
    },
}
SITE = {"configMap": {"name": "site"}}


def pod_of(
    *,
    volume: Mapping[str, Any] | None = None,
    mount: Mapping[str, Any] | None = None,
    mounts: list[dict[str, Any]] | None = None,
    **container: Any,  # noqa: ANN401 - of a manifest
) -> dict[str, Any]:
    """Make a pod of one container and at most one volume, `v`."""
    one = {"name": "v", "mountPath": "/m", **(mount or {})}
    own = {
        "name": "c",
        "volumeMounts": mounts or ([one] if volume else []),
        **container,
    }
    volumes = (
        [{"name": "v", **volume}, {"name": "tmp", "emptyDir": {}}] if volume else []
    )
    return {
        "metadata": {"name": "p", "namespace": "n", "labels": {"app": "web"}},
        "spec": {"volumes": volumes, "containers": [own]},
    }


def view(**given: Any) -> ContainerView:  # noqa: ANN401 - as of `pod_of`
    """View the container of a pod."""
    return view_of(pod_of(**given), "c", lookup)


def lookup(reference: Reference) -> Mapping[str, Any] | Absent:
    """Find one of the objects; `unread` may not be read."""
    if reference.name == "unread":
        return Absent.UNREAD
    return OBJECTS.get(str(reference), Absent.MISSING)


def files(found: ContainerView) -> dict[str, bytes | None]:
    """Give the contents of all files."""
    return {path: given.content for path, given in found.files().items()}


def variables(found: ContainerView) -> dict[str, bytes | None]:
    """Give the values of all variables."""
    return {name: given.content for name, given in found.variables.items()}


def named(**source: Any) -> dict[str, Any]:  # noqa: ANN401 - of a manifest
    """Make a volume of some keys of `site`."""
    return {"configMap": {"name": "site", **source}}


def item(key: str, path: str) -> dict[str, str]:
    """Make an item of a volume."""
    return {"key": key, "path": path}


def test_a_volume_has_a_file_for_each_key() -> None:
    """Of ``binaryData`` too."""
    assert files(view(volume=SITE)) == {"/m/site.yml": b"a: 1", "/m/B": b"two"}
    layer = {"configMap": {"name": "layer"}}
    assert files(view(volume=layer))["/m/bin"] == b"\x00\x01"
    secret = {"secret": {"secretName": "key"}}
    assert files(view(volume=secret)) == {"/m/site.yml": b"hidden"}


@pytest.mark.parametrize("path", ["a/x", "./a/x", "a//x", "a/./x"])
def test_paths_are_cleaned(path: str) -> None:
    """A relative mount is below the root."""
    volume = named(items=[item("B", path)])

    assert files(view(volume=volume, mount={"mountPath": "m/"})) == {"/m/a/x": b"two"}


def test_a_missing_key_blocks_the_whole_volume() -> None:
    """Unless it is optional: then its file is not there."""
    items = [item("B", "b"), item("gone", "g")]

    blocked = view(volume=named(items=items))
    optional = view(volume=named(items=items, optional=True))

    assert blocked.blocked == "configmap/site has no key 'gone'"
    assert files(blocked) == {}
    assert (optional.blocked, files(optional)) == ("", {"/m/b": b"two"})


def test_a_missing_object_blocks_unless_optional() -> None:
    """An optional one is an empty folder."""
    missing = {"configMap": {"name": "gone"}}

    assert view(volume=missing).blocked == "configmap/gone does not exist"
    missing["configMap"]["optional"] = True  # type: ignore[assignment] # of a manifest
    assert view(volume=missing).folders["/m"].files == {}


@pytest.mark.parametrize("inner", ["site.yml", "./site.yml", "site.yml/"])
def test_a_sub_path_is_one_file_that_stays(inner: str) -> None:
    """It is bound to the file of the container's start."""
    mount = {"mountPath": "/etc/site.yml", "subPath": inner}

    found = view(volume=SITE, mount=mount)

    assert files(found) == {"/etc/site.yml": b"a: 1"}
    assert not found.folders["/etc/site.yml"].renewed


@pytest.mark.parametrize("inner", ["", ".", "./"])
def test_a_sub_path_that_is_the_volume_itself_is_renewed(inner: str) -> None:
    """A real kubelet showed it: the folder that is bound holds the link that moves."""
    mount = {"name": "v", "mountPath": "/m", "subPath": inner}
    pod = pod_of(volume=SITE, mount=mount)

    (use,) = uses_of(pod, Reference("configmap", "site"))

    assert view(volume=SITE, mount=mount).folders["/m"].renewed
    assert use.way is Way.VOLUME


def test_a_sub_path_may_be_a_folder() -> None:
    """With all that is below it."""
    volume = named(items=[item("B", "conf/b"), item("site.yml", "other/s")])

    found = view(volume=volume, mount={"subPath": "conf"})

    assert files(found) == {"/m/b": b"two"}


def test_a_sub_path_that_names_no_key_is_an_empty_folder() -> None:
    """The kubelet makes it; no update brings a file."""
    found = view(volume=SITE, mount={"subPath": "site.yaml"})

    assert found.folders["/m"].names_nothing
    assert files(found) == {}


def test_of_projected_sources_the_later_wins() -> None:
    """Also a Secret or the downward API; each file says where it is from."""
    sources: list[dict[str, Any]] = [SITE, {"configMap": {"name": "layer"}}]

    found = view(volume={"projected": {"sources": sources}})

    assert files(found)["/m/site.yml"] == b"b: 2"
    assert found.files()["/m/site.yml"].source == Reference("configmap", "layer")
    assert found.files()["/m/B"].source == Reference("configmap", "site")
    labels = {"path": "site.yml", "fieldRef": {"fieldPath": "metadata.labels"}}
    sources.append({"downwardAPI": {"items": [labels]}})
    later = view(volume={"projected": {"sources": sources}})
    assert later.files()["/m/site.yml"].source is None


def test_one_missing_source_blocks_all_of_a_projected_volume() -> None:
    """What is there stays as it was."""
    sources = [SITE, {"secret": {"name": "gone"}}]

    found = view(volume={"projected": {"sources": sources}})

    assert found.blocked == "secret/gone does not exist"


def test_what_may_not_be_read_is_unknown() -> None:
    """Named files are there with unknown content; of all keys, nobody knows which."""
    named_file = {"configMap": {"name": "unread", "items": [item("k", "f")]}}
    all_keys = {"configMap": {"name": "unread"}}

    assert files(view(volume=named_file)) == {"/m/f": None}
    assert not view(volume=all_keys).folders["/m"].is_whole


def test_a_mount_below_another_hides_what_is_there() -> None:
    """An application's own folder inside a volume, or a file over a file."""
    volume = named(items=[item("B", "b"), item("site.yml", "in/s")])
    mounts = [
        {"name": "v", "mountPath": "/m"},
        {"name": "tmp", "mountPath": "/m/in"},
    ]

    found = view(volume=volume, mounts=mounts)

    assert files(found) == {"/m/b": b"two"}
    assert not found.folders["/m"].is_whole


def reference(name: str, **source: Any) -> dict[str, Any]:  # noqa: ANN401
    """Make a source of ``envFrom``."""
    return {"configMapRef": {"name": name}, **source}


def key(name: str, of: str, **source: Any) -> dict[str, Any]:  # noqa: ANN401
    """Make a variable of one key of a ConfigMap."""
    ref = {"name": of, "key": name, **source}
    return {"name": "V", "valueFrom": {"configMapKeyRef": ref}}


def test_of_env_from_the_later_wins_and_env_wins_over_all() -> None:
    """Each with its prefix; ``binaryData`` becomes no variable."""
    sources = [reference("site"), reference("layer"), reference("site", prefix="P_")]
    env = [{"name": "B", "value": "own"}]

    found = view(envFrom=sources, env=env)

    assert variables(found) == {
        "site.yml": b"b: 2",
        "B": b"own",
        "P_site.yml": b"a: 1",
        "P_B": b"two",
    }


def test_a_variables_missing_key_keeps_the_container_from_starting() -> None:
    """An optional one leaves the variable as it was."""
    blocked = view(env=[key("gone", "site")])
    optional = view(
        env=[{"name": "V", "value": "1"}, key("gone", "site", optional=True)]
    )

    assert "configmap/site has no key 'gone'" in blocked.blocked
    assert variables(optional) == {"V": b"1"}


def test_a_binary_key_is_none_for_a_variable() -> None:
    """It is a file alone."""
    assert view(env=[key("bin", "layer")]).blocked


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$(B)", b"two"),
        ("a$(B)b$(B)", b"atwobtwo"),
        ("$$(B)", b"$(B)"),
        ("$$$(B)", b"$two"),
        ("$(LATER)", b"$(LATER)"),
        ("$(B", b"$(B"),
        ("$B $", b"$B $"),
        ("$(DB_SERVICE_HOST)", None),
        ("", b""),
    ],
)
def test_references_are_put_in(text: str, value: bytes | None) -> None:
    """To what came before; a Service's variable is not known here."""
    env = [{"name": "V", "value": text}, {"name": "LATER", "value": "x"}]

    found = view(envFrom=[reference("site")], env=env)

    assert variables(found)["V"] == value


def test_the_downward_api_is_known_as_far_as_the_manifest_goes() -> None:
    """A name and a label are, an address is not."""
    paths = {"N": "metadata.name", "L": "metadata.labels['app']", "I": "status.podIP"}
    env = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in paths.items()
    ]

    assert variables(view(env=env)) == {"N": b"p", "L": b"web", "I": None}


def test_a_source_that_may_not_be_read_may_set_anything_again() -> None:
    """What comes after it is certain."""
    found = view(
        envFrom=[reference("site"), reference("unread"), reference("layer", prefix="X")]
    )

    assert not found.is_whole
    assert variables(found)["B"] is None
    assert variables(found)["Xsite.yml"] == b"b: 2"


def test_a_volume_of_another_container_keeps_this_one_from_starting_too() -> None:
    """The kubelet sets up all that any container mounts before it starts one."""
    pod = {
        "metadata": {"name": "p"},
        "spec": {
            "volumes": [{"name": "v", "configMap": {"name": "gone"}}],
            "containers": [
                {"name": "c"},
                {"name": "d", "volumeMounts": [{"name": "v", "mountPath": "/m"}]},
            ],
        },
    }

    assert view_of(pod, "c", lookup).blocked == "configmap/gone does not exist"


@pytest.mark.parametrize(
    ("given", "places"),
    [
        ({"volume": SITE}, {"/m/site.yml": "site.yml", "/m/B": "B"}),
        ({"volume": SITE, "mount": {"subPath": "./B"}}, {"/m": "B"}),
        ({"envFrom": [reference("site", prefix="P_")]}, {"P_site.yml", "P_B"}),
        ({"env": [key("B", "site")]}, {"V": "B"}),
    ],
    ids=["volume", "subPath", "envFrom", "env"],
)
def test_a_use_leads_to_its_places(
    given: dict[str, Any], places: dict[str, str] | set[str]
) -> None:
    """Files by their path, variables by their name; the environment has others too."""
    given = {"envFrom": [reference("layer")]} | given
    pod = pod_of(**given)
    (use,) = uses_of(pod, Reference("configmap", "site"))

    found = view_of(pod, "c", lookup).of(use)

    assert found.keys() == set(places)
    assert all(one.source == Reference("configmap", "site") for one in found.values())


def test_what_comes_later_says_what_it_covers() -> None:
    """So that somebody can be told why a key has no effect."""
    site, layer = (Reference("configmap", name) for name in ("site", "layer"))
    sources: list[dict[str, Any]] = [SITE, {"configMap": {"name": "layer"}}]

    volume = view(volume={"projected": {"sources": sources}})
    environment = view(
        envFrom=[reference("site"), reference("layer")],
        env=[{"name": "site.yml", "value": "own"}],
    )

    assert volume.files()["/m/site.yml"].covers == ((site, "site.yml"),)
    assert environment.variables["site.yml"].covers == (
        (site, "site.yml"),
        (layer, "site.yml"),
    )


def test_of_two_variables_of_one_name_the_later_counts() -> None:
    """A reference between them takes what was set before it; a missing key nothing."""
    env = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)"},
        {"name": "A", "value": "2"},
        {**key("gone", "site", optional=True), "name": "A"},
    ]

    assert variables(view(env=env)) == {"A": b"2", "B": b"1"}


ODD = {"data": {"9lives": "1", "ok": "2"}}


@pytest.mark.parametrize(
    ("kubernetes", "names"),
    [
        ("v1.29.15", {"ok", "_9lives", "_ok"}),
        ("v1.30.0", {"9lives", "ok", "_9lives", "_ok"}),
        (None, {"9lives", "ok", "_9lives", "_ok"}),
        ("fake", {"9lives", "ok", "_9lives", "_ok"}),
    ],
)
def test_names_of_variables_by_version(kubernetes: str | None, names: set[str]) -> None:
    """Before 1.30 a kubelet leaves out what is no name of a variable."""
    pod = pod_of(envFrom=[reference("odd"), reference("odd", prefix="_")])

    found = view_of(pod, "c", lambda _: ODD, kubernetes=kubernetes)

    assert found.variables.keys() == names


@pytest.mark.parametrize(
    ("expression", "files_or_why"),
    [
        ("$(V)", {"/m": b"two"}),
        ("./$(V)", {"/m": b"two"}),
        ("$(NONE)", "the subPathExpr of /m needs the variable NONE"),
        ("$(EMPTY)", "the subPathExpr of /m needs the variable EMPTY"),
        ("$(UP)/x", "the subPathExpr of /m leads out of its volume: ../x"),
    ],
)
def test_a_sub_path_by_variables(
    expression: str, files_or_why: dict[str, bytes] | str
) -> None:
    """One without a value keeps the container from starting."""
    env = [
        {"name": "V", "value": "B"},
        {"name": "EMPTY", "value": ""},
        {"name": "UP", "value": ".."},
    ]

    found = view(volume=SITE, mount={"subPathExpr": expression}, env=env)

    if isinstance(files_or_why, str):
        assert found.blocked == files_or_why
        assert found.folders["/m"].is_unknown
    else:
        assert files(found) == files_or_why


@pytest.mark.parametrize("name", ["IP", "DB_PORT"])
def test_a_sub_path_that_only_the_container_knows(name: str) -> None:
    """An address, or a Service's variable: nothing is blocked by it."""
    ip = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}

    found = view(volume=SITE, mount={"subPathExpr": f"$({name})"}, env=[ip])

    assert found.folders["/m"].is_unknown
    assert found.blocked == ""


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("..data/B", {"/m": b"two"}),
        ("..data", {"/m/site.yml": b"a: 1", "/m/B": b"two"}),
    ],
)
def test_a_sub_path_through_the_data_link(
    inner: str, expected: dict[str, bytes]
) -> None:
    """It is bound to the folder of then, not to the link."""
    found = view(volume=SITE, mount={"subPath": inner})

    assert files(found) == expected
    assert not found.folders["/m"].renewed


def test_a_sub_path_that_is_a_folder_is_emptied_by_an_update() -> None:
    """The kubelet removes the folder of then; a file that is bound stays."""
    volume = named(items=[item("B", "conf/b")])

    assert view(volume=volume, mount={"subPath": "conf"}).folders["/m"].emptied
    assert not view(volume=volume, mount={"subPath": "conf/b"}).folders["/m"].emptied
    assert not view(volume=volume).folders["/m"].emptied


def test_a_missing_variable_blocks_its_container_and_no_volume() -> None:
    """A missing source of a volume blocks the syncs of the whole pod."""
    by_variable = view(volume=SITE, env=[key("gone", "site")])
    by_volume = view(volume={"configMap": {"name": "gone"}})

    assert (by_variable.stuck, bool(by_variable.blocked)) == ("", True)
    assert by_volume.stuck == by_volume.blocked == "configmap/gone does not exist"
