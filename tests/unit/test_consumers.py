"""Who uses an object, and what becomes of an update: from specifications alone."""

from __future__ import annotations

from typing import Any

import pytest

from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting, parse_setting
from cmhot.kubelet.uses import (
    Reference,
    Role,
    Use,
    Way,
    nearest,
    parse_reference,
    references_of,
    unmounted,
    uses_of,
)
from cmhot.kubelet.view import (
    content_of,
    fate_of,
    files_of,
    forced_by,
    read_environ,
    variables_of,
)
from cmhot.propagation.expectation import NodeFacts, expectation, remaining_s, sampled
from cmhot.propagation.explanation import explain_survey
from cmhot.propagation.owners import (
    Owner,
    Survey,
    owner_of,
    parse_workload,
    workload_of,
)

MAP = Reference("configmap", "m")
SECRET = Reference("secret", "m")
Dict = dict[str, Any]


def pod(
    *,
    volume: Dict | None = None,
    mount: Dict | None = None,
    field: str = "containers",
    **container: object,
) -> Dict:
    """Make a pod of one container."""
    volumes = [{"name": "v", **volume}] if volume else []
    mounts = [{"name": "v", "mountPath": "/etc/v", **(mount or {})}] if volume else []
    made = {"name": "c", "volumeMounts": mounts, **container}
    rest: Dict = {} if field == "containers" else {"containers": [{"name": "main"}]}
    return {
        "metadata": {"name": "p"},
        "spec": {"volumes": volumes, field: [made], **rest},
    }


VOLUME = {"configMap": {"name": "m"}}
ENV: Dict = {
    "env": [
        {
            "name": "LEVEL",
            "valueFrom": {"configMapKeyRef": {"name": "m", "key": "a"}},
        }
    ]
}


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
            Use("c", Role.CONTAINER, Way.SUB_PATH_EXPR, "/etc/a", sub_path="p.txt"),
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


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (Use("c", Role.CONTAINER, Way.VOLUME, "/v/"), {"/v/a": "a", "/v/b": "b"}),
        (
            Use("c", Role.CONTAINER, Way.VOLUME, "/v", items=(("a", "d/x"),)),
            {"/v/d/x": "a"},
        ),
        (Use("c", Role.CONTAINER, Way.SUB_PATH, "/f", sub_path="b"), {"/f": "b"}),
        (
            Use(
                *("c", Role.CONTAINER, Way.SUB_PATH, "/f"),
                items=(("a", "d/x"), ("b", "y")),
                sub_path="d",
            ),
            {"/f/x": "a"},
        ),
        (Use("c", Role.CONTAINER, Way.ENV_FROM, "P_"), {"P_a": "a", "P_b": "b"}),
        (Use("c", Role.CONTAINER, Way.ENV, "L", items=(("b", "L"),)), {"L": "b"}),
    ],
    ids=["all", "items", "subPath file", "subPath folder", "prefix", "variable"],
)
def test_places_in_a_container(use: Use, expected: dict[str, str]) -> None:
    """Each path and each variable leads to a key."""
    assert use.places(["a", "b"]) == expected


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


@pytest.mark.parametrize(
    ("kind", "way", "reads", "expected"),
    [
        ("Deployment", Way.VOLUME, True, ("annotate", "rollout", "recreate")),
        ("Deployment", Way.VOLUME, False, ("rollout", "recreate")),
        ("Deployment", Way.ENV, True, ("rollout", "recreate")),
        ("DaemonSet", Way.ENV, True, ("rollout",)),
        ("Pod", Way.VOLUME, True, ("annotate", "delete")),
        ("Job", Way.ENV, True, ("delete",)),
    ],
)
def test_what_forces_it(
    kind: str,
    way: Way,
    reads: bool,  # noqa: FBT001 - a column of the table
    expected: tuple[str, ...],
) -> None:
    """A sync helps volumes only, and only where it reads anew."""
    use = Use("c", Role.CONTAINER, way, "/v")

    assert (
        forced_by(kind, use, fate_of(use, immutable=False), annotate_reads=reads)
        == expected
    )


def test_content_of_maps_and_secrets() -> None:
    """Bytes, as a file would hold them."""
    plain = {"kind": "ConfigMap", "data": {"a": "ü"}, "binaryData": {"b": "AAE="}}
    secret = {"kind": "Secret", "data": {"a": "AAE="}}

    assert content_of(plain) == {"a": "ü".encode(), "b": b"\0\1"}
    assert content_of(secret) == {"a": b"\0\1"}
    assert content_of({"kind": "ConfigMap"}) == {}


def test_what_a_container_should_hold() -> None:
    """Files by path; variables without those that others set, or no kubelet would."""
    content = {"a": b"1", "log-level": b"info", "1st": b"x"}
    volume = Use("c", Role.CONTAINER, Way.VOLUME, "/v", items=(("a", "f"),))
    everything = Use("c", Role.CONTAINER, Way.ENV_FROM, "")
    one = Use("c", Role.CONTAINER, Way.ENV, "A", items=(("a", "A"),))

    assert files_of([volume, one], content) == {"/v/f": b"1"}
    assert variables_of([everything, one], content, explicit=frozenset({"a", "A"})) == {
        "log-level": b"info",
        "A": b"1",
    }


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("deployment/x", Owner("Deployment", "x")),
        ("deployments/x", Owner("Deployment", "x")),
        ("deploy/x", Owner("Deployment", "x")),
        ("sts/x", Owner("StatefulSet", "x")),
        ("ds/x", Owner("DaemonSet", "x")),
    ],
)
def test_workloads(text: str, expected: Owner) -> None:
    """As `kubectl` takes them."""
    assert parse_workload(text) == expected


@pytest.mark.parametrize("text", ["x", "job/x", "deployment/"])
def test_no_workload(text: str) -> None:
    """The message says how to write one."""
    with pytest.raises(UsageError, match="deployment/NAME"):
        parse_workload(text)


def test_the_nearest_name() -> None:
    """A typo is recognised, another name is not."""
    assert nearest("app-confg", ["app-config", "db"]) == "app-config"
    assert nearest("app", ["something", "app"]) is None


def _owned(kind: str, name: str, **labels: str) -> Dict:
    owner = {"kind": kind, "name": name, "controller": True}
    return {"metadata": {"name": "p", "labels": labels, "ownerReferences": [owner]}}


def test_pods_lead_to_their_workload() -> None:
    """A ReplicaSet to its Deployment, a Job to its CronJob, if there is one."""
    web, nightly = Owner("Deployment", "web"), Owner("CronJob", "nightly")
    known = {web, nightly}
    of_web = _owned("ReplicaSet", "web-5f", **{"pod-template-hash": "5f"})

    assert owner_of(of_web, known) == web
    assert owner_of(of_web, set()) == Owner("ReplicaSet", "web-5f")
    assert owner_of(_owned("Job", "nightly-2901"), known) == nightly
    assert owner_of(_owned("Job", "once"), known) == Owner("Job", "once")
    assert owner_of({"metadata": {"name": "p"}}, known) == Owner("Pod", "p")


@pytest.mark.parametrize(
    ("kind", "status", "outdated"),
    [
        ("Deployment", {"replicas": 3, "updatedReplicas": 1}, 2),
        ("Deployment", {"replicas": 3, "updatedReplicas": 3}, 0),
        (
            "StatefulSet",
            {"replicas": 3, "currentRevision": "a", "updateRevision": "a"},
            0,
        ),
        (
            "StatefulSet",
            {
                "replicas": 3,
                "updatedReplicas": 1,
                "currentRevision": "a",
                "updateRevision": "b",
            },
            2,
        ),
        (
            "DaemonSet",
            {"currentNumberScheduled": 4, "updatedNumberScheduled": 3},
            1,
        ),
    ],
)
def test_pods_of_an_older_template_are_counted(
    kind: str, status: Dict, outdated: int
) -> None:
    """By the workload's own status."""
    found = {
        "metadata": {"name": "w"},
        "spec": {"template": pod(volume=VOLUME)},
        "status": status,
    }

    workload = workload_of(found, kind, MAP)

    assert workload.outdated == outdated
    assert len(workload.uses) == 1


def _survey(
    pods: list[Dict], workloads: list[Dict] | None = None, kind: str = "Deployment"
) -> Survey:
    known = [workload_of(one, kind, MAP) for one in workloads or []]
    survey = Survey(MAP, {one.owner: one for one in known})
    survey.add(pods)
    return survey


def _web(name: str, given: Dict, *, node: str = "n") -> Dict:
    owned = _owned("ReplicaSet", "web-5f", **{"pod-template-hash": "5f"})
    owned["metadata"]["name"] = name
    return {**owned, "spec": {**given["spec"], "nodeName": node}}


def _deployment(given: Dict, **status: int) -> Dict:
    return {
        "metadata": {"name": "web"},
        "spec": {"template": given},
        "status": {"replicas": 2, "updatedReplicas": 2, **status},
    }


STORED = {"kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}
FACTS = {"n": NodeFacts("n", Setting(60), "configz", "v1.37.1")}


@pytest.mark.parametrize(
    ("pods", "deployment", "stored", "expected"),
    [
        ([pod(**ENV)], pod(**ENV), STORED, {"env"}),
        (
            [pod(volume=VOLUME, mount={"subPath": "a"})],
            pod(volume=VOLUME),
            STORED,
            {"subPath"},
        ),
        ([pod(volume=VOLUME)], pod(volume=VOLUME), STORED, set()),
        (
            [pod(volume=VOLUME)],
            pod(volume=VOLUME),
            {**STORED, "immutable": True},
            {"immutable"},
        ),
        (
            [pod(volume=VOLUME), pod()],
            pod(volume=VOLUME),
            STORED,
            {"some-replicas"},
        ),
        ([pod(volume=VOLUME)], pod(volume=VOLUME), None, {"absent"}),
        (
            [pod(volume={"configMap": {"name": "n"}})],
            pod(volume={"configMap": {"name": "n"}}),
            STORED,
            {"unused"},
        ),
        (
            [pod(**ENV)],
            pod(**ENV),
            {**STORED, "data": {"b": "1"}},
            {"env", "absent-key"},
        ),
    ],
    ids=[
        *("env", "subPath", "nothing", "immutable", "some replicas", "absent"),
        *("unused", "absent key"),
    ],
)
def test_mistakes(
    pods: list[Dict], deployment: Dict, stored: Dict | None, expected: set[str]
) -> None:
    """Each is found, with a remedy, and nothing else."""
    named = [_web(f"p{i}", one) for i, one in enumerate(pods)]
    survey = _survey(named, [_deployment(deployment)])

    found = explain_survey(survey, namespace="x", stored=stored, facts=FACTS)

    assert {one.kind for one in found.mistakes} == expected
    assert all(one.remedy for one in found.mistakes)


def test_an_older_template_is_told() -> None:
    """So that nobody looks for the update in pods that never had the volume."""
    pods = [_web("p0", pod(volume=VOLUME))]
    survey = _survey(pods, [_deployment(pod(volume=VOLUME), updatedReplicas=1)])

    found = explain_survey(survey, namespace="x", stored=STORED, facts=FACTS)

    assert [one.kind for one in found.mistakes] == ["older-template"]


def test_a_missing_object_names_the_nearest() -> None:
    """Of those that exist."""
    survey = _survey([_web("p0", pod(volume=VOLUME))], [_deployment(pod())])

    found = explain_survey(
        survey, namespace="x", stored=None, facts=FACTS, existing=["mm", "other"]
    )

    assert not found.exists
    assert "'mm'" not in found.mistakes[0].remedy  # one letter is too short to tell


def test_a_name_that_is_nearly_this_one() -> None:
    """A pod with a typo waits for what does not exist; the others are told of it."""
    reference = Reference("configmap", "app-config")
    good, bad = ({"configMap": {"name": name}} for name in ("app-config", "app-confg"))
    survey = Survey(reference, {})
    survey.add([_web("p0", pod(volume=good)), _web("p1", pod(volume=bad))])

    found = explain_survey(
        survey, namespace="x", stored=STORED, facts=FACTS, existing=["app-config"]
    )

    (near,) = [one for one in found.mistakes if one.kind == "near-name"]
    assert "configmap/app-confg" in near.what


def test_an_explanation_as_json() -> None:
    """The keys on which programs rely; seconds by the law."""
    pods = [_web(f"p{i}", pod(volume=VOLUME)) for i in range(2)]
    survey = _survey(pods, [_deployment(pod(volume=VOLUME))])

    answer = explain_survey(survey, namespace="x", stored=STORED, facts=FACTS).to_dict()
    (row,) = answer["consumers"]
    expected = row.pop("expected")

    assert answer["object"] == "configmap/m"
    assert row == {
        "kind": "Deployment",
        "name": "web",
        "namespace": "x",
        "pods": 2,
        "pod_names": ["p0", "p1"],
        "container": "c",
        "role": "container",
        "consumer": "volume",
        "key_or_path": "/etc/v",
        "optional": False,
        "updates": True,
        "after_container_restart": True,
        "after_pod_restart": True,
        "why": "the kubelet renews the files when it next syncs the pod",
        "forced_by": ["annotate", "rollout", "recreate"],
    }
    # the law of S = 60 s
    assert expected["p50_s"] == pytest.approx(37.75)
    assert expected["p99_s"] == pytest.approx(83.77, abs=0.05)
    assert expected["all_p50_s"] > expected["p50_s"]


def test_an_explanation_for_people() -> None:
    """What never updates, what is amiss, and how the setting is known."""
    pods = [_web("p0", pod(**ENV)), _web("p1", pod(**ENV))]
    found = explain_survey(
        _survey(pods, [_deployment(pod(**ENV))]),
        namespace="x",
        stored=STORED,
        facts=FACTS,
    )

    text = found.to_text()

    assert text.startswith("configmap/m in x: used by 1 workload, 2 pods\n")
    assert "NEVER" in text
    assert "! deployment/web, container c takes LEVEL by env" in text
    assert "when: 1 node at 60 s, Watch, as the kubelet itself reports" in text
    assert "<table" in found._repr_html_()


def test_pods_that_have_ended_do_not_count() -> None:
    """Neither those that are about to."""
    ended, leaving = _web("p0", pod(volume=VOLUME)), _web("p1", pod(volume=VOLUME))
    ended["status"] = {"phase": "Succeeded"}
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    survey = _survey([ended, leaving], [_deployment(pod())])

    assert (survey.total, survey.consumers) == (2, {})


def test_a_workload_without_pods_is_a_row() -> None:
    """Its template uses the object all the same."""
    survey = _survey([], [_deployment(pod(volume=VOLUME), replicas=0)])

    (row,) = explain_survey(survey, namespace="x", stored=STORED, facts={}).rows

    assert (row.owner.name, row.pods, row.expected) == ("web", (), None)


def test_nothing_is_expected_of_an_unknown_setting() -> None:
    """Absent knowledge is None."""
    facts = {"n": NodeFacts("n", None, "unknown")}

    assert expectation({"n": 1}, facts, sharers={"n": 1}) is None
    assert expectation({"elsewhere": 1}, facts, sharers={}) is None


def test_all_pods_take_longer_than_one() -> None:
    """Ten pods on one node and ten on another: the last of twenty."""
    facts = {name: NodeFacts(name, Setting(60), "configz") for name in "nm"}
    pods = {"n": 10, "m": 10}

    found = expectation(pods, facts, sharers=pods)

    assert found is not None
    assert found.p50_s == pytest.approx(37.75)
    # P(all of 20 by t) = 0.5 where F(t) = 0.5^(1/20) = 0.966
    assert found.all_p50_s == pytest.approx(77.7, abs=0.7)


@pytest.mark.parametrize(
    ("waited", "expected"),
    [(0.0, 83.8), (40.0, 45.9), (95.0, 0.0)],
    ids=["just now", "for 40 s", "longer than the law allows"],
)
def test_what_is_left_of_the_wait(waited: float, expected: float) -> None:
    """A pod that has waited has less before it."""
    left = remaining_s({"n": 1}, FACTS, sharers={"n": 1}, waited_s=waited)

    assert left == pytest.approx(expected, abs=0.2)


def test_nodes_that_were_not_asked_are_like_the_others() -> None:
    """Only if those agree; and it is said."""
    ten, unasked = parse_setting("sync=10s"), NodeFacts("b", None, "unknown")
    alike = sampled([NodeFacts("a", ten, "configz"), unasked])
    mixed = sampled(
        [
            NodeFacts("a", ten, "configz"),
            unasked,
            NodeFacts("c", Setting(60), "configz"),
        ]
    )

    assert (alike["b"].setting, alike["b"].source) == (ten, "sampled")
    assert (mixed["b"].setting, mixed["b"].source) == (None, "unknown")


@pytest.mark.parametrize(
    ("setting", "kubelet", "expected"),
    [
        ("sync=60s", "v1.37.1", True),
        ("sync=60s,strategy=Cache,ttl=0", "v1.37.1", True),
        ("sync=60s,strategy=Cache,ttl=60", "v1.37.1", False),
        ("sync=60s,strategy=Cache,ttl=60", "v1.28.15", True),
    ],
)
def test_whether_a_forced_sync_reads(
    setting: str,
    kubelet: str,
    expected: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Under a TTL from 1.29 on it may not."""
    fact = NodeFacts("n", parse_setting(setting), "configz", kubelet)

    assert fact.annotate_reads is expected
