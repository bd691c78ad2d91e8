"""The testbed as a cluster of somebody else's: least rights, and what is left there.

It is reached through a kubeconfig whose user is a service account,
by what `cmhot rbac` prints; and from a pod of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import cmhot
from benchmarks.common import CLOCK, fresh_namespace, has_namespace, wait_until
from cmhot.cluster import rights
from cmhot.cluster.client import Kube, connect
from cmhot.cluster.port import DEPLOYMENT, MANAGED_BY, NAMESPACE, POD
from cmhot.cluster.probe import RUN_LABEL
from cmhot.cluster.rights import roles
from cmhot.collector.job import RUNS, make_job
from cmhot.collector.preflight import suitability
from cmhot.errors import NotFoundError
from cmhot.kubelet.uses import CONFIG_MAP, Kind
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_run
from tests.testbed import inside
from tests.testbed.accounts import CONTEXT, write_kubeconfig
from tests.testbed.command import ROOT, run, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cmhot.cluster.port import Cluster
    from cmhot.cluster.testbed.status import Status
    from tests.testbed.conftest import Collected

NODE = "sync-2s-watch"
ON_ONE_NODE = ("--node-selector", f"kubernetes.io/hostname={NODE}")
SOON_S = 10.0
"""For the API server's authoriser to see a changed Role: a watch event, some 0.1 s."""
JOB = Kind("batch/v1", "jobs")


@dataclass(frozen=True, slots=True)
class Foreign:
    """A namespace of somebody else's, and our account in it.

    Attributes
    ----------
    namespace
        It demands what Pod Security calls restricted.
    kubeconfig
        Of the account; it has no current context.
    """

    namespace: str
    kubeconfig: Path

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run ``cmhot`` as the account."""
        return run(*arguments, environment={"KUBECONFIG": str(self.kubeconfig)})

    def missing(self, plan: Plan | None = None) -> set[str]:
        """Name the checks that fail."""
        cluster = connect(
            target=f"context:{CONTEXT}", context=CONTEXT, kubeconfig=self.kubeconfig
        )
        plan = plan or Plan(namespace=self.namespace)
        return {check.name for check in suitability(cluster, plan) if not check.ok}


@pytest.fixture(scope="module")
def foreign(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Foreign]:
    """Make a namespace, and an account with what `cmhot rbac` prints for it."""
    path = tmp_path_factory.mktemp("foreign") / "kubeconfig"
    with fresh_namespace(cluster, "theirs") as name:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        cluster.patch(NAMESPACE, name, {"metadata": {"labels": labels}})
        code, output, _ = run("rbac", "--namespace", name)
        assert code == 0
        cmhot.apply(cluster, output)
        write_kubeconfig(cluster, path, namespace=name, account="cmhot")
        yield Foreign(name, path)


def test_the_least_role_is_enough_for_a_whole_run(
    cluster: Cluster, foreign: Foreign, testbed: Status, tmp_path: Path
) -> None:
    """With --namespace and --setting, all that `cmhot rbac` prints is all it takes."""
    cmhot.apply(cluster, roles(namespace=foreign.namespace))
    assert wait_until(lambda: not foreign.missing(), deadline_s=SOON_S)
    image = str(testbed.to_dict()["probe_image"])
    where = ("--context", CONTEXT, "--namespace", foreign.namespace)
    options = (*ON_ONE_NODE, "--probe-image", image, "--setting", "sync=2s")

    asked = foreign.run("doctor", *where, *options, "--pods", "2", "--json")
    code, output, messages = foreign.run(
        *("collect", *where, *options, "--pods", "2", "--duration", "4s"),
        *("--out", str(tmp_path)),
    )

    assert asked[0] == 0, asked
    said = {check["name"]: check["detail"] for check in json.loads(asked[1])["checks"]}
    assert said["setting of all nodes"] == "2 s, Watch (given)"
    assert code == 0, messages
    left = read_run(Path(output.strip()))
    assert left.meta["status"] == "complete"
    known = left.meta["settings"][NODE]
    assert (known["sync_frequency_s"], known["source"]) == (2, "given")
    assert list(left.meta["settings"]) == [NODE]
    rows = cmhot_delays(left.path)
    assert set(rows["status"]) == {"observed"}
    for kind in (DEPLOYMENT, CONFIG_MAP):
        found, _ = cluster.list(kind, namespace=foreign.namespace, labels=MANAGED_BY)
        assert found == []
    assert has_namespace(cluster, foreign.namespace)


def cmhot_delays(path: Path) -> Any:  # noqa: ANN401 - a DataFrame
    """Read the table of delays."""
    import pandas as pd  # noqa: PLC0415 - here only

    return pd.read_parquet(path / "delays.parquet")


@pytest.mark.parametrize("right", rights.for_collection("theirs"), ids=str)
def test_a_missing_rule_is_named(
    cluster: Cluster, foreign: Foreign, right: rights.Right
) -> None:
    """Whatever one right is taken away, doctor names that one, and no other."""
    account, role, binding = roles(namespace=foreign.namespace)
    for rule in role["rules"]:
        if is_granted_by(rule, right):
            rule["verbs"].remove(right.verb)
    role["rules"] = [rule for rule in role["rules"] if rule["verbs"]]
    name = str(right).replace("theirs", foreign.namespace)

    cmhot.apply(cluster, [account, role, binding])

    assert wait_until(
        lambda: foreign.missing() == {f"right to {name}"}, deadline_s=SOON_S
    ), foreign.missing()


def is_granted_by(rule: dict[str, Any], right: rights.Right) -> bool:
    """Tell whether a rule of a Role is where a right comes from."""
    return (
        rule["apiGroups"] == [right.group]
        and rule["resources"] == [right.resource]
        and ("resourceNames" in rule) == (right.name is not None)
        and right.verb in rule["verbs"]
    )


def test_without_rights_in_the_cluster_no_namespace_is_made(foreign: Foreign) -> None:
    """What a namespace of its own needs is not in the Role of an existing one."""
    missing = foreign.missing(Plan())

    assert {
        *("right to create namespaces", "right to delete namespaces"),
        *("right to delete namespaces", "right to create deployments.apps"),
    } <= missing


def is_going(cluster: Cluster, namespace: str) -> bool:
    """Tell whether a namespace is gone, or will be when its pods are."""
    try:
        meta = cluster.get(NAMESPACE, namespace)["metadata"]
    except NotFoundError:
        return True
    return "deletionTimestamp" in meta


def test_clean_removes_what_a_killed_collection_left(
    cluster: Cluster, testbed: Status, tmp_path: Path
) -> None:
    """It finds the run's namespace, asks, and leaves those that only look like ours."""
    target = ("--target", f"testbed:{testbed.name}")
    assert isinstance(cluster, Kube)
    labels = {**MANAGED_BY, RUN_LABEL: "copied"}
    copied = {"metadata": {"name": "copied-labels", "labels": labels}}
    # else the name of our program would be that of the manager
    by = {"fieldManager": "somebody"}
    cluster._json("POST", "/api/v1/namespaces", body=copied, query=by)
    command = ("collect", *target, *ON_ONE_NODE, "--pods", "1", "--duration", "60s")

    def own() -> list[str]:
        listed, _ = cluster.list(NAMESPACE, labels=MANAGED_BY)
        found = [one["metadata"] for one in listed]
        return [meta["name"] for meta in found if meta["name"].startswith("cmhot-2")]

    try:
        with start(*command, "--out", str(tmp_path)) as running:
            assert wait_until(own, deadline_s=30)
            CLOCK.sleep(0.5)  # in the middle of creating the rest, or after
            running.process.send_signal(signal.SIGKILL)
            running.process.wait()
        (name,) = own()

        unasked = run("clean", *target)
        code, output, messages = run("clean", *target, "--yes")

        assert unasked[0] == 2
        assert "say --yes" in unasked[2]
        assert f"namespaces/{name}, of run " in unasked[1]
        assert (code, messages) == (0, "")
        assert output.endswith("removed 1\n")
        assert is_going(cluster, name)
        assert not is_going(cluster, "copied-labels")
        assert run("clean", *target)[1] == "nothing of ours is left\n"
    finally:
        cluster.delete(NAMESPACE, "copied-labels")


def test_the_image_holds_what_a_collection_needs() -> None:
    """Python, packages and libraries: no tests, no caches, nobody's files."""
    placed = dict(inside.files(inside.needed()))

    ours = [ROOT / "cmhot", Path(sys.base_prefix), inside.site_packages()]
    for place, file in placed.items():
        assert not {"tests", "__pycache__", ".git"} & set(place.parts), place
        is_library = ".so" in file.name or file.name.startswith("ld-")
        assert is_library or any(file.is_relative_to(one) for one in ours), file
    assert {"python3", "libc.so.6", "METADATA"} <= {place.name for place in placed}
    # the Dockerfile's image is larger: it has JupyterLab as well
    assert sum(file.stat().st_size for file in placed.values()) < 500e6


def test_a_job_measures_from_within(
    cluster: Cluster, namespace: str, testbed: Status, tmp_path: Path
) -> None:
    """By its service account, with the settings that the kubelets themselves tell it.

    `nodes/configz` is enough for that; `nodes/proxy` is not granted.
    Its image is made of the files of this machine, and its log brings the run home.
    """
    inside.put_on(testbed.name, [NODE])
    image = str(testbed.to_dict()["probe_image"])
    plan = Plan(
        namespace=namespace,
        pods=1,
        duration_s=3,
        probe_image=image,
        node_selector=(f"kubernetes.io/hostname={NODE}",),
    )
    manifests = make_job(plan, image=inside.NAME, configz="kubelet")
    # half a gigabyte, which the other nodes have not
    manifests[-1]["spec"]["template"]["spec"]["nodeName"] = NODE
    cluster_wide = [one for one in manifests if one["kind"].startswith("ClusterRole")]

    def ended() -> list[str]:
        status = cluster.get(JOB, "cmhot", namespace=namespace)["status"]
        return [found["type"] for found in status.get("conditions") or []]

    def said() -> str:
        pods, _ = cluster.list(POD, namespace=namespace, labels={"job-name": "cmhot"})
        return cluster.log(
            pods[0]["metadata"]["name"], namespace=namespace, container="collect"
        )

    try:
        cmhot.apply(cluster, manifests)
        # Python starts from an image without compiled files, on a busy machine
        assert wait_until(ended, deadline_s=120, poll_s=0.5)
        assert "Complete" in ended(), said()
    finally:
        for one in cluster_wide:
            plural = f"{one['kind'].lower()}s"
            kind = Kind(one["apiVersion"], plural, namespaced=False)
            cluster.delete(kind, one["metadata"]["name"])

    where = ("--target", f"testbed:{testbed.name}", "--namespace", namespace)
    code, output, messages = run(
        "collect", "--fetch", "cmhot", *where, "--out", str(tmp_path)
    )
    assert code == 0, messages
    path = Path(output.strip())
    assert f"{RUNS}/{path.name}" in said()
    meta = read_run(path).meta
    assert (meta["target"], meta["status"]) == ("in-cluster", "complete")
    known = meta["settings"][NODE]
    assert (known["source"], known["sync_frequency_s"]) == ("configz", 2)
    assert os.environ.get("KUBERNETES_SERVICE_HOST") is None
    text = (path / "run.json").read_text()
    assert "KUBERNETES_SERVICE" not in text


def test_what_nobody_told_is_inferred(collected: Collected, tmp_path: Path) -> None:
    """Real kubelets' syncs show the `syncFrequency` of each, to the second."""
    path = tmp_path / "silent"
    shutil.copytree(collected.run.path, path)
    meta = json.loads((path / "run.json").read_text())
    known = {entry["sync_frequency_s"] for entry in meta["settings"].values()}
    nothing = dict.fromkeys(("sync_frequency_s", "strategy", "ttl_s"))
    for node in meta["settings"]:
        meta["settings"][node] |= {**nothing, "source": "unknown"}
    (path / "run.json").write_text(json.dumps(meta))

    # whether a busy machine disturbed the run is not asked here
    code, output, messages = run("summarise", str(path), "--json", "--force")

    assert code == 0, messages
    found = json.loads(output)["settings"]
    assert {own["setting_source"] for own in found} == {"inferred"}
    assert [own["sync_frequency_s"] for own in found] == sorted(known)
    assert all(own["law"]["mean_s"] > 0 for own in found)


def test_pools_of_nodes_are_summarised_apart(collected: Collected) -> None:
    """The testbed's own label names the setting, so it splits no further than that."""
    command = ("summarise", str(collected.run.path), "--json", "--force", "--by")
    label = "cmhot.dev/setting"

    code, output, messages = run(*command, label)
    refused = run(*command, "pool")

    assert code == 0, messages
    found = [own["by"][label] for own in json.loads(output)["settings"]]
    assert sorted(found) == [
        "sync-10s.watch.ttl-0",
        "sync-2s.cache.ttl-0",
        "sync-2s.get.ttl-0",
        "sync-2s.watch.ttl-0",
    ]
    assert refused[0] == 2
    assert "cmhot.dev/kubelet, cmhot.dev/setting, kubernetes.io/arch" in refused[2]


def test_what_rbac_prints_can_be_applied(cluster: Cluster, namespace: str) -> None:
    """Every form of it is accepted by a real API server."""
    _, output, _ = run(
        *("rbac", "--namespace", namespace, "--create-namespace"),
        *("--configz", "proxy", "--clean"),
    )
    manifests = list(yaml.safe_load_all(output))

    stored = cmhot.apply(cluster, manifests)

    assert len(stored) == len(manifests) == 7
    for one in manifests:
        if one["kind"].startswith("ClusterRole"):
            plural = f"{one['kind'].lower()}s"
            kind = Kind(one["apiVersion"], plural, namespaced=False)
            cluster.delete(kind, one["metadata"]["name"])
