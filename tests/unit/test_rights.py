"""The table of rights is what a collection asks for, no more and no less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import cmhot
from cmhot.model import ModelCluster
from cmhot.plan import Plan
from cmhot.port import rights
from cmhot.settings import Setting
from cmhot.visiting.roles import roles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cmhot.port.cluster import Kind

Asked = set[tuple[str, str, str | None]]

RARE = {
    ("get", "configmaps", "cmhot-probe"),  # after a write whose answer was lost
    ("get", "pods/exec", None),  # the model has one clock
    ("create", "pods/exec", None),
}


class Noting(ModelCluster):
    """A model that has every namespace, and notes what rights it was used with."""

    def __init__(self) -> None:
        super().__init__([Setting(5)])
        self.asked: Asked = set()

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Note a get."""
        self.asked.add(("get", kind.plural, name))
        if kind.plural == "namespaces":
            return {"metadata": {"name": name}}
        return super().get(kind, name, namespace=namespace)

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """Note a list."""
        self.asked.add(("list", kind.plural, None))
        return super().list(kind, namespace=namespace, labels=labels)

    def watch(
        self,
        kind: Kind,
        *,
        namespace: str,
        labels: Mapping[str, str],
        resource_version: str,
    ) -> Iterator[dict[str, Any]]:
        """Note a watch."""
        self.asked.add(("watch", kind.plural, None))
        return super().watch(
            kind, namespace=namespace, labels=labels, resource_version=resource_version
        )

    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Note that server-side apply needs two verbs, the one without a name."""
        plural, name = f"{manifest['kind'].lower()}s", manifest["metadata"]["name"]
        named = name if plural == "configmaps" else None
        self.asked |= {("create", plural, None), ("patch", plural, named)}
        return super().apply(manifest, namespace=namespace)

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Note a patch."""
        named = name if kind.plural == "configmaps" else None
        self.asked.add(("patch", kind.plural, named))
        return super().patch(kind, name, body, namespace=namespace)

    def delete(self, kind: Kind, name: str, *, namespace: str | None = None) -> None:
        """Note a deletion."""
        named = name if kind.plural == "configmaps" else None
        self.asked.add(("delete", kind.plural, named))
        super().delete(kind, name, namespace=namespace)

    def log(
        self,
        pod: str,
        *,
        namespace: str,
        container: str,
        since_ns: int | None = None,
    ) -> str:
        """Note that a log was read."""
        self.asked.add(("get", "pods/log", None))
        return super().log(
            pod, namespace=namespace, container=container, since_ns=since_ns
        )

    def run_in(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str
    ) -> str:
        """Note that a command was run."""
        self.asked |= {("get", "pods/exec", None), ("create", "pods/exec", None)}
        return super().run_in(pod, command, namespace=namespace, container=container)


def triples(wanted: Sequence[rights.Right]) -> Asked:
    """Leave the reasons out."""
    return {(right.verb, right.resource, right.name) for right in wanted}


def test_a_collection_asks_for_what_the_table_says(tmp_path: Path) -> None:
    """In an existing namespace, every request has its line, every line a request."""
    cluster = Noting()

    cmhot.collect(cluster, Plan(pods=1, duration_s=20, namespace="n"), out=tmp_path)

    needed = triples(rights.in_namespace("n"))
    # the nodes are optional: without the right they are found by the probes
    assert cluster.asked - needed == {("list", "nodes", None)}
    assert needed - cluster.asked <= RARE


def test_a_namespace_of_its_own_needs_three_more(tmp_path: Path) -> None:
    """Making and removing a namespace are all that `--create-namespace` adds."""
    cluster = Noting()

    cmhot.collect(cluster, Plan(pods=1, duration_s=20), out=tmp_path)

    needed = triples((*rights.OWN_NAMESPACE, *rights.RUN))
    unexpected = {(verb, resource) for verb, resource, _ in cluster.asked} - {
        (verb, resource) for verb, resource, _ in needed
    }
    assert unexpected == {("list", "nodes")}


@pytest.mark.parametrize(
    ("request_line", "purpose"),
    [
        ("PATCH /api/v1/namespaces/n/configmaps/cmhot-probe", "to write the updates"),
        ("GET /api/v1/namespaces/n", "to see that the namespace exists"),
        (
            "GET /api/v1/nodes",
            "to place probes by setting, and to know versions and taints",
        ),
        ("PATCH /apis/apps/v1/namespaces/n/deployments/d", "to start the probes"),
        ("GET /api/v1/namespaces/n/pods/p/log", "to read what the probes noted"),
        (
            "GET /api/v1/namespaces/n/pods/p/exec",
            "to bound the offset of the nodes' clocks",
        ),
        ("GET /api/v1/namespaces/n/pods", "to wait until the probes are Ready"),
        ("GET /api/v1/namespaces/n/secrets/s", None),
        ("GET /version", None),
    ],
)
def test_a_request_is_known_by_its_path(request_line: str, purpose: str | None) -> None:
    """A refused request can say what it was for; others say nothing."""
    assert rights.purpose_of(*request_line.split()) == purpose


def test_the_proxy_is_known_whatever_is_behind_it() -> None:
    """The reason for nodes/proxy carries its danger."""
    said = rights.purpose_of("GET", "/api/v1/nodes/a/proxy/configz")

    assert said is not None
    assert "permits exec" in said


@pytest.mark.parametrize("right", rights.ALL, ids=str)
def test_every_right_says_what_it_is_for(right: rights.Right) -> None:
    """A purpose completes "needed …"."""
    assert right.purpose.startswith(("to ", "for "))


def test_every_rule_has_its_reasons() -> None:
    """No rule that can be asked for is without one, and no verb of it."""
    manifests = roles(namespace="n", create_namespace=True, configz="proxy", clean=True)
    manifests += roles(namespace="n", configz="kubelet")
    rules = [rule for one in manifests for rule in one.get("rules", [])]

    assert len(rules) > 15
    for rule in rules:
        said = " ".join(rights.reasons(rule))
        assert all(verb in said for verb in rule["verbs"]), rule
