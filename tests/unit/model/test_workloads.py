"""Deployments, containers and their content on the model, as Kubernetes has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.cluster.model.workloads import RESTART_S, merged, variables_of
from cmhot.cluster.port import DEPLOYMENT, NAMESPACE, POD, SERVICE_ACCOUNT
from cmhot.errors import ClusterError, NotFoundError
from cmhot.kubelet.settings import Setting
from cmhot.kubelet.uses import CONFIG_MAP

if TYPE_CHECKING:
    from collections.abc import Mapping

Object = dict[str, Any]
FILE = "/etc/v/level"


def config_map(value: str, **more: object) -> Object:
    """Describe the ConfigMap ``m``."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "m"},
        "data": {"level": value},
        **more,
    }


def deployment(pods: int, **strategy: object) -> Object:
    """Describe the Deployment ``web``, whose pods take ``m`` in each way."""
    ref = {"configMapKeyRef": {"name": "m", "key": "level"}}
    container = {
        "name": "c",
        "env": [{"name": "LEVEL", "valueFrom": ref}],
        "volumeMounts": [
            {"name": "v", "mountPath": "/etc/v"},
            {"name": "v", "mountPath": "/etc/f", "subPath": "level"},
        ],
    }
    labels = {"app": "web"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": pods,
            "selector": {"matchLabels": labels},
            **({"strategy": strategy} if strategy else {}),
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [container],
                    "volumes": [{"name": "v", "configMap": {"name": "m"}}],
                },
            },
        },
    }


@pytest.fixture
def cluster() -> ModelCluster:
    """Have three pods that are Ready, on a node of 10 s."""
    made = ModelCluster([Setting(10)])
    made.apply(config_map("one"), namespace="n")
    made.apply(deployment(3), namespace="n")
    made.clock.sleep(3)
    return made


def pods(cluster: ModelCluster) -> list[Object]:
    """List the pods that are not going."""
    found = cluster.list(POD, namespace="n")[0]
    return [one for one in found if "deletionTimestamp" not in one["metadata"]]


def names(cluster: ModelCluster) -> set[str]:
    """Name them."""
    return {one["metadata"]["name"] for one in pods(cluster)}


def printed(cluster: ModelCluster, *command: str, pod: str = "web-0") -> str:
    """Run a command in a pod."""
    return cluster.run_in(pod, command, namespace="n", container="c")


def ready(cluster: ModelCluster) -> int:
    """Count what the Deployment has available."""
    status = cluster.get(DEPLOYMENT, "web", namespace="n")["status"]
    return int(status["availableReplicas"])


def touch_template(cluster: ModelCluster) -> None:
    """Let the Deployment roll out."""
    template = {"metadata": {"annotations": {"a": "b"}}}
    body = {"spec": {"template": template}}
    cluster.patch(DEPLOYMENT, "web", body, namespace="n")


def test_a_pod_takes_time_to_start() -> None:
    """Half a second after its creation it is pending, and cannot be looked into."""
    cluster = ModelCluster([Setting(10)])
    cluster.apply(config_map("one"), namespace="n")
    cluster.apply(deployment(1), namespace="n")
    cluster.clock.sleep(0.5)

    assert pods(cluster)[0]["status"]["phase"] == "Pending"
    with pytest.raises(ClusterError, match="is not running"):
        printed(cluster, "cat", FILE)


def test_a_volume_changes_and_the_rest_stays(cluster: ModelCluster) -> None:
    """S = 10 s: 17 s later the file is new; variable and subPath are of the start."""
    cluster.patch(CONFIG_MAP, "m", {"data": {"level": "two"}}, namespace="n")
    before = printed(cluster, "cat", FILE)
    cluster.clock.sleep(17)

    assert before == "one"
    assert printed(cluster, "cat", FILE) == "two"
    assert printed(cluster, "cat", "/etc/f") == "one"
    assert "LEVEL=one\n" in printed(cluster, "env")
    assert "LEVEL=one\0" in printed(cluster, "cat", "/proc/1/environ")


def test_a_restarted_container_reads_all_anew(cluster: ModelCluster) -> None:
    """While it is down nobody can look; then variable and subPath are new."""
    cluster.patch(CONFIG_MAP, "m", {"data": {"level": "two"}}, namespace="n")
    cluster.capture("web-0", ["kill", "1"], namespace="n", container="c")
    with pytest.raises(ClusterError, match="is not running"):
        printed(cluster, "env")
    cluster.clock.sleep(RESTART_S)

    assert printed(cluster, "cat", FILE) == "two"
    assert printed(cluster, "cat", "/etc/f") == "two"
    assert "LEVEL=two\n" in printed(cluster, "env")
    (status,) = cluster.get(POD, "web-0", namespace="n")["status"]["containerStatuses"]
    assert status["restartCount"] == 1


def test_the_stamp_of_a_volume_is_its_publication(cluster: ModelCluster) -> None:
    """It does not move until content changes, and then to a later instant."""
    first = printed(cluster, "stat", "-c", "%y", "/etc/v/..data")
    cluster.clock.sleep(40)
    again = printed(cluster, "stat", "-c", "%y", "/etc/v/..data")
    cluster.patch(CONFIG_MAP, "m", {"data": {"level": "two"}}, namespace="n")
    cluster.clock.sleep(17)
    later = printed(cluster, "stat", "-c", "%y", "/etc/v/..data")

    assert first.startswith("2026-01-01 00:00:00.")
    assert first == again
    assert first < later


def test_binary_data_become_files_and_no_variables() -> None:
    """Such as a logo in a map that a container takes whole by envFrom."""
    cluster = ModelCluster([Setting(10)])
    logo = {"logo.png": "iVBORw0="}
    cluster.apply(config_map("one", binaryData=logo), namespace="n")
    whole = deployment(1)
    (container,) = whole["spec"]["template"]["spec"]["containers"]
    container["envFrom"] = [{"configMapRef": {"name": "m"}}]
    cluster.apply(whole, namespace="n")
    cluster.clock.sleep(3)

    command = ["cat", "/etc/v/logo.png"]
    seen = cluster.capture("web-0", command, namespace="n", container="c")
    variables = printed(cluster, "env").splitlines()
    assert seen.output == b"\x89PNG\r"
    assert "level=one" in variables
    assert not any(line.startswith("logo.png") for line in variables)


def test_a_touched_pod_keeps_its_other_labels(cluster: ModelCluster) -> None:
    """What a patch does not name stays; what it sets to nothing goes."""
    body: Object = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}}
    cluster.patch(POD, "web-0", body, namespace="n")
    body = {"metadata": {"labels": {"a": None}, "annotations": {"e": "f"}}}

    meta = cluster.patch(POD, "web-0", body, namespace="n")["metadata"]

    assert meta["labels"].keys() == {"app", "pod-template-hash"}
    assert meta["annotations"] == {"c": "d", "e": "f"}


def test_a_write_of_the_same_content_is_no_publication(cluster: ModelCluster) -> None:
    """A kubelet compares what it would write with what is there."""
    first = printed(cluster, "stat", "-c", "%y", "/etc/v/..data")
    cluster.patch(CONFIG_MAP, "m", {"data": {"level": "one"}}, namespace="n")
    cluster.clock.sleep(40)

    assert printed(cluster, "stat", "-c", "%y", "/etc/v/..data") == first


def test_a_rollout_keeps_three_quarters(cluster: ModelCluster) -> None:
    """Of 10 pods 8 are available all the time, and at most 13 stay; all are others."""
    cluster.patch(DEPLOYMENT, "web", {"spec": {"replicas": 10}}, namespace="n")
    cluster.clock.sleep(5)
    old = names(cluster)
    touch_template(cluster)
    least, most = 10, 10
    for _ in range(100):
        cluster.clock.sleep(0.1)
        least, most = min(least, ready(cluster)), max(most, len(names(cluster)))

    # a quarter may be missing, rounded down; a quarter may be more, rounded up
    assert (least, most) == (8, 13)
    assert len(names(cluster)) == 10
    assert not names(cluster) & old


def test_a_recreate_strategy_has_no_pods_in_between(cluster: ModelCluster) -> None:
    """New ones are made when the last old one has gone."""
    cluster.apply(deployment(3, type="Recreate"), namespace="n")
    touch_template(cluster)
    cluster.clock.sleep(0.5)
    between = names(cluster)
    cluster.clock.sleep(5)

    assert between == set()
    assert names(cluster) == {"web-3", "web-4", "web-5"}


def test_scaled_to_nothing_and_back(cluster: ModelCluster) -> None:
    """The pods end after their grace of 1 s; those made anew have other names."""
    cluster.patch(DEPLOYMENT, "web", {"spec": {"replicas": 0}}, namespace="n")
    cluster.clock.sleep(0.5)
    going = cluster.list(POD, namespace="n")[0]
    cluster.clock.sleep(2)
    gone = cluster.list(POD, namespace="n")[0]
    cluster.patch(DEPLOYMENT, "web", {"spec": {"replicas": 2}}, namespace="n")
    cluster.clock.sleep(3)

    assert all("deletionTimestamp" in one["metadata"] for one in going)
    assert gone == []
    assert names(cluster) == {"web-3", "web-4"}
    assert printed(cluster, "cat", FILE, pod="web-4") == "one"


def test_a_pod_that_has_gone_is_synced_no_more(cluster: ModelCluster) -> None:
    """Its kubelet forgets it."""
    cluster.delete(POD, "web-0", namespace="n")
    cluster.clock.sleep(3)
    kubelet = cluster._nodes[0].kubelet
    cluster.log("web-1", namespace="n", container="c")

    assert names(cluster) == {"web-1", "web-2", "web-3"}
    assert len(kubelet.pods) == 3


def test_what_is_immutable_stays_in_its_pods(cluster: ModelCluster) -> None:
    """It cannot be changed; made anew, only a new pod has the new content."""
    cluster.delete(CONFIG_MAP, "m", namespace="n")
    cluster.apply(config_map("two", immutable=True), namespace="n")
    touch_template(cluster)
    cluster.clock.sleep(10)
    pod = min(names(cluster))
    with pytest.raises(ClusterError, match="immutable") as refused:
        cluster.patch(CONFIG_MAP, "m", {"data": {"level": "x"}}, namespace="n")
    cluster.delete(CONFIG_MAP, "m", namespace="n")
    cluster.apply(config_map("three", immutable=True), namespace="n")
    cluster.clock.sleep(20)
    cluster.capture(pod, ["kill", "1"], namespace="n", container="c")
    cluster.clock.sleep(20)
    kept = printed(cluster, "cat", FILE, pod=pod)
    cluster.delete(POD, pod, namespace="n")
    cluster.clock.sleep(5)

    assert refused.value.status == 422
    assert kept == "two"
    new = max(names(cluster), key=lambda name: int(name.rpartition("-")[2]))
    assert printed(cluster, "cat", FILE, pod=new) == "three"


def test_a_selector_cannot_change(cluster: ModelCluster) -> None:
    """As in the API: who has other pods in mind wants another Deployment."""
    before = cluster.get(DEPLOYMENT, "web", namespace="n")["spec"]
    other = deployment(3)
    other["spec"]["selector"] = {"matchLabels": {"app": "other"}}

    with pytest.raises(ClusterError, match="selector is immutable") as refused:
        cluster.apply(other, namespace="n")

    assert refused.value.status == 422
    assert cluster.get(DEPLOYMENT, "web", namespace="n")["spec"] == before


def test_a_namespace_goes_with_all_that_is_in_it() -> None:
    """It comes with an account, without which no pod is made."""
    cluster = ModelCluster([Setting(10)])
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    cluster.apply(namespace)
    account = cluster.get(SERVICE_ACCOUNT, "default", namespace="n")
    cluster.apply(config_map("one"), namespace="n")
    cluster.apply(deployment(2), namespace="n")
    cluster.clock.sleep(3)
    cluster.delete(NAMESPACE, "n")
    cluster.clock.sleep(3)

    assert account["metadata"]["name"] == "default"
    assert cluster.list(POD)[0] == []
    for kind, name in ((NAMESPACE, "n"), (CONFIG_MAP, "m"), (DEPLOYMENT, "web")):
        with pytest.raises(NotFoundError):
            cluster.get(kind, name, namespace="n")


def test_a_stale_version_is_refused(cluster: ModelCluster) -> None:
    """As the API server refuses it: 409."""
    body = {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 0}}
    with pytest.raises(ClusterError, match="modified") as refused:
        cluster.patch(DEPLOYMENT, "web", body, namespace="n")

    assert refused.value.status == 409


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": "1", "b": "2"}, {"a": "3"}, {"a": "3", "b": "2"}),
        ({"a": "1"}, {"a": None}, {}),
        ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": "1"}, {"a": {"b": None}}, {"a": {}}),
    ],
    ids=["set", "remove", "nested", "list", "not-an-object"],
)
def test_a_merge_patch(
    old: Mapping[str, Any], new: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    """RFC 7386, appendix A."""
    assert merged(dict(old), dict(new)) == expected


def test_variables_of_a_service() -> None:
    """As `kubectl exec … env` shows those of a Service with one port."""
    service = {
        "metadata": {"name": "my-db"},
        "spec": {"clusterIP": "10.0.0.7", "ports": [{"port": 80}]},
    }

    assert variables_of(service) == {
        "MY_DB_SERVICE_HOST": "10.0.0.7",
        "MY_DB_SERVICE_PORT": "80",
        "MY_DB_PORT": "tcp://10.0.0.7:80",
        "MY_DB_PORT_80_TCP": "tcp://10.0.0.7:80",
        "MY_DB_PORT_80_TCP_PROTO": "tcp",
        "MY_DB_PORT_80_TCP_PORT": "80",
        "MY_DB_PORT_80_TCP_ADDR": "10.0.0.7",
    }
    headless = {**service, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}
    assert variables_of(headless) == {}


def test_what_a_request_gives_is_the_callers(cluster: ModelCluster) -> None:
    """A change of it changes neither the pods nor the Deployment's template."""
    template = cluster.get(DEPLOYMENT, "web", namespace="n")["spec"]["template"]
    for pod in pods(cluster):
        pod["spec"]["containers"][0]["env"].clear()
        pod["metadata"]["labels"].clear()

    after = cluster.get(DEPLOYMENT, "web", namespace="n")["spec"]["template"]
    assert after == template
    assert all(pod["spec"]["containers"][0]["env"] for pod in pods(cluster))
    assert all("app" in pod["metadata"]["labels"] for pod in pods(cluster))


def test_the_successor_of_a_deleted_pod_does_not_wait_for_its_end() -> None:
    """A ReplicaSet counts pods that are ending as gone."""
    cluster = ModelCluster([Setting(10)])
    patient = deployment(2)
    patient["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 60
    cluster.apply(patient, namespace="n")
    cluster.clock.sleep(3)
    cluster.delete(POD, "web-0", namespace="n")
    cluster.clock.sleep(3)

    assert names(cluster) == {"web-1", "web-2"}
    assert ready(cluster) == 2


def test_an_ephemeral_container_sees_the_one_that_it_is_beside(
    cluster: ModelCluster,
) -> None:
    """Its files below /proc/1/root, and the environment of its first process."""
    beside = {"name": "look", "targetContainerName": "c", "env": []}
    cluster.add_ephemeral("web-0", beside, namespace="n")
    cluster.clock.sleep(5)

    def look(*command: str) -> str:
        return cluster.run_in("web-0", command, namespace="n", container="look")

    assert look("cat", f"/proc/1/root{FILE}") == "one"
    assert look("ls", "-Ap", "/proc/1/root/etc/v") == "level\n"
    assert "LEVEL=one\0" in look("cat", "/proc/1/environ")
    assert "LEVEL" not in look("cat", "/proc/self/environ")


def test_a_volume_that_misses_a_key_stays_as_it_was() -> None:
    """Another key's update comes only once the missing one is back."""
    cluster = ModelCluster([Setting(10)])
    items = [{"key": key, "path": key} for key in ("level", "other")]
    one = deployment(1)
    one["spec"]["template"]["spec"]["volumes"][0]["configMap"]["items"] = items
    cluster.apply(config_map("one", data={"level": "one", "other": ""}), namespace="n")
    cluster.apply(one, namespace="n")
    cluster.clock.sleep(3)
    cluster.patch(
        CONFIG_MAP, "m", {"data": {"level": "two", "other": None}}, namespace="n"
    )
    cluster.clock.sleep(30)
    missing = printed(cluster, "cat", FILE)
    cluster.patch(CONFIG_MAP, "m", {"data": {"other": "x"}}, namespace="n")
    cluster.clock.sleep(30)

    assert missing == "one"
    assert printed(cluster, "cat", FILE) == "two"


def test_of_projected_sources_the_later_wins_in_a_pod_too() -> None:
    """And of ``env``, what comes after."""
    cluster = ModelCluster([Setting(10)])
    cluster.apply(config_map("one"), namespace="n")
    later = {**config_map("later"), "metadata": {"name": "z"}}
    cluster.apply(later, namespace="n")
    one = deployment(1)
    spec = one["spec"]["template"]["spec"]
    sources = [{"configMap": {"name": name}} for name in ("m", "z")]
    spec["volumes"] = [{"name": "v", "projected": {"sources": sources}}]
    (container,) = spec["containers"]
    container["env"] += [{"name": "LEVEL", "value": "$(LEVEL), once"}]
    cluster.apply(one, namespace="n")
    cluster.clock.sleep(3)

    assert printed(cluster, "cat", FILE) == "later"
    assert "LEVEL=one, once\n" in printed(cluster, "env")
