"""Compare what real kubelets give containers with what we say of them.

``python -m studies.containers --testbed default --pods 300 --seed 1``: pods with random
volumes, items, subPaths, projected and environment sources, among them optional and
missing ones, one name twice, and odd names.

* `compare`: each container's files and variables are compared byte for byte with
  `cmhot.kubelet.view`, and once more after a random change of the objects.
* `landing` (``--landing``): while such a change arrives, what `cmhot wait` says of each
  container is compared with what `kubectl exec` reads there, and with a twin: a pod
  made of the same manifest after the change has what there should be.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import functools
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from kubernetes import client, config

from cmhot import connect
from cmhot.cluster.nodes import probe_image
from cmhot.cluster.port import MANAGED_BY, NAMESPACE, POD
from cmhot.cluster.testbed.lifecycle import status
from cmhot.kubelet.uses import Reference, references_of, uses_of
from cmhot.kubelet.view import Absent, ContainerView, absolute, read_environ, view_of
from cmhot.propagation.inspection import (
    ContentState,
    container_uses,
    inspect,
)
from cmhot.propagation.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.view import Given
    from cmhot.propagation.inspection import Inspection

Object = dict[str, Any]

NAMES = ("a", "b", "c", "d")
ABSENT = ("absent",)
KEYS = (
    *("app.conf", "log-level", "MODE", "a", "b", "_x", ".hidden", "9lives"),
    *("with.dots.and-dashes", "UPPER_CASE", "x-1", "k8s", "A", "B"),
)
PATHS = ("a", "b", "sub/a", "sub/b", "./c", "d//e", "sub/./f", "deep/er/g", "x.y")
LITERALS = (
    *("1", "", "$(A)", "$$(A)", "$(B)-$(NONE)", "$(A", "$$$(MODE)", "$x", "$", "$()"),
    *("$(9lives)", "$(a b)", "ü$ü"),
)
VARIABLES = ("A", "B", "C", "MODE", "log-level", "x.y", "P_a", "9lives", "a b", "..")
SUB_PATHS = ("a", "MODE", "app.conf", "./sub/a", "sub", "", "../a", "/a", "..data/a")
EXPRESSIONS = ("$(SUB)", "./$(SUB)", "$(SUB)/", "$(NONE)", "$$(SUB)", "$(SUB)$(NONE)")
VALUES = ("", "1", "two words", "ü\n", "$(A)", "a=b", "x" * 3000, "line\nline\n")
SETTLED_S = 5.0 * 1.5 + 12.0
"""After it each kubelet of S = 5 s has synced."""
START_S = 240.0
BATCH = 30
"""Pods at once: on two cores, three hundred of them start for minutes."""
_LIST = (
    'for m do find -L "$m" -path "$m/..*" -prune -o -type f -print; done | '
    'while IFS= read -r f; do echo "$(wc -c <"$f") $f"; cat "$f"; done'
)
_STAMPS = 'for m do [ ! -L "$m/..data" ] || stat -c %y "$m/..data"; done'


def parse_instant(text: str) -> int:
    """Read what ``stat -c %y`` prints, UTC, as nanoseconds."""
    day, time, _ = text.split()
    return int(np.datetime64(f"{day}T{time}", "ns").astype(np.int64))


def chance(draw: random.Random, share: float) -> bool:
    """Throw a coin of which a share of throws is true."""
    return draw.random() < share


@dataclass(slots=True)
class World:
    """The objects of one trial's namespace."""

    objects: dict[Reference, Object] = field(default_factory=dict)

    def __call__(self, reference: Reference) -> Mapping[str, Any] | Absent:
        """Find an object, as `view_of` asks for it."""
        return self.objects.get(reference, Absent.MISSING)


def random_object(draw: random.Random, reference: Reference) -> Object:
    """Make a ConfigMap or a Secret with some keys."""
    keys = draw.sample(KEYS, draw.randint(0, 6))
    texts = {key: draw.choice(VALUES) for key in keys}
    made: Object = {
        "apiVersion": "v1",
        "kind": "Secret" if reference.is_secret else "ConfigMap",
        "metadata": {"name": reference.name},
    }
    if reference.is_secret:
        made["data"] = {
            key: base64.b64encode(text.encode()).decode() for key, text in texts.items()
        }
        return made
    binary = {key for key in keys if chance(draw, 0.15)}
    made["data"] = {key: texts[key] for key in keys if key not in binary}
    made["binaryData"] = {
        key: base64.b64encode(draw.randbytes(20)).decode() for key in binary
    }
    return made


def _named(draw: random.Random, field_name: str) -> Object:
    absent = chance(draw, 0.05)
    optional = absent and chance(draw, 0.8)
    return {
        field_name: draw.choice(ABSENT if absent else NAMES),
        "optional": optional or chance(draw, 0.4),
    }


def _chosen(draw: random.Random, world: World, kind: str, name: str) -> Object:
    """Choose keys, mostly of those that there are, and their paths."""
    if chance(draw, 0.45):
        return {}
    stored = world.objects.get(Reference(kind, name), {})
    known = [*stored.get("data", {}), *stored.get("binaryData", {})]
    keys = [
        draw.choice(known) if known and chance(draw, 0.93) else draw.choice(KEYS)
        for _ in range(draw.randint(1, 3))
    ]
    paths = draw.sample(["a", "b", "sub/a", "./c", "d//e", "sub/./f", "deep/er/g"], 3)
    return {
        "items": [{"key": key, "path": path} for key, path in zip(keys, paths)]  # noqa: B905
    }


def random_volume(draw: random.Random, world: World) -> Object:
    """Make a volume's source."""
    kind = draw.choice(["configMap", "configMap", "secret", "projected", "projected"])
    if kind == "configMap":
        source = _named(draw, "name")
        return {kind: source | _chosen(draw, world, "configmap", source["name"])}
    if kind == "secret":
        source = _named(draw, "secretName")
        return {kind: source | _chosen(draw, world, "secret", source["secretName"])}
    sources = []
    for _ in range(draw.randint(1, 3)):
        one = draw.choice(["configMap", "configMap", "secret", "downwardAPI"])
        if one == "downwardAPI":
            item = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
            sources.append({one: {"items": [item]}})
        else:
            source = _named(draw, "name")
            sources.append(
                {one: source | _chosen(draw, world, one.lower(), source["name"])}
            )
    paths = [
        item["path"]
        for source in sources
        for part in source.values()
        for item in part.get("items", ())
    ]
    if len(paths) != len(set(paths)):  # the API server refuses these
        return random_volume(draw, world)
    return {"projected": {"sources": sources}}


def random_variables(draw: random.Random, world: World) -> tuple[list[Object], ...]:
    """Make ``env`` and ``envFrom``."""
    all_of: list[Object] = []
    for _ in range(draw.randint(0, 3)):
        reference = draw.choice(["configMapRef", "secretRef"])
        one: Object = {reference: _named(draw, "name")}
        if chance(draw, 0.4):
            one["prefix"] = draw.choice(["P_", "x.", "a-", "A", "9", ".", "a b"])
        all_of.append(one)
    single: list[Object] = []
    for name in draw.choices(VARIABLES, k=draw.randint(0, 5)):
        if chance(draw, 0.4):
            single.append({"name": name, "value": draw.choice(LITERALS)})
        elif chance(draw, 0.17):
            path = draw.choice(["metadata.name", "metadata.labels['trial']"])
            field_ref = {"fieldRef": {"fieldPath": path}}
            single.append({"name": name, "valueFrom": field_ref})
        else:
            kind = draw.choice(["configMapKeyRef", "secretKeyRef"])
            kind_of = {"configMapKeyRef": "configmap", "secretKeyRef": "secret"}[kind]
            named = _named(draw, "name")
            stored = world.objects.get(Reference(kind_of, named["name"]), {})
            known = list(stored.get("data", {}))
            named["key"] = "none"
            if known and chance(draw, 0.9):
                named["key"] = draw.choice(known)
            named["optional"] = named["optional"] or named["key"] == "none"
            single.append({"name": name, "valueFrom": {kind: named}})
    return single, all_of


def random_pod(draw: random.Random, world: World, name: str, image: Object) -> Object:
    """Make a pod of one container."""
    volumes, mounts = [], []
    for number in range(draw.randint(0, 3)):
        volumes.append({"name": f"v{number}", **random_volume(draw, world)})
        for copy in range(draw.choice([1, 1, 1, 2])):
            path = f"/m/{number}-{copy}"
            if chance(draw, 0.15):
                path = path.removeprefix("/")
            mount = {"name": f"v{number}", "mountPath": path}
            if chance(draw, 0.3):
                mount["subPath"] = draw.choice(
                    [*KEYS, *PATHS, "sub", "deep", ".", "..data", "..data/sub/a"]
                )
            elif chance(draw, 0.1):
                mount["subPathExpr"] = draw.choice(EXPRESSIONS)
            mounts.append(mount)
    single, all_of = random_variables(draw, world)
    if any("subPathExpr" in mount for mount in mounts):
        single.append({"name": "SUB", "value": draw.choice(SUB_PATHS)})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"trial": "t", **MANAGED_BY}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "volumes": volumes,
            "containers": [
                {
                    "name": "c",
                    **image,
                    "command": ["sleep", "86400"],
                    "env": single,
                    "envFrom": all_of,
                    "volumeMounts": mounts,
                    "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
                }
            ],
        },
    }


def differences(
    cluster: Cluster, namespace: str, pod: Object, view: ContainerView
) -> list[str]:
    """Look into a container, and say what differs from a view of it."""
    name = pod["metadata"]["name"]

    def run(*command: str) -> bytes:
        answer = cluster.capture(name, command, namespace=namespace, container="c")
        return answer.output

    found: list[str] = []
    own = {"PATH", "HOSTNAME", "HOME", "TERM"}
    pairs = (
        one.partition(b"=") for one in run("cat", "/proc/self/environ").split(b"\0")
    )
    seen = {key.decode(): value for key, _, value in pairs if key}
    seen = {
        key: value
        for key, value in seen.items()
        if key in view.variables or (key not in own and "KUBERNETES" not in key)
    }
    found += _compared("variable", seen, view.variables, whole=view.is_whole)
    mounts = list(view.folders)
    if mounts:
        files = _files(run("sh", "-c", _LIST, "sh", *mounts))
        whole = all(folder.is_whole for folder in view.folders.values())
        found += _compared("file", files, view.files(), whole=whole)
    return [f"{name}: {one}" for one in found]


def _compared(
    what: str, seen: Mapping[str, bytes], view: Mapping[str, Any], *, whole: bool
) -> list[str]:
    found = [
        f"{what} {key} is {seen.get(key)!r:.60}, not {given.content!r:.60}"
        for key, given in view.items()
        if key not in seen or given.content not in {None, seen[key]}
    ]
    if whole:
        found += [
            f"{what} {key} is there ({seen[key]!r:.60})"
            for key in seen
            if key not in view
        ]
    return found


def _files(output: bytes) -> dict[str, bytes]:
    found, at = {}, 0
    while at < len(output):
        end = output.index(b"\n", at)
        size, _, path = output[at:end].partition(b" ")
        found[path.decode()] = output[end + 1 : end + 1 + int(size)]
        at = end + 1 + int(size)
    return found


@dataclass(slots=True)
class Outcome:
    """What a comparison found."""

    running: int = 0
    blocked: int = 0
    differences: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Scene:
    """A namespace with random objects and pods that use them."""

    cluster: Cluster
    kubeconfig: Path
    namespace: str
    draw: random.Random
    world: World = field(default_factory=World)
    pods: list[Object] = field(default_factory=list)  # as they were made

    def create(self, pods: Sequence[Object]) -> None:
        """Make pods; not by an apply, which takes no name twice."""
        api = client.CoreV1Api(
            config.new_client_from_config(  # type: ignore[no-untyped-call]
                config_file=str(self.kubeconfig)
            )
        )
        with ThreadPoolExecutor(8) as pool:
            create = functools.partial(api.create_namespaced_pod, self.namespace)
            list(pool.map(create, cast("Any", pods)))

    def scheduled(self, number: int) -> dict[str, Object]:
        """Give the pods with what the API server put into them, once on a node."""
        while True:
            pods, _ = self.cluster.list(POD, namespace=self.namespace)
            if sum(bool(pod["spec"].get("nodeName")) for pod in pods) >= number:
                return {pod["metadata"]["name"]: pod for pod in pods}
            self.cluster.clock.sleep(1.0)

    def running(self) -> dict[str, Object]:
        """Give the pods whose container runs."""
        pods, _ = self.cluster.list(POD, namespace=self.namespace)
        return {
            pod["metadata"]["name"]: pod
            for pod in pods
            if any(
                "running" in (one.get("state") or {})
                for one in (pod.get("status") or {}).get("containerStatuses") or ()
            )
        }

    def started(self, due: Collection[str]) -> dict[str, Object]:
        """Wait until pods run, but not for ever; give all that do."""
        clock = self.cluster.clock
        deadline = clock.monotonic() + START_S
        running = self.running()
        while not set(due) <= running.keys() and clock.monotonic() < deadline:
            clock.sleep(2.0)
            running = self.running()
        return running

    def change(self, *, deletes: float) -> None:
        """Change or empty objects; a share of them is deleted."""
        for reference in list(self.world.objects):
            if chance(self.draw, deletes):
                place, name = reference.place, reference.name
                self.cluster.delete(place, name, namespace=self.namespace)
                del self.world.objects[reference]
                continue
            old = self.world.objects[reference]
            new = random_object(self.draw, reference)
            taken = {*new["data"], *new.get("binaryData", {})}
            for key, text in old["data"].items():
                if key not in taken and chance(self.draw, 0.5):
                    new["data"][key] = text
            self.world.objects[reference] = new
            # an apply also removes what is not listed
            self.cluster.apply(new, namespace=self.namespace)


@contextlib.contextmanager
def stage(
    cluster: Cluster, kubeconfig: Path, *, pods: int, seed: int
) -> Iterator[Scene]:
    """Make random objects and pods; take them away at the end."""
    scene = Scene(
        cluster,
        kubeconfig,
        f"cmhot-containers-{seed}",
        random.Random(seed),  # noqa: S311 - no secret
    )
    namespace = {"name": scene.namespace, "labels": dict(MANAGED_BY)}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": namespace})
    try:
        for kind in ("configmap", "secret"):
            for name in NAMES:
                reference = Reference(kind, name)
                made = random_object(scene.draw, reference)
                scene.world.objects[reference] = made
                cluster.apply(made, namespace=scene.namespace)
        image, policy = probe_image(cluster, None)
        names = {"image": image, "imagePullPolicy": policy}
        scene.pods = [
            random_pod(scene.draw, scene.world, f"p-{n}", names) for n in range(pods)
        ]
        scene.create(scene.pods)
        yield scene
    finally:
        cluster.delete(NAMESPACE, scene.namespace)


def compare(
    cluster: Cluster, kubeconfig: Path, *, pods: int, seed: int
) -> tuple[Outcome, Outcome]:
    """Compare containers with their views, before and after a change of the objects."""
    with stage(cluster, kubeconfig, pods=pods, seed=seed) as scene:
        found = scene.scheduled(pods)
        views = {name: view_of(pod, "c", scene.world) for name, pod in found.items()}
        first = _look(scene, views)
        return first, _change(scene, views)


def _look(scene: Scene, views: Mapping[str, ContainerView]) -> Outcome:
    """Wait until all that can start run, and compare these."""
    outcome = Outcome()
    due = {name for name, view in views.items() if not view.blocked}
    running = scene.started(due)
    outcome.differences += [f"{name}: does not start" for name in due - running.keys()]
    outcome.differences += [
        f"{name}: runs, though {views[name].blocked}" for name in running.keys() - due
    ]
    outcome.blocked = len(views) - len(due)
    outcome.running = len(running)
    both = [running[name] for name in sorted(running.keys() & due)]
    with ThreadPoolExecutor(8) as pool:
        for some in pool.map(
            lambda pod: differences(
                scene.cluster, scene.namespace, pod, views[pod["metadata"]["name"]]
            ),
            both,
        ):
            outcome.differences += some
    return outcome


def _change(scene: Scene, views: Mapping[str, ContainerView]) -> Outcome:
    """Change, empty or delete objects; then what is renewed is as a new view has it."""
    running, before = scene.running(), World(dict(scene.world.objects))
    scene.change(deletes=0.2)
    scene.cluster.clock.sleep(SETTLED_S)
    outcome = Outcome()
    for name, pod in sorted(running.items()):
        old, new = views[name], view_of(pod, "c", scene.world)
        if old.blocked or new.stuck:
            # a sync that waits for one volume (2 min) renews no other meanwhile
            continue
        if any(
            one.names_nothing and not new.folders[path].names_nothing
            for path, one in old.folders.items()
        ):
            # the folder that the kubelet made there keeps the new key's file away
            continue
        folders = {
            path: new.folders[path] if one.renewed else one
            for path, one in old.folders.items()
        }
        for mount in pod["spec"]["containers"][0].get("volumeMounts") or ():
            path = absolute(mount["mountPath"])
            if path in folders and folders[path].emptied:
                volumes = [_whole(pod, mount, one) for one in (before, scene.world)]
                if volumes[0] != volumes[1]:
                    folders[path] = replace(folders[path], files={})
        kept = ContainerView(folders, old.variables, old.is_whole)
        outcome.running += 1
        outcome.differences += differences(scene.cluster, scene.namespace, pod, kept)
    return outcome


def _whole(pod: Object, mount: Object, world: World) -> Mapping[str, Given]:
    """Give all files of a volume of which a part is mounted."""
    mounts = [{"name": mount["name"], "mountPath": "/whole"}]
    container = {"name": "c", "volumeMounts": mounts}
    spec = {"volumes": pod["spec"]["volumes"], "containers": [container]}
    return view_of({**pod, "spec": spec}, "c", world).folders["/whole"].files


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What `kubectl exec` reads in a container."""

    files: Mapping[str, bytes]
    variables: Mapping[str, bytes]
    published_ns: int  # when a volume's ``..data`` was last swapped, UTC; 0: none


def snapshot(scene: Scene, name: str, mounts: Sequence[str]) -> Snapshot:
    """Read a container's files and variables with nothing of ours."""

    def run(*command: str) -> bytes:
        place = ["kubectl", "--kubeconfig", str(scene.kubeconfig)]
        place += ["-n", scene.namespace, "exec", name, "-c", "c", "--"]
        return subprocess.run(
            [*place, *command], check=True, capture_output=True
        ).stdout

    stamps = run("sh", "-c", _STAMPS, "sh", *mounts).decode().splitlines()
    files = _files(run("sh", "-c", _LIST, "sh", *mounts)) if mounts else {}
    variables = run("cat", "/proc/self/environ").replace(name.encode(), b"THIS-POD")
    instants = [parse_instant(one) for one in stamps]
    return Snapshot(files, read_environ(variables), max(instants, default=0))


@dataclass(slots=True)
class Verdict:
    """What we said of the files, or of the variables, of one container."""

    inspections: tuple[Inspection, ...] = ()
    ended_ns: int = 0  # when the last of them had ended

    @property
    def is_landed(self) -> bool:
        """Whether all that is of an object was said to be there."""
        return {one.state for one in self.inspections} == {ContentState.FRESH}

    @property
    def is_stale(self) -> bool:
        """Whether something was said to have content that a new pod would not have."""
        return any(
            one.state is ContentState.STALE and not one.in_vain
            for one in self.inspections
        )

    @property
    def is_in_vain(self) -> bool:
        """Whether a manifest was said to name what is not there, for new pods too."""
        return any(one.in_vain for one in self.inspections)


@dataclass(slots=True)
class Landing:
    """What we said while a change arrived, beside what there was."""

    landed: int = 0
    stale: int = 0
    in_vain: int = 0
    unknown: int = 0
    uncompared: int = 0  # the twin cannot start
    differences: list[str] = field(default_factory=list)


def landing(cluster: Cluster, kubeconfig: Path, *, pods: int, seed: int) -> Landing:
    """Compare what we say of containers with what they hold, and with their twins."""
    with stage(cluster, kubeconfig, pods=pods, seed=seed) as scene:
        found = scene.scheduled(pods)
        views = {name: view_of(pod, "c", scene.world) for name, pod in found.items()}
        running = scene.started([one for one in views if not views[one].blocked])
        scene.change(deletes=0)
        verdicts = _verdicts(scene, running)
        twins = [_twin(pod) for pod in scene.pods if pod["metadata"]["name"] in running]
        scene.create(twins)
        found = scene.scheduled(pods + len(twins))
        views = {name: view_of(pod, "c", scene.world) for name, pod in found.items()}
        started = scene.started(
            [name for name in found if name[0] == "t" and not views[name].blocked]
        )
        outcome = Landing()
        for name in sorted(running):
            if f"t{name}" not in started:
                outcome.uncompared += 1
                continue
            mounts = list(views[name].folders)
            own, twin = (snapshot(scene, one, mounts) for one in (name, f"t{name}"))
            for kind, one, other in (
                (False, own.files, twin.files),
                (True, own.variables, twin.variables),
            ):
                published_ns = 0 if kind else own.published_ns
                verdict = verdicts[name, kind]
                _judge(outcome, name, verdict, published_ns, is_same=one == other)
        return outcome


def _twin(pod: Object) -> Object:
    meta = pod["metadata"]
    return {**pod, "metadata": {**meta, "name": f"t{meta['name']}"}}


def _verdicts(
    scene: Scene, running: Mapping[str, Object]
) -> dict[tuple[str, bool], Verdict]:
    """Inspect again and again until the law has ended; variables by True."""
    clock = scene.cluster.clock
    until = clock.monotonic() + SETTLED_S
    found = {(name, kind): Verdict() for name in running for kind in (False, True)}
    while True:
        is_last = clock.monotonic() > until
        for (name, kind), verdict in found.items():
            if not verdict.is_landed:
                objects = Objects(scene.cluster, scene.namespace)
                verdict.inspections = tuple(
                    inspect(scene.cluster, part, reference, objects)
                    for reference in sorted(references_of(running[name]))
                    if reference in scene.world.objects
                    for part in container_uses(
                        running[name],
                        uses_of(running[name], reference),
                        immutable=False,
                    )
                    if part.uses[0].way.is_environment is kind
                )
                verdict.ended_ns = clock.utc_ns()
        if is_last:
            return found
        clock.sleep(0.5)


def _judge(
    outcome: Landing, name: str, verdict: Verdict, published_ns: int, *, is_same: bool
) -> None:
    """Hold a verdict against what there is; ``is_same``: as in the twin."""
    outcome.landed += verdict.is_landed
    outcome.stale += verdict.is_stale
    outcome.in_vain += verdict.is_in_vain and not verdict.is_stale
    outcome.unknown += not (verdict.is_landed or verdict.is_stale or verdict.is_in_vain)
    wrong = ""
    if verdict.is_landed and not is_same:
        wrong = "said to have landed, but has other content"
    elif verdict.is_landed and published_ns > verdict.ended_ns:
        wrong = "said to have landed before it was published"
    elif verdict.is_stale and is_same:
        wrong = "said to be stale, but is as its twin"
    if wrong:
        outcome.differences.append(f"{name}: {wrong}")


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


def main() -> int:
    """Compare, print what differs, and fail if anything does."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--testbed", default="default", help="its name")
    parser.add_argument("--pods", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--landing", action="store_true")
    chosen = parser.parse_args()
    cluster = connect(f"testbed:{chosen.testbed}")
    kubeconfig = status(chosen.testbed).kubeconfig
    if kubeconfig is None:
        parser.error(f"the testbed {chosen.testbed} is not running")
    number = 0
    batch = BATCH // 2 if chosen.landing else BATCH  # twins are pods too
    for seed in range(chosen.seed, chosen.seed - (-chosen.pods // batch)):
        pods = min(batch, chosen.pods - (seed - chosen.seed) * batch)
        if chosen.landing:
            found = landing(cluster, kubeconfig, pods=pods, seed=seed)
            say(
                f"seed {seed}: {found.landed} landed, {found.stale} stale, "
                f"{found.in_vain} that name what is not there, {found.unknown} without "
                f"a verdict; {found.uncompared} pods without a twin that can start"
            )
            different = found.differences
        else:
            first, second = compare(cluster, kubeconfig, pods=pods, seed=seed)
            say(
                f"seed {seed}: {first.running} containers run, {first.blocked} cannot; "
                f"{second.running} compared again after a change of the objects"
            )
            different = [*first.differences, *second.differences]
        for one in different:
            say(f"different: {one}")
        number += len(different)
    say(f"{number} differences")
    return bool(number)


if __name__ == "__main__":
    sys.exit(main())
