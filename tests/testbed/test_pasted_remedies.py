"""What helps is pasted into a shell as it is printed, and then `wait` exits with 0.

Situations that people met, each small and in a namespace of its own, side by side on
one testbed. Where no command helps without a loss, the remedy is words: then somebody
does what they say. What `explain` advises is what `wait` does.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.common import CLOCK, await_ready, fresh_namespace, wait_until
from cmhot.cluster.port import DEPLOYMENT, NODE, POD
from cmhot.cluster.testbed.image import IMAGE_NAME
from cmhot.kubelet.uses import CONFIG_MAP
from cmhot.kubelet.view import read_environ
from cmhot.propagation.explain import explain
from cmhot.propagation.remedies import PUT_BACK
from cmhot.propagation.wait import RESTART_S, wait
from studies.fault_runs import KUBELET, send
from tests.testbed.command import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cmhot.cluster.port import Cluster
    from cmhot.cluster.testbed.status import Status
    from cmhot.kubelet.uses import Kind
    from cmhot.propagation.wait import Waited

Object = dict[str, Any]
pytestmark = pytest.mark.usefixtures("kubectl")
AT_ONCE = 6
READY_S = 90.0
SOON_S = 1.0
"""Time for the first wait: it is to end with what lags behind."""
LATER_S = 45.0
"""Time for those after it: pods are replaced, or a blocked volume is tried again."""
UNREADY_S = 90.0
"""For a Node whose kubelet is stopped to be told NotReady: some 50 s."""
MOST_ROUNDS = 4
COMMAND = re.compile(r"(?:^|: )((?:cmhot|kubectl) .+)$")


# -- what is made --------------------------------------------------------------------


def configmap(name: str = "m", **data: str) -> Object:
    """Make a ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": data,
    }


def env(key: str = "a") -> Object:
    """Give a container a variable from a key."""
    ref = {"configMapKeyRef": {"name": "m", "key": key}}
    return {"env": [{"name": "A", "valueFrom": ref}]}


ALL_KEYS: Object = {"envFrom": [{"configMapRef": {"name": "m"}}]}
WHOLE: Object = {"configMap": {"name": "m"}}


def mount(**more: str) -> Object:
    """Give a container the volume."""
    return {"volumeMounts": [{"name": "v", "mountPath": "/etc/v", **more}]}


def items(*paths: str) -> Object:
    """Take keys of the ConfigMap, each to a path that ends with its name."""
    listed = [{"key": path.rpartition("/")[2], "path": path} for path in paths]
    return {"configMap": {"name": "m", "items": listed}}


def container(name: str = "c", **more: object) -> Object:
    """Make a container that sleeps."""
    return {
        "name": name,
        "image": IMAGE_NAME,
        "imagePullPolicy": "Never",
        "command": ["/bin/sleep", "86400"],
        **more,
    }


def pod_spec(given: Object, volume: Object | None = None, **more: object) -> Object:
    """Make the specification of a pod with one container."""
    volumes = [] if volume is None else [{"name": "v", **volume}]
    return {
        "terminationGracePeriodSeconds": 0,
        "containers": [container(**given)],
        "volumes": volumes,
        **more,
    }


def workload(kind: str, spec: Object, **more: object) -> Object:
    """Make a workload called ``web``."""
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    whole: Object = {"selector": {"matchLabels": labels}, "template": template}
    if kind != "DaemonSet":
        whole["replicas"] = 1
    if kind == "StatefulSet":
        whole["serviceName"] = "web"
    meta = {"name": "web", **{k: more.pop(k) for k in META & more.keys()}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": meta,
        "spec": {**whole, **more},
    }


META = {"annotations", "ownerReferences"}
OPERATOR = {
    "apiVersion": "monitoring.coreos.com/v1",
    "kind": "Prometheus",
    "name": "k8s",
    "uid": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "controller": True,
}
KRUISE = {**OPERATOR, "apiVersion": "apps.kruise.io/v1beta1", "kind": "StatefulSet"}
RELOADER = {"reloader.stakater.com/auto": "true"}


def pod(spec: Object, **meta: object) -> Object:
    """Make a pod that nobody else makes."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-0", **meta},
        "spec": spec,
    }


def job(name: str) -> Object:
    """Make a Job that does not end."""
    spec = pod_spec(env(), restartPolicy="Never")
    whole = {"backoffLimit": 0, "template": {"spec": spec}}
    meta = {"name": name}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": whole}


def cronjob() -> Object:
    """Make a CronJob that begins no run by itself."""
    inner = {"spec": {"template": {"spec": pod_spec(env(), restartPolicy="Never")}}}
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": inner}
    meta = {"name": "nightly"}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": meta,
        "spec": spec,
    }


def with_init() -> Object:
    """Make a pod whose init container alone reads the ConfigMap."""
    reads = {**container("copy", **mount()), "command": ["/bin/cat", "/etc/v/a"]}
    return pod_spec({}, WHOLE, initContainers=[reads])


def blind() -> Object:
    """Make a pod whose container has no program but one that sleeps."""
    spec = pod_spec(mount(), WHOLE)
    there = {"name": "bin", "mountPath": "/there"}
    copy = ["cp", "/bin/busybox", "/there/sleep"]
    spec["initContainers"] = [
        {**container("copy"), "command": copy, "volumeMounts": [there]}
    ]
    spec["containers"][0]["volumeMounts"].append({"name": "bin", "mountPath": "/bin"})
    spec["volumes"].append({"name": "bin", "emptyDir": {}})
    return spec


# -- what happens --------------------------------------------------------------------


@dataclass(slots=True)
class Scene:
    """A situation under way, in its namespace."""

    cluster: Cluster
    testbed: Status
    namespace: str
    folder: Path

    def apply(self, *manifests: Object) -> None:
        """Apply them."""
        for one in manifests:
            self.cluster.apply(one, namespace=self.namespace)

    def patch(self, kind: Kind, name: str, body: Object) -> None:
        """Change an object."""
        self.cluster.patch(kind, name, body, namespace=self.namespace)

    def pods(self) -> list[Object]:
        """List those that stay."""
        found, _ = self.cluster.list(POD, namespace=self.namespace)
        return [one for one in found if "deletionTimestamp" not in one["metadata"]]

    def paste(self, command: str) -> tuple[int, str]:
        """Run a line in a shell: exit code, and all that it wrote."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=READY_S,
            check=False,
        )
        return done.returncode, done.stdout

    def kubectl(self, *words: str) -> None:
        """Have another manager of fields do something."""
        assert self.testbed.kubeconfig is not None
        place = ["kubectl", "--kubeconfig", str(self.testbed.kubeconfig)]
        place += ["-n", self.namespace]
        subprocess.run([*place, *words], check=True, capture_output=True)

    def wait(self, reference: str, timeout_s: float) -> Waited:
        """Ask `wait`."""
        return wait(
            self.cluster, reference, namespace=self.namespace, timeout_s=timeout_s
        )

    def variables(self) -> list[bytes | None]:
        """Read the variable ``A`` of each pod that there is, with nothing of ours."""
        found = []
        for one in self.pods():
            seen = self.cluster.capture(
                one["metadata"]["name"],
                ["cat", "/proc/self/environ"],
                namespace=self.namespace,
                container="c",
            )
            found.append(read_environ(seen.output).get("A"))
        return found


@contextmanager
def nothing(_: Scene) -> Iterator[None]:
    """Do nothing besides."""
    yield


@contextmanager
def reloader(scene: Scene) -> Iterator[None]:
    """Restart the Deployment a moment after the change, as Reloader does."""

    def restart() -> None:
        CLOCK.sleep(3)
        note = {"metadata": {"annotations": {"reloader": "now"}}}
        scene.patch(DEPLOYMENT, "web", {"spec": {"template": note}})

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(restart)
        yield
        done.result()


@contextmanager
def kruise(scene: Scene) -> Iterator[None]:
    """Make a pod that was deleted again, as its controller would."""
    is_over = False

    def look_after() -> None:
        while not is_over:
            if not scene.cluster.list(POD, namespace=scene.namespace)[0]:
                scene.apply(owned_by_kruise())
            CLOCK.sleep(0.5)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(look_after)
        try:
            yield
        finally:
            is_over = True
        done.result()


def owned_by_kruise() -> Object:
    """Make a pod of somebody else's kind."""
    return pod(pod_spec(env(), nodeSelector=QUICK), ownerReferences=[KRUISE])


@contextmanager
def stopped_kubelet(scene: Scene) -> Iterator[None]:
    """Stop the kubelet of the second node until it is told NotReady."""
    node = scene.testbed.nodes[1].name

    def is_ready() -> bool:
        conditions = scene.cluster.get(NODE, node)["status"]["conditions"]
        return any(
            one["type"] == "Ready" and one["status"] == "True" for one in conditions
        )

    try:
        assert len(send(signal.SIGSTOP, scene.testbed.name, KUBELET, f"/{node}/")) == 1
        assert wait_until(lambda: not is_ready(), deadline_s=UNREADY_S, poll_s=1)
        yield
    finally:
        send(signal.SIGCONT, scene.testbed.name, KUBELET, f"/{node}/")
        assert wait_until(is_ready, deadline_s=UNREADY_S)


def a_is_2(scene: Scene) -> None:
    """Change the key."""
    scene.apply(configmap(a="2", b="1"))


def a_is_2_and_synced(scene: Scene) -> None:
    """Change the key, and wait until the kubelet has renewed the volume."""
    a_is_2(scene)

    def is_emptied() -> bool:
        listed = scene.cluster.capture(
            scene.pods()[0]["metadata"]["name"],
            ["ls", "/etc/v"],
            namespace=scene.namespace,
            container="c",
        )
        return not listed.output

    assert wait_until(is_emptied, deadline_s=READY_S)


def a_is_2_while_paused(scene: Scene) -> None:
    """Pause the Deployment, and change the key."""
    scene.patch(DEPLOYMENT, "web", {"spec": {"paused": True}})
    a_is_2(scene)


def b_is_gone(scene: Scene) -> None:
    """Remove a key, as its owner."""
    scene.apply(configmap(a="1"))


def b_is_patched_away(scene: Scene) -> None:
    """Remove a key of somebody else's: that leaves no time in managedFields."""
    gone = '[{"op": "remove", "path": "/data/b"}]'
    scene.kubectl("patch", "configmap", "m", "--type=json", "-p", gone)


def both_are_back(scene: Scene) -> None:
    """Put the key back."""
    scene.apply(configmap(a="1", b="1"))


QUICK = {"kubernetes.io/hostname": "sync-2s-watch"}
SLOW = {"kubernetes.io/hostname": "sync-10s-watch"}
SECOND = {"kubernetes.io/hostname": "sync-2s-get"}
START = configmap(a="1", b="1")


@dataclass(frozen=True, slots=True)
class Situation:
    """What there is, what changes, and what is expected of the remedies.

    Attributes
    ----------
    objects
        What is applied first.
    pods
        That are Ready before the change.
    change
        What is changed then.
    commands
        A part of each command that is printed; none: the remedy is words.
    said
        What stands in the first answer besides.
    then
        What somebody does whom the words tell it.
    besides
        What goes on meanwhile.
    reference
        The object in question.
    place
        Labels of the node.
    is_whole
        Whether the command itself exits with 0 only if it has landed, and a plain
        `wait` still cannot tell.
    lands
        Whether it can land, in a pod that there is.
    """

    objects: tuple[Object, ...]
    pods: int = 1
    change: Callable[[Scene], None] = a_is_2
    commands: tuple[str, ...] = ()
    said: str = ""
    then: Callable[[Scene], None] | None = None
    besides: Callable[[Scene], Any] = nothing
    reference: str = "configmap/m"
    place: Object = field(default_factory=lambda: QUICK)
    is_whole: bool = False
    lands: bool = True

    def manifests(self) -> Iterator[Object]:
        """Give the objects, on their node."""
        for one in self.objects:
            template = one.get("spec", {}).get("template", one)
            if "containers" in template.get("spec", {}):
                template["spec"]["nodeSelector"] = self.place
            yield one


def deployment(spec: Object, **more: object) -> tuple[Object, Object]:
    """Give the ConfigMap, and a Deployment."""
    return START, workload("Deployment", spec, **more)


def hashed(number: int) -> Object:
    """Make the Deployment that kustomize makes of a version of its ConfigMap."""
    volume = {"configMap": {"name": f"m-9t4h2c6b8{number}"}}
    return workload(
        "Deployment", pod_spec(mount(), volume), replicas=2, minReadySeconds=3
    )


def next_version(scene: Scene) -> None:
    """Apply what kustomize makes next."""
    two = hashed(2)
    two["spec"]["template"]["spec"]["nodeSelector"] = QUICK
    scene.apply(configmap("m-9t4h2c6b82", a="2"), two)


def trust_is_gone(scene: Scene) -> None:
    """Delete another source of the volume, and change the one in question."""
    scene.cluster.delete(CONFIG_MAP, "trust", namespace=scene.namespace)
    a_is_2(scene)


def trust_is_back(scene: Scene) -> None:
    """Make it again."""
    scene.apply(configmap("trust", ca="1"))


def sub_path_is_corrected(scene: Scene) -> None:
    """Name the key that there is."""
    mounts = mount(subPath="a")["volumeMounts"]
    spec = {"containers": [{"name": "c", "volumeMounts": mounts}]}
    spec["containers"][0] |= {"image": IMAGE_NAME, "imagePullPolicy": "Never"}
    spec["containers"][0] |= {"command": ["/bin/sleep", "86400"]}
    scene.patch(DEPLOYMENT, "web", {"spec": {"template": {"spec": spec}}})


ON_DELETE = {"updateStrategy": {"type": "OnDelete"}}
PARTITION = {"updateStrategy": {"rollingUpdate": {"partition": 1}}}
PARALLEL = {"podManagementPolicy": "Parallel", "replicas": 2}
MISSING_SOURCE = {"projected": {"sources": [WHOLE, {"configMap": {"name": "trust"}}]}}
ROLLOUT, ANNOTATE = "--method rollout", "--method annotate"
DELETE = "delete pod web-"
SITUATIONS = {
    # the longest first
    "node-not-ready": Situation(
        deployment(pod_spec(mount(), WHOLE)),
        place=SECOND,
        besides=stopped_kubelet,
        commands=("describe pod web-",),
        said="is NotReady since",
    ),
    "reloader-does-not-come": Situation(
        deployment(pod_spec(env()), annotations=RELOADER),
        commands=(ROLLOUT,),
        said="a rollout of it may yet begin",
    ),
    "reloader-comes": Situation(
        deployment(pod_spec(env()), annotations=RELOADER), besides=reloader
    ),
    "kustomize": Situation(
        (configmap("m-9t4h2c6b81", a="1"), hashed(1)),
        pods=2,
        change=next_version,
        reference="configmap/m-9t4h2c6b82",
        commands=("rollout status deployment/web",),
        said="pending: deployment/web",
    ),
    "sub-path": Situation(
        deployment(pod_spec(mount(subPath="a"), WHOLE), replicas=2),
        pods=2,
        commands=(ROLLOUT,),
    ),
    "sub-path-folder": Situation(
        deployment(pod_spec(mount(subPath="d"), items("d/a", "d/b"))),
        change=a_is_2_and_synced,
        commands=(ROLLOUT,),
        said="its subPath at /etc/v is a folder",
    ),
    "sub-path-key-removed": Situation(
        deployment(pod_spec(mount(subPath="./b"), WHOLE)),
        change=b_is_gone,
        said="still has the file of a key that is gone",
        then=both_are_back,
    ),
    "sub-path-typo": Situation(
        deployment(pod_spec(mount(subPath="aa"), WHOLE)),
        said="names no key: it is an empty folder",
        then=sub_path_is_corrected,
    ),
    "env": Situation(
        deployment(pod_spec(env()), replicas=2), pods=2, commands=(ROLLOUT,)
    ),
    "env-from": Situation(deployment(pod_spec(ALL_KEYS)), commands=(ROLLOUT,)),
    "env-from-key-patched-away": Situation(
        deployment(pod_spec(ALL_KEYS)),
        change=b_is_patched_away,
        commands=(ROLLOUT,),
        said="it started before the object was last changed, and has b",
    ),
    "env-key-removed": Situation(
        deployment(pod_spec(env("b"))),
        change=b_is_gone,
        said=PUT_BACK,
        then=both_are_back,
    ),
    "init-copies": Situation(
        deployment(with_init()),
        commands=(ROLLOUT,),
        said="1 of 1 pods may not have read it since its last change",
    ),
    "init-copies-key-patched-away": Situation(
        deployment(with_init()),
        change=b_is_patched_away,
        commands=(ROLLOUT,),
        said="1 of 1 pods may not have read it since its last change",
    ),
    "statefulset-on-delete": Situation(
        (START, workload("StatefulSet", pod_spec(env()), **ON_DELETE, **PARALLEL)),
        pods=2,
        commands=(DELETE, DELETE),
        said="(OnDelete)",
    ),
    "daemonset-on-delete": Situation(
        (START, workload("DaemonSet", pod_spec(env()), **ON_DELETE)),
        commands=(DELETE,),
        said="(OnDelete)",
    ),
    "statefulset-partition": Situation(
        (START, workload("StatefulSet", pod_spec(env()), **PARTITION, **PARALLEL)),
        pods=2,
        commands=(DELETE, DELETE),
        said="(partition)",
    ),
    "paused": Situation(
        deployment(pod_spec(env()), paused=False, replicas=2),
        pods=2,
        change=a_is_2_while_paused,
        commands=(DELETE, DELETE),
        said="are paused",
    ),
    "operator": Situation(
        (
            START,
            workload("StatefulSet", pod_spec(env()), ownerReferences=[OPERATOR]),
        ),
        commands=("rollout restart statefulset/web",),
        said="belongs to prometheus.monitoring.coreos.com/k8s",
    ),
    "replicaset": Situation(
        (START, workload("ReplicaSet", pod_spec(env()))), commands=(DELETE,)
    ),
    "foreign-owner": Situation(
        (START, owned_by_kruise()),
        besides=kruise,
        commands=(DELETE,),
        said="use what statefulset.apps.kruise.io/k8s has for it",
    ),
    "job": Situation(
        (START, job("migrate")), said="make job/migrate anew", lands=False
    ),
    "cronjob": Situation(
        (START, cronjob(), job("nightly-29401234")),
        said="the next run of cronjob/nightly has it",
        lands=False,
    ),
    "bare-pod": Situation(
        (START, pod(pod_spec(env()))), said="save its manifest", lands=False
    ),
    "key-of-items-removed": Situation(
        deployment(pod_spec(mount(), items("a", "b"))),
        change=b_is_gone,
        said=PUT_BACK,
        then=both_are_back,
    ),
    "source-missing": Situation(
        (configmap("trust", ca="1"), *deployment(pod_spec(mount(), MISSING_SOURCE))),
        change=trust_is_gone,
        said="configmap/trust does not exist",
        then=trust_is_back,
    ),
    "volume": Situation(
        deployment(pod_spec(mount(), WHOLE)), place=SLOW, commands=(ANNOTATE,)
    ),
    "volume-key-removed": Situation(
        deployment(pod_spec(mount(), WHOLE)),
        change=b_is_gone,
        place=SLOW,
        commands=(ANNOTATE,),
        said="it still has b, of which no key is left",
    ),
    "no-cat": Situation(
        deployment(blind()),
        commands=("--ephemeral",),
        said="it has no cat",
        is_whole=True,
    ),
}


# -- what comes of it ----------------------------------------------------------------


@dataclass(slots=True)
class Outcome:
    """What was said, what was pasted, and how it ended."""

    first: str = ""  # what `wait` printed after the change
    pasted: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    explained: set[str] = field(default_factory=set)  # commands
    is_ok: bool = False
    last: str = ""


def commands_of(text: str) -> list[str]:
    """Find what can be pasted of what is printed as a remedy."""
    lines = [one.strip() for one in text.splitlines()]
    remedies = [one for one in lines if one.startswith("remedy: ")]
    return [found[1] for one in remedies if (found := COMMAND.search(one))]


def follow(scene: Scene, given: Situation) -> Outcome:
    """Do what is printed until it has landed, or nothing can be pasted."""
    outcome = Outcome()
    scene.apply(*given.manifests())
    await_ready(scene.cluster, scene.namespace, count=given.pods, deadline_s=READY_S)
    if given.place == SLOW:
        settle(scene)
    is_reloader = given.besides is reloader
    with given.besides(scene):
        given.change(scene)
        patient = is_reloader or "may yet begin" in given.said
        timeout_s = LATER_S if patient else SOON_S
        for number in range(MOST_ROUNDS):
            waited = scene.wait(given.reference, timeout_s)
            outcome.last = waited.to_text()
            if number == 0:
                outcome.first = outcome.last
                explained = explain(
                    scene.cluster, given.reference, namespace=scene.namespace
                )
                outcome.explained = set(commands_of(explained.to_text()))
            outcome.is_ok = waited.ok
            commands = commands_of(outcome.last)
            if waited.ok or not commands:
                break
            paste(scene, commands, outcome)
            if given.besides is kruise:
                await_ready(scene.cluster, scene.namespace, count=1, deadline_s=READY_S)
            if given.is_whole or given.besides is stopped_kubelet:
                outcome.is_ok = not outcome.failed
                break
            timeout_s = LATER_S
    if given.then is not None:
        given.then(scene)
    if given.then is not None or given.besides is stopped_kubelet:
        waited = scene.wait(given.reference, LATER_S)
        outcome.is_ok, outcome.last = waited.ok, waited.to_text()
    return outcome


def settle(scene: Scene) -> None:
    """Wait until a sync is over: the next one is some seconds away."""
    for one in scene.pods():
        name = one["metadata"]["name"]
        note = {"metadata": {"annotations": {"example.org/touched": "yes"}}}
        scene.patch(POD, name, note)
    CLOCK.sleep(2)


def paste(scene: Scene, commands: list[str], outcome: Outcome) -> None:
    """Run what was printed, one after the other."""
    for command in commands:
        code, output = scene.paste(command)
        outcome.pasted.append(command)
        if code != 0:
            outcome.failed.append(f"{command}: {code}\n{output}")


# pods that are made while one looks: what there is, and whether it is rolled out
ONE_BY_ONE = {"replicas": 3, "minReadySeconds": 1}
NO_SURGE = {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}
ROLLING = {
    "statefulset-created": (
        workload("StatefulSet", pod_spec(env(), nodeSelector=QUICK), replicas=3),
        False,
    ),
    "statefulset-rolling": (
        workload("StatefulSet", pod_spec(env(), nodeSelector=QUICK), replicas=3),
        True,
    ),
    "deployment-without-surge": (
        workload(
            "Deployment",
            pod_spec(env(), nodeSelector=QUICK),
            **ONE_BY_ONE,
            **NO_SURGE,
        ),
        True,
    ),
}


def roll(scene: Scene, made: Object, *, is_restarted: bool) -> Outcome:
    """Wait for pods that are still to be made, and look what they hold then."""
    scene.apply(START, made)
    if is_restarted:
        await_ready(scene.cluster, scene.namespace, count=3, deadline_s=READY_S)
        a_is_2(scene)
        scene.kubectl("rollout", "restart", f"{made['kind'].lower()}/web")
    waited = scene.wait("configmap/m", READY_S)
    seen = scene.variables()
    wanted = [b"2" if is_restarted else b"1"] * 3
    is_right = waited.landed and seen == wanted and waited.fresh == waited.pods == 3
    return Outcome(is_ok=is_right, last=f"{waited.to_text()}\n{seen}")


@pytest.fixture(scope="module")
def outcomes(
    cluster: Cluster, testbed: Status, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Outcome | Exception]:
    """Go through all situations, some at the same time."""
    folder = tmp_path_factory.mktemp("shell")
    names = [*SITUATIONS, *ROLLING]

    def one(name: str) -> Outcome | Exception:
        try:
            with fresh_namespace(cluster, f"cmhot-{name}") as namespace:
                scene = Scene(cluster, testbed, namespace, folder)
                if name in SITUATIONS:
                    return follow(scene, SITUATIONS[name])
                made, is_restarted = ROLLING[name]
                return roll(scene, made, is_restarted=is_restarted)
        except Exception as error:  # noqa: BLE001 - that of one is its own test's
            return error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(names, pool.map(one, names), strict=True))


def of(outcomes: dict[str, Outcome | Exception], name: str) -> Outcome:
    """Give one, or raise what it ended with."""
    outcome = outcomes[name]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_remedy_helps(outcomes: dict[str, Outcome | Exception], name: str) -> None:
    """What was printed was a command that helped, or words."""
    given, outcome = SITUATIONS[name], of(outcomes, name)

    assert outcome.failed == []
    assert outcome.is_ok is given.lands, outcome.last
    assert given.said in outcome.first
    # a pod that is about to start has the remedy to see why it does not
    pasted = outcome.pasted[: len(given.commands)]
    others = outcome.pasted[len(given.commands) :]
    parts = zip(given.commands, pasted, strict=True)
    assert [one for part, one in parts if part not in one] == []
    assert [one for one in others if "describe pod" not in one] == []
    if name == "reloader-comes":
        assert "may yet begin" not in outcome.first
    else:  # what explain advises is what wait does
        assert outcome.explained <= {*outcome.pasted}, outcome.explained


@pytest.mark.parametrize("name", ROLLING)
def test_pods_that_are_made_meanwhile_hold_it_too(
    outcomes: dict[str, Outcome | Exception], name: str
) -> None:
    """When it is said to have landed, all three pods are there, and have it."""
    outcome = of(outcomes, name)

    assert outcome.is_ok, outcome.last


def test_who_comes_late_has_time(outcomes: dict[str, Outcome | Exception]) -> None:
    """Whoever restarts pods after a change is waited for before a remedy is named."""
    outcome = of(outcomes, "reloader-does-not-come")

    (seconds,) = re.findall(r"seen from inside after ([\d.]+) s", outcome.first)
    assert float(seconds) > RESTART_S / 2
