"""Compare what a real kubelet gives containers with `cmhot.kubelet.view`.

``python -m studies.containers --target testbed --pods 300 --seed 1``: pods with random
volumes, items, subPaths, projected and environment sources, among them optional and
missing ones; each container's files and variables are compared byte for byte with the
view, and once more after a random change of the objects.
"""

from __future__ import annotations

import argparse
import base64
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot import connect
from cmhot.cluster.nodes import probe_image
from cmhot.cluster.port import MANAGED_BY, NAMESPACE, POD
from cmhot.kubelet.uses import Reference
from cmhot.kubelet.view import Absent, ContainerView, view_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmhot.cluster.port import Cluster

Object = dict[str, Any]

NAMES = ("a", "b", "c", "d")
ABSENT = ("absent",)
KEYS = (
    *("app.conf", "log-level", "MODE", "a", "b", "_x", ".hidden", "9lives"),
    *("with.dots.and-dashes", "UPPER_CASE", "x-1", "k8s", "A", "B"),
)
PATHS = ("a", "b", "sub/a", "sub/b", "./c", "d//e", "sub/./f", "deep/er/g", "x.y")
LITERALS = ("1", "", "$(A)", "$$(A)", "$(B)-$(NONE)", "$(A", "$$$(MODE)", "$x", "$")
VALUES = ("", "1", "two words", "ü\n", "$(A)", "a=b", "x" * 3000, "line\nline\n")
SETTLED_S = 5.0 * 1.5 + 12.0
"""After it each kubelet of S = 5 s has synced."""
START_S = 240.0
BATCH = 60
"""Pods at once: on two cores, three hundred of them start for minutes."""
_LIST = (
    'for m do find -L "$m" -path "$m/..*" -prune -o -type f -print; done | '
    'while IFS= read -r f; do echo "$(wc -c <"$f") $f"; cat "$f"; done'
)


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
            one["prefix"] = draw.choice(["P_", "x.", "a-", "A"])
        all_of.append(one)
    single: list[Object] = []
    names = ["A", "B", "C", "MODE", "log-level", "x.y", "P_a"]
    for name in draw.sample(names, draw.randint(0, 4)):
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
                mount["subPath"] = draw.choice([*KEYS, *PATHS, "sub", "deep", "."])
            mounts.append(mount)
    single, all_of = random_variables(draw, world)
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


def compare(cluster: Cluster, *, pods: int, seed: int) -> tuple[Outcome, Outcome]:
    """Compare containers with their views, before and after a change of the objects."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    world = World()
    namespace = f"cmhot-containers-{seed}"
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": dict(MANAGED_BY)},
        },
        namespace=namespace,
    )
    try:
        for kind in ("configmap", "secret"):
            for name in NAMES:
                reference = Reference(kind, name)
                world.objects[reference] = random_object(draw, reference)
                cluster.apply(world.objects[reference], namespace=namespace)
        image, policy = probe_image(cluster, None)
        names = {"image": image, "imagePullPolicy": policy}
        made = [random_pod(draw, world, f"p-{n}", names) for n in range(pods)]
        with ThreadPoolExecutor(8) as pool:
            stored = list(
                pool.map(lambda pod: cluster.apply(pod, namespace=namespace), made)
            )
        views = {
            pod["metadata"]["name"]: view_of(pod, "c", world)
            for pod in _scheduled(cluster, namespace, len(stored))
        }
        first = _look(cluster, namespace, views)
        second = _change(cluster, namespace, draw, world, views)
    finally:
        cluster.delete(NAMESPACE, namespace)
    return first, second


def _scheduled(cluster: Cluster, namespace: str, number: int) -> list[Object]:
    """Give the pods with what the API server put into them, once all have a node."""
    while True:
        pods, _ = cluster.list(POD, namespace=namespace)
        if len(pods) == number and all(pod["spec"].get("nodeName") for pod in pods):
            return pods
        cluster.clock.sleep(1.0)


def _look(
    cluster: Cluster, namespace: str, views: Mapping[str, ContainerView]
) -> Outcome:
    """Wait until all that can start run, and compare these."""
    outcome = Outcome()
    due = {name for name, view in views.items() if not view.blocked}
    deadline = cluster.clock.monotonic() + START_S
    while cluster.clock.monotonic() < deadline:
        running = _running(cluster, namespace)
        if due <= running.keys():
            break
        cluster.clock.sleep(2.0)
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
                cluster, namespace, pod, views[pod["metadata"]["name"]]
            ),
            both,
        ):
            outcome.differences += some
    return outcome


def _running(cluster: Cluster, namespace: str) -> dict[str, Object]:
    pods, _ = cluster.list(POD, namespace=namespace)
    return {
        pod["metadata"]["name"]: pod
        for pod in pods
        if any(
            "running" in (one.get("state") or {})
            for one in (pod.get("status") or {}).get("containerStatuses") or ()
        )
    }


def _change(
    cluster: Cluster,
    namespace: str,
    draw: random.Random,
    world: World,
    views: Mapping[str, ContainerView],
) -> Outcome:
    """Change, empty or delete objects; then what is renewed is as a new view has it."""
    running = _running(cluster, namespace)
    for reference in list(world.objects):
        if chance(draw, 0.2):
            cluster.delete(reference.place, reference.name, namespace=namespace)
            del world.objects[reference]
            continue
        old, new = world.objects[reference], random_object(draw, reference)
        taken = {*new["data"], *new.get("binaryData", {})}
        for key, text in old["data"].items():
            if key not in taken and chance(draw, 0.5):
                new["data"][key] = text
        world.objects[reference] = new
        cluster.apply(new, namespace=namespace)  # also removes what is not listed
    cluster.clock.sleep(SETTLED_S)
    outcome = Outcome()
    for name, pod in sorted(running.items()):
        before, after = views[name], view_of(pod, "c", world)
        if before.blocked or any(one.blocked for one in after.folders.values()):
            # a sync that waits for one volume (2 min) renews no other meanwhile
            continue
        if any(
            one.names_nothing and not after.folders[path].names_nothing
            for path, one in before.folders.items()
        ):
            # the folder that the kubelet made there keeps the new key's file away
            continue
        folders = {
            path: after.folders[path] if folder.renewed else folder
            for path, folder in before.folders.items()
        }
        kept = ContainerView(folders, before.variables, before.is_whole)
        outcome.running += 1
        outcome.differences += differences(cluster, namespace, pod, kept)
    return outcome


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


def main() -> int:
    """Compare, print what differs, and fail if anything does."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--target", default="testbed")
    parser.add_argument("--pods", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    cluster, different = connect(chosen.target), 0
    for number in range(-(-chosen.pods // BATCH)):
        seed, pods = chosen.seed + number, min(BATCH, chosen.pods - number * BATCH)
        first, second = compare(cluster, pods=pods, seed=seed)
        say(
            f"seed {seed}: {first.running} containers run, {first.blocked} cannot; "
            f"{second.running} compared again after a change of the objects"
        )
        for one in (*first.differences, *second.differences):
            say(f"different: {one}")
            different += 1
    say(f"{different} differences")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
