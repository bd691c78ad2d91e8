"""Roles are least, separate by purpose, and explain themselves."""

from __future__ import annotations

from typing import Any

import yaml

from cmhot.cluster.rights import roles, to_yaml


def granted(manifests: list[dict[str, Any]]) -> set[str]:
    """Write each verb of each rule as ``kind verb resource``."""
    return {
        f"{one['kind']} {verb} {resource}"
        for one in manifests
        for rule in one.get("rules", [])
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_least_role_stays_in_its_namespace() -> None:
    """Without more being asked for, nothing of the whole cluster is granted."""
    manifests = roles(namespace="n")

    assert [one["kind"] for one in manifests] == [
        *("ServiceAccount", "Role", "RoleBinding"),
    ]
    assert {one["metadata"]["namespace"] for one in manifests} == {"n"}
    assert granted(manifests) == {
        "Role get namespaces",
        "Role create configmaps",
        "Role patch configmaps",
        "Role get configmaps",
        "Role delete configmaps",
        "Role create deployments",
        "Role patch deployments",
        "Role list deployments",
        "Role delete deployments",
        "Role list pods",
        "Role watch pods",
        "Role patch pods",
        "Role get pods/log",
        "Role get pods/exec",
        "Role create pods/exec",
    }


def test_other_configmaps_are_out_of_reach() -> None:
    """Everything but making one, which has no name yet, is for our own ConfigMap."""
    (_, role, _) = roles(namespace="n")
    rules = [rule for rule in role["rules"] if rule["resources"] == ["configmaps"]]

    assert [(rule["verbs"], rule.get("resourceNames")) for rule in rules] == [
        (["create"], None),
        (["patch", "get", "delete"], ["cmhot-probe"]),
    ]


def test_the_proxy_is_never_granted_unasked() -> None:
    """`nodes/proxy` permits exec in every pod: only who names it gets it."""
    asked = roles(namespace="n", configz="proxy")
    others = roles(namespace="n", create_namespace=True, nodes=True, configz="kubelet")

    assert "ClusterRole get nodes/proxy" in granted(asked)
    assert not any("proxy" in one for one in granted(others))
    assert "ClusterRole get nodes/configz" in granted(others)


def test_each_purpose_is_a_cluster_role_of_its_own() -> None:
    """An administrator can grant one and refuse another."""
    manifests = roles(namespace="n", account="a", configz="kubelet")
    names = [one["metadata"]["name"] for one in manifests]

    assert names == [
        *("a", "a", "a"),
        *("cmhot-n-a-nodes", "cmhot-n-a-nodes"),
        *("cmhot-n-a-configz-kubelet", "cmhot-n-a-configz-kubelet"),
    ]


def test_creating_namespaces_widens_the_rest() -> None:
    """In a namespace that does not exist yet, only a ClusterRole can grant."""
    manifests = roles(namespace="n", create_namespace=True)

    assert [one["kind"] for one in manifests] == [
        *("ServiceAccount", "ClusterRole", "ClusterRoleBinding"),
    ]
    assert {
        "ClusterRole create namespaces",
        "ClusterRole delete namespaces",
        "ClusterRole create deployments",
    } <= granted(manifests)
    unasked = {"ClusterRole list namespaces", "ClusterRole list configmaps"}
    assert not unasked & granted(manifests)
    manifests = roles(namespace="n", create_namespace=True, clean=True)
    assert {
        *unasked,
        "ClusterRole list deployments",
    } <= granted(manifests)


def test_the_yaml_is_the_manifests_with_reasons() -> None:
    """What is printed reads back as what it was, comments apart."""
    manifests = roles(namespace="n", configz="kubelet", clean=True)

    text = to_yaml(manifests)

    assert list(yaml.safe_load_all(text)) == manifests
    assert "# patch: to write the updates\n" in text
    assert "&" not in text  # an alias would be hard to read
    rules = sum(len(one.get("rules", [])) for one in manifests)
    assert text.count("\n- apiGroups") == rules
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("- apiGroups"):
            assert lines[number - 1].startswith("# ")
