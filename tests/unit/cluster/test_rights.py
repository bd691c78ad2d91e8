"""The table of rights is what a collection asks for, no more and no less."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

import cmhot
from cmhot import explain, refresh, wait
from cmhot.cluster import answers, rights
from cmhot.cluster.answers import METHODS, purpose_of
from cmhot.cluster.model import ModelCluster
from cmhot.cluster.rights import roles, to_yaml
from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting
from cmhot.runs.plan import Plan
from studies.fronts import Front
from tests.unit.living import Living, configmap

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cmhot.kubelet.uses import Kind

Asked = set[tuple[str, str, str | None]]

RARE = {
    ("get", "pods/exec", None),  # the model has one clock
    ("create", "pods/exec", None),
}


NAMED = {"configmaps", "namespaces"}
"""Resources of which a right may end at a name."""


class Noting(Front):
    """A model that has every namespace, and notes what rights it was used with."""

    def __init__(self) -> None:
        super().__init__(ModelCluster([Setting(5)]))
        self.asked: Asked = set()

    def passing(self, verb: str, resource: str, name: str | None) -> None:
        """Note it; only what is read or changed of one object has its name."""
        is_whole = resource == "namespaces" and verb != "get"
        named = name if resource in NAMED and not is_whole else None
        self.asked.add((verb, resource, named))

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Have every namespace."""
        if kind.plural == "namespaces":
            self.passing("get", kind.plural, name)
            return {"metadata": {"name": name}}
        return super().get(kind, name, namespace=namespace)


def triples(wanted: Sequence[rights.Right]) -> Asked:
    """Leave the reasons out."""
    return {(right.verb, right.resource, right.name) for right in wanted}


def test_a_collection_asks_for_what_the_table_says(tmp_path: Path) -> None:
    """In an existing namespace, every request has its line, every line a request."""
    cluster = Noting()

    cmhot.collect(cluster, Plan(pods=1, duration_s=20, namespace="n"), out=tmp_path)

    needed = triples(rights.for_collection("n"))
    # optional: without these rights nodes are found by the probes, settings are given
    optional = {("list", "nodes", None), ("get", "nodes/proxy", None)}
    assert cluster.asked - needed == optional
    assert needed - cluster.asked <= RARE


def test_a_namespace_of_its_own_needs_three_more(tmp_path: Path) -> None:
    """Making and removing a namespace are all that `--create-namespace` adds."""
    cluster = Noting()

    cmhot.collect(cluster, Plan(pods=1, duration_s=20), out=tmp_path)

    needed = triples(rights.for_collection(None))
    unexpected = {(verb, resource) for verb, resource, _ in cluster.asked} - {
        (verb, resource) for verb, resource, _ in needed
    }
    assert unexpected == {("list", "nodes"), ("get", "nodes/proxy")}


@pytest.mark.parametrize(
    ("request_line", "purpose"),
    [
        ("PATCH /api/v1/namespaces/n/configmaps/cmhot-probe", "to write the updates"),
        ("GET /api/v1/namespaces/n", "to see that the namespace exists"),
        (
            "GET /api/v1/nodes",
            "to place probes by setting, and to know versions and taints",
        ),
        (
            "PATCH /apis/apps/v1/namespaces/n/deployments/cmhot-sync-60s.watch.ttl-0",
            "to start the probes",
        ),
        (
            "PATCH /apis/apps/v1/namespaces/n/deployments/d",
            "to roll the workload out, or to scale it (rollout, recreate)",
        ),
        ("GET /api/v1/namespaces/n/pods/p/log", "to read what the probes noted"),
        (
            "GET /api/v1/namespaces/n/pods/cmhot-sync-60s.watch.ttl-0-1/exec",
            "to bound the offset of the nodes' clocks",
        ),
        (
            "GET /api/v1/namespaces/n/pods/web-1/exec",
            "to see which content containers hold",
        ),
        (
            "GET /api/v1/namespaces/n/pods",
            "to wait until the probes are Ready; or to find the pods that use it",
        ),
        (
            "GET /apis/autoscaling/v2/namespaces/n/horizontalpodautoscalers",
            "to spare workloads that something else scales",
        ),
        ("GET /api/v1/namespaces/n/services/s", None),
        ("GET /version", None),
    ],
)
def test_a_request_is_known_by_its_path(request_line: str, purpose: str | None) -> None:
    """A refused request can say what it was for; others say nothing."""
    assert purpose_of(*request_line.split()) == purpose


def test_the_proxy_is_known_whatever_is_behind_it() -> None:
    """The reason for nodes/proxy carries its danger."""
    said = purpose_of("GET", "/api/v1/nodes/a/proxy/configz")

    assert said is not None
    assert "permits exec" in said


@pytest.mark.parametrize("right", rights.ALL, ids=lambda one: f"{one}, {one.purpose}")
def test_every_right_says_what_it_is_for(right: rights.Right) -> None:
    """A purpose completes "needed …"."""
    assert right.purpose.startswith(("to ", "for "))


COMMANDS = [*rights.FOR_COMMAND]


def request_of(right: rights.Right) -> tuple[str, str]:
    """Give method and path of a request that needs a right."""
    methods = {verb: method for method, verb in METHODS.items()}
    resource, _, sub = right.resource.partition("/")
    versions = {"": "api/v1", "autoscaling": "apis/autoscaling/v2"}
    place = versions.get(right.group, f"apis/{right.group}/v1")
    path = f"/{place}/namespaces/shop/{resource}"
    if right.verb != "list":
        path += "/web"
    return methods.get(right.verb, "GET"), f"{path}/{sub}" if sub else path


@pytest.mark.parametrize(
    ("command", "right"),
    [
        pytest.param(command, right, id=f"{command}: {right}")
        for command in COMMANDS
        for right in (
            *rights.FOR_COMMAND[command],
            *rights.EPHEMERAL * (command == "wait"),
        )
    ],
)
def test_a_refusal_names_the_missing_rule(
    command: rights.Command, right: rights.Right
) -> None:
    """Of explain, wait and refresh as of a collection: what for, and who prints it."""
    method, path = request_of(right)

    said = str(answers.explain(403, '{"message": "forbidden"}', method, path))

    assert right.purpose in said
    assert re.search(rf"`cmhot rbac --for \S*\b{command}\b\S*` prints it", said)


def asked_by_refresh(cluster: Living) -> None:
    """Refresh by every method, with a look at what came of it."""
    for method in ("annotate", "rollout", "recreate"):
        cluster.update(method)
        refresh(cluster, "deployment/web", method=method)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_asks_for_what_the_table_says(command: rights.Command) -> None:
    """No request is without its line; lines of other workloads are not needed here."""
    cluster = Living()
    cluster.deploy(2, terminationGracePeriodSeconds=5)
    if command == "explain":
        explain(cluster, "configmap/m")
    elif command == "wait":
        wait(cluster, "configmap/m", workload="deployment/web")
        for pod in cluster.pods:  # while they go, it is asked whether others come
            cluster.remove(pod)
        wait(cluster, "configmap/m", timeout_s=1)
        cluster.put(configmap("other"))
        with pytest.raises(UsageError):
            wait(cluster, "configmap/other")
    else:
        asked_by_refresh(cluster)

    known = {(right.verb, right.resource) for right in rights.FOR_COMMAND[command]}
    # optional: settings that are not given, and names that might have been meant
    assert set(cluster.asked) - known <= {("list", "nodes"), ("get", "nodes/proxy")}
    others = {"events", "secrets", "statefulsets", "daemonsets", "pods/exec"}
    assert {pair[1] for pair in known - set(cluster.asked)} <= others


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_a_role_of_its_own(command: rights.Command) -> None:
    """What it may is what the table says, with that command's reasons."""
    manifests = roles(namespace="shop", command=command)

    assert [one["kind"] for one in manifests] == [
        "ServiceAccount",
        "Role",
        "RoleBinding",
    ]
    granted = {
        (one, resource)
        for rule in manifests[1]["rules"]
        for resource in rule["resources"]
        for one in rule["verbs"]
    }
    assert granted == {(one.verb, one.resource) for one in rights.FOR_COMMAND[command]}
    assert "probe" not in to_yaml(manifests, command=command)


def test_every_rule_has_its_reasons() -> None:
    """No rule that can be asked for is without one, and no verb of it."""
    manifests = roles(namespace="n", create_namespace=True, configz="proxy", clean=True)
    manifests += roles(namespace="n", configz="kubelet")
    rules = [rule for one in manifests for rule in one.get("rules", [])]

    assert len(rules) > 15
    for rule in rules:
        said = " ".join(rights.reasons(rule))
        assert all(verb in said for verb in rule["verbs"]), rule
