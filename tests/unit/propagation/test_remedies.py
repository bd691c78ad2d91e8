"""What can help: by the owner, its way to replace pods, and what was tried."""

from __future__ import annotations

import pytest

from cmhot.propagation.remedies import Shell, to_bring_in, to_finish, ways
from cmhot.propagation.workload import (
    Replacement,
    Workload,
    owner_of,
    replacement_of,
)

SHELL = Shell("context:prod", "shop")
WEB = Workload("Deployment", "web")
DB = Workload("StatefulSet", "db")
AGENT = Workload("DaemonSet", "agent")
PROMETHEUS = Workload("Prometheus", "k8s", "monitoring.coreos.com")
FOREIGN = Workload("StatefulSet", "search", "apps.kruise.io")
JOB = Workload("Job", "migrate")
POD = {"metadata": {"name": "p"}, "spec": {}}
ON_DELETE = Replacement("OnDelete")
ROLLOUT = "cmhot refresh deployment/web --method rollout --context prod -n shop"
DELETE = "kubectl --context prod -n shop delete pod p"


def owned(version: str, kind: str, name: str, **labels: str) -> Workload:
    """Name the owner of a pod with this controller, which may always be believed."""
    controller = {"apiVersion": version, "kind": kind, "name": name, "controller": True}
    meta = {"name": "p", "labels": labels, "ownerReferences": [controller]}
    return owner_of({"metadata": meta}, lambda _: True)


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (owned("apps/v1", "ReplicaSet", "web-5f", **{"pod-template-hash": "5f"}), WEB),
        # an Argo Rollout's has another label, a bare one has none
        (owned("apps/v1", "ReplicaSet", "web-5f"), Workload("ReplicaSet", "web-5f")),
        (owned("apps.kruise.io/v1beta1", "StatefulSet", "search"), FOREIGN),
        (owned("batch/v1", "Job", "nightly-29401234"), Workload("CronJob", "nightly")),
        (
            owned("batch/v1", "Job", "report-20261130"),
            Workload("Job", "report-20261130"),
        ),
        (owned("v1", "Node", "n"), Workload("Node", "n")),
    ],
    ids=str,
)
def test_whose_pod_it_is(owner: Workload, expected: Workload) -> None:
    """By API group, kind and name, and by the label that Deployments give."""
    assert owner == expected


def test_owners_are_named_as_kubectl_takes_them() -> None:
    """With the group where the kind is somebody else's."""
    assert str(FOREIGN) == "statefulset.apps.kruise.io/search"
    assert str(DB) == "statefulset/db"


@pytest.mark.parametrize(
    ("owner", "replacement", "expected"),
    [
        (WEB, None, ("annotate", "rollout", "recreate")),
        (AGENT, None, ("annotate", "rollout")),
        (AGENT, ON_DELETE, ("annotate", "delete")),
        (DB, ON_DELETE, ("annotate", "delete", "recreate")),
        (DB, Replacement(partition=2), ("annotate", "delete", "recreate")),
        (WEB, Replacement(paused=True), ("annotate", "delete", "recreate")),
        (FOREIGN, None, ("annotate", "delete")),
        (Workload("ReplicaSet", "web-5f"), None, ("annotate", "delete")),
        # a lost try, a pod that nobody makes again, a file of the node
        (JOB, None, ("annotate",)),
        (Workload("CronJob", "nightly"), None, ("annotate",)),
        (Workload("Pod", "p"), None, ("annotate",)),
        (Workload("Node", "n"), None, ("annotate",)),
    ],
    ids=str,
)
def test_ways_that_bring_it_into_all_pods(
    owner: Workload, replacement: Replacement | None, expected: tuple[str, ...]
) -> None:
    """A rollout only where it reaches every pod; never one that loses something."""
    assert ways(owner, replacement, syncs=True) == expected
    assert ways(owner, replacement, syncs=False) == expected[1:]
    assert ways(owner, replacement, syncs=True, restarts=False) == ("annotate",)


@pytest.mark.parametrize(
    ("owner", "replacement", "tried", "words", "command"),
    [
        (WEB, None, (), "", ROLLOUT),
        (WEB, None, ("rollout",), "one after the other", DELETE),
        (WEB, None, ("rollout", "delete"), "look by hand", ""),
        (AGENT, ON_DELETE, (), "(OnDelete); one after the other", DELETE),
        (DB, Replacement(partition=1), (), "below 1 as they are", DELETE),
        (
            DB,
            Replacement(operator=PROMETHEUS),
            (),
            "belongs to prometheus.monitoring.coreos.com/k8s, which may undo",
            "kubectl --context prod -n shop rollout restart statefulset/db",
        ),
        (DB, Replacement(operator=PROMETHEUS), ("rollout",), "one after", DELETE),
        (
            FOREIGN,
            None,
            (),
            "what statefulset.apps.kruise.io/search has",
            DELETE,
        ),
        (Workload("ReplicaSet", "rs"), None, (), "replicaset/rs makes another", DELETE),
        (JOB, None, (), "counts as a failed try", ""),
        (Workload("CronJob", "nightly"), None, (), "the next run of cronjob/", ""),
        (Workload("Pod", "p"), None, (), "save its manifest", ""),
        (Workload("Node", "n"), None, (), "a file of its node", ""),
    ],
    ids=str,
)
def test_what_replaces_a_pod(
    owner: Workload,
    replacement: Replacement | None,
    tried: tuple[str, ...],
    words: str,
    command: str,
) -> None:
    """Never by what was tried; no circle; and what it costs is said."""
    found = to_bring_in(
        owner, POD, shell=SHELL, replacement=replacement, syncs=False, tried=tried
    )

    assert words in found.words
    assert found.command == command


def test_somebody_elses_pod_that_runs_once_is_not_deleted() -> None:
    """Whether it would be made again cannot be known."""
    once = {**POD, "spec": {"restartPolicy": "Never"}}
    owner = Workload("Workflow", "build", "argoproj.io")

    found = to_bring_in(owner, once, shell=SHELL, syncs=False)

    assert found.command == ""
    assert "let that make another" in found.words


@pytest.mark.parametrize(
    ("target", "ours", "kubectl"),
    [
        ("context:a b", "--context 'a b' -n n", "kubectl --context 'a b' -n n"),
        (
            "testbed",
            "--target testbed -n n",
            'kubectl --kubeconfig "$(cmhot testbed kubeconfig)" -n n',
        ),
        (
            "testbed:x",
            "--target testbed:x -n n",
            'kubectl --kubeconfig "$(cmhot testbed kubeconfig --name x)" -n n',
        ),
        ("in-cluster", "--target in-cluster -n n", "kubectl -n n"),
    ],
)
def test_a_command_can_be_pasted(target: str, ours: str, kubectl: str) -> None:
    """Target, context and namespace stand in it; each touch has a value of its own."""
    shell = Shell(target, "n")
    touch = to_bring_in(Workload("Pod", "p"), POD, shell=shell, syncs=True)
    refresh = to_bring_in(WEB, POD, shell=shell, syncs=True)

    assert touch.command == (
        f"{kubectl} annotate --overwrite pod p cmhot.dev/refreshed=$(date +%s)"
    )
    assert refresh.command == (f"cmhot refresh deployment/web --method annotate {ours}")


@pytest.mark.parametrize(
    ("spec", "words", "verb"),
    [
        ({}, "wait for it", "rollout status"),
        ({"paused": True}, "resume it", "rollout resume"),
        ({"updateStrategy": {"type": "OnDelete"}}, "until each is deleted", ""),
        (
            {"updateStrategy": {"rollingUpdate": {"partition": 2}}},
            "below 2 as they are",
            "",
        ),
    ],
)
def test_how_pods_of_an_older_template_go(
    spec: dict[str, object], words: str, verb: str
) -> None:
    """`kubectl rollout status` is an error under OnDelete."""
    replacement = replacement_of({"metadata": {"name": "db"}, "spec": spec})

    found = to_finish(DB, replacement, shell=SHELL)

    assert words in found.words
    assert (f"{verb} statefulset/db" in found.command) == bool(verb)


def test_who_controls_a_workload() -> None:
    """Its own reference says so."""
    reference = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Prometheus",
        "name": "k8s",
        "controller": True,
    }
    found = {"metadata": {"ownerReferences": [reference]}, "spec": {}}

    assert replacement_of(found) == Replacement(operator=PROMETHEUS)
