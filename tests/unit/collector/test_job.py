"""The Job that measures from within, and the image that it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from cmhot.cli.measure import collect
from cmhot.collector.job import arguments, make_job
from cmhot.errors import UsageError
from cmhot.runs.plan import Plan

ROOT = Path(__file__).parents[3]

PLAN = Plan(
    namespace="n",
    pods=3,
    duration_s=60,
    gap_s=0.5,
    seed=7,
    probe_image="busybox",
    setting="sync=10s",
    node_selector=("pool=a", "zone=b"),
    tolerations=("gpu",),
    image_pull_secret="s",  # noqa: S106 - a Secret's name
    node_labels=("pool", "zone"),
)


def job_of(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the pod's specification of the Job among the manifests."""
    (found,) = [one for one in manifests if one["kind"] == "Job"]
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


def test_the_options_are_the_plan() -> None:
    """What the Job runs is read by `cmhot collect` as the same plan."""
    context = click.Context(collect)
    parsed, _, _ = collect.make_parser(context).parse_args(arguments(PLAN))

    assert parsed["namespace"] == "n"
    assert (parsed["pods"], parsed["duration"]) == ("3", "60s")
    assert (parsed["gap"], parsed["seed"]) == ("0.5s", "7")
    assert parsed["probe_image"] == "busybox"
    assert parsed["setting"] == "sync=10s"
    assert list(parsed["node_selector"]) == ["pool=a", "zone=b"]
    assert list(parsed["tolerations"]) == ["gpu"]
    assert parsed["image_pull_secret"] == "s"  # noqa: S105 - a Secret's name
    assert list(parsed["node_labels"]) == ["pool", "zone"]


def test_a_default_plan_needs_few_options() -> None:
    """What is not asked for is left to the defaults."""
    assert arguments(Plan(namespace="n")) == [
        *("--pods", "20", "--duration", "180s", "--seed", "1", "--namespace", "n"),
    ]


def test_the_pod_passes_restricted() -> None:
    """No root, no privilege, nothing writable but its volumes."""
    spec = job_of(make_job(PLAN, image="i"))
    (container,) = spec["containers"]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["restartPolicy"] == "Never"
    assert spec["imagePullSecrets"] == [{"name": "s"}]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_the_run_goes_to_the_claim_or_to_the_log() -> None:
    """A claim takes the run directory; without one the log has it."""
    kept = job_of(make_job(PLAN, image="i", claim="c"))
    told = job_of(make_job(PLAN, image="i"))

    claim = {"claimName": "c"}
    assert kept["volumes"][0] == {"name": "runs", "persistentVolumeClaim": claim}
    assert told["volumes"][0] == {"name": "runs", "emptyDir": {}}
    assert "--print-run" not in kept["containers"][0]["args"]
    assert "--print-run" in told["containers"][0]["args"]


def test_its_account_has_the_least_role() -> None:
    """Rights in the whole cluster only where they are asked for."""
    kinds = [one["kind"] for one in make_job(PLAN, image="i")]
    more = [one["kind"] for one in make_job(PLAN, image="i", configz="kubelet")]

    assert kinds == ["ServiceAccount", "Role", "RoleBinding", "Job"]
    assert more.count("ClusterRole") == 2


def test_it_needs_a_namespace() -> None:
    """A Job cannot live in the namespace that it would make."""
    with pytest.raises(UsageError, match="--namespace"):
        make_job(Plan(), image="i")


def test_the_dockerfile_copies_what_the_package_is_built_of() -> None:
    """Each path that it copies exists, and all that the build names is copied."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [
        path
        for line in lines
        if line.startswith("COPY ")
        for path in line.split()[1:-1]
    ]

    assert all((ROOT / path).exists() for path in copied)
    assert {
        *("requirements.lock", "pyproject.toml", "README.md", "LICENSE"),
        *("data/LICENSE", "notebooks", "cmhot"),
    } == set(copied)
    assert "USER 65532:65532" in lines
