"""Refreshing beside the command that people type instead, on a real kubelet.

Pods of one Deployment on one node of S = 60 s. Each trial updates their ConfigMap, and
at the acknowledgement starts one of two commands, in random order:

* ``kubectl annotate pods -l …`` or ``cmhot refresh --method annotate``: when is the
  file new in the last pod, and when does the command return? The instant of a file is
  that of the kubelet's link, which lies on the host: nothing is asked of the pods.
* ``kubectl rollout restart`` with ``rollout status``, or ``cmhot refresh --method
  rollout``: when is the last new pod Ready?

The two are compared pair by pair, so that what else the machine does hits both.

Besides: what ``refresh --dry-run``, ``explain`` and ``wait`` of what has landed take as
whole processes; and one command in each pod, by ``kubectl exec`` and by our client
without any program, which is the least that a look into all of them takes here.
How soon ``wait`` notices the last pod, `benchmarks.wait` measures.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.common import (
    CLOCK,
    NAMESPACE_GONE_S,
    RESULTS,
    Result,
    await_ready,
    fresh_namespace,
    publish,
    wait_until,
)
from cmhot.clock import NS_PER_S
from cmhot.cluster.port import DEPLOYMENT, POD
from cmhot.cluster.targets import connect
from cmhot.cluster.testbed import layout, lifecycle
from cmhot.cluster.testbed.image import IMAGE_NAME
from cmhot.kubelet.settings import parse_setting
from cmhot.propagation.changes import patch
from cmhot.propagation.inspection import AT_ONCE
from cmhot.propagation.workload import is_rolled_out

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from cmhot.cluster.port import Cluster

BED = "bench-refresh"
NAME = "web"
READY_S = 600.0
LATE_S = 90.0
"""By then a kubelet of S = 60 s has synced each pod by itself."""
REST_S = 3.0
"""Between two trials: a sync that follows another one waits for a relist (1 s)."""
POLL_S = 0.02
ANNOTATE_RATIO, ROLLOUT_RATIO = 1.3, 1.05
AFTER_S = 1.0
PLAN_S, PLAN_CPU_S = 0.6, 0.5
READ, LOOKS = ("cat", "/etc/config/seq"), 5


@dataclass(frozen=True, slots=True)
class Trial:
    """One command: seconds since it was started."""

    last_s: float  # the last pod is new
    done_s: float  # the command has returned
    cpu_s: float


def manifests(pods: int) -> list[dict[str, Any]]:
    """Make a ConfigMap and the Deployment that mounts it."""
    container = {
        "name": "main",
        "image": IMAGE_NAME,
        "imagePullPolicy": "Never",
        "command": ["/bin/sleep", "86400"],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}],
    }
    spec = {
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": NAME}}],
    }
    labels = {"app": NAME}
    template = {"metadata": {"labels": labels}, "spec": spec}
    selector = {"matchLabels": labels}
    whole = {"replicas": pods, "selector": selector, "template": template}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME},
            "data": {"seq": "0"},
        },
        {
            "apiVersion": DEPLOYMENT.api_version,
            "kind": "Deployment",
            "metadata": {"name": NAME},
            "spec": whole,
        },
    ]


@dataclass(slots=True)
class Bench:
    """A Deployment on a testbed, and the two ways to refresh it."""

    cluster: Cluster
    namespace: str
    kubeconfig: Path
    context: str
    volumes: Path  # of all pods of the node, as seen on the host
    pods: int
    seq: int = 0

    def commands(self, method: str) -> dict[str, list[list[str]]]:
        """Give what is typed, by who does it."""
        kubectl = ["kubectl", "-n", self.namespace]
        deployment = f"deployment/{NAME}"
        typed = [
            ["rollout", "restart", deployment],
            ["rollout", "status", deployment],
        ]
        if method == "annotate":
            stamp = f"example.com/touched={self.seq}"
            typed = [["annotate", "pods", "-l", f"app={NAME}", "--overwrite", stamp]]
        return {
            "kubectl": [[*kubectl, *words] for words in typed],
            "cmhot": [self.cmhot(method)],
        }

    def cmhot(self, method: str) -> list[str]:
        """Give our command that refreshes."""
        return self.asked("refresh", f"deployment/{NAME}", "--method", method)

    def asked(self, *words: str) -> list[str]:
        """Give a command of ours."""
        where = ["--context", self.context, "-n", self.namespace]
        program = Path(sys.executable).with_name("cmhot")  # as people type it
        return [str(program), *words, *where]

    def update(self) -> None:
        """Change the ConfigMap."""
        self.seq += 1
        patch(self.cluster, NAME, {"seq": str(self.seq)}, namespace=self.namespace)

    def run(self, commands: list[list[str]]) -> tuple[float, float]:
        """Run commands one after the other; give the instant of the end, and their CPU.

        The instant is by the monotonic clock.
        """
        cpu_s = 0.0
        for command in commands:
            started = self.start(command)
            _, status, usage = os.wait4(started.pid, 0)
            started.returncode = os.waitstatus_to_exitcode(status)
            cpu_s += usage.ru_utime + usage.ru_stime
            if started.returncode != 0:
                msg = f"{' '.join(command)} ended with {started.returncode}"
                raise RuntimeError(msg)
        return CLOCK.monotonic(), cpu_s

    def start(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a command that prints nothing."""
        return subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.environment(),
        )

    def environment(self) -> dict[str, str]:
        """Have the programs as they are installed: with their bytecode."""
        own = {"KUBECONFIG": str(self.kubeconfig)}
        own["PYTHONPYCACHEPREFIX"] = str(RESULTS.absolute() / "bytecode")
        inherited = {**os.environ, **own}
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)
        return inherited

    def published(self, uids: set[str]) -> list[int]:
        """Give for each pod when its files were renewed last, UTC nanoseconds."""
        link = "volumes/kubernetes.io~configmap/config/..data"
        return [(self.volumes / uid / link).lstat().st_mtime_ns for uid in uids]

    def touch(self, who: str) -> Trial:
        """Annotate the pods after an update."""
        found, _ = self.cluster.list(POD, namespace=self.namespace)
        uids = {one["metadata"]["uid"] for one in found}
        self.update()
        begun_ns, begun_s = CLOCK.utc_ns(), CLOCK.monotonic()
        ended_s, cpu_s = self.run(self.commands("annotate")[who])
        if not wait_until(
            lambda: min(self.published(uids)) > begun_ns,
            deadline_s=LATE_S,
            poll_s=POLL_S,
        ):
            msg = f"{who}: not all pods had the update after {LATE_S:g} s"
            raise TimeoutError(msg)
        last_s = (max(self.published(uids)) - begun_ns) / NS_PER_S
        return Trial(last_s, ended_s - begun_s, cpu_s)

    def roll_out(self, who: str) -> Trial:
        """Replace the pods after an update."""
        before = self.deployment()["metadata"]["generation"]
        self.update()
        begun_s = CLOCK.monotonic()
        first, *then = self.commands("rollout")[who]
        started = self.start(first)
        ready_s: list[float] = []

        def is_complete() -> bool:
            found = self.deployment()
            return found["metadata"]["generation"] > before and is_rolled_out(
                found, "Deployment"
            )

        if not wait_until(is_complete, deadline_s=READY_S, poll_s=4 * POLL_S):
            msg = f"{who}: the rollout was not complete after {READY_S:g} s"
            raise TimeoutError(msg)
        ready_s.append(CLOCK.monotonic() - begun_s)
        _, status, usage = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
        if started.returncode != 0:
            msg = f"{' '.join(first)} ended with {started.returncode}"
            raise RuntimeError(msg)
        ended_s, cpu_s = self.run(then)
        cpu_s += usage.ru_utime + usage.ru_stime
        return Trial(ready_s[0], ended_s - begun_s, cpu_s)

    def deployment(self) -> dict[str, Any]:
        """Read the Deployment."""
        return self.cluster.get(DEPLOYMENT, NAME, namespace=self.namespace)

    def measure(self, method: str, trials: int) -> dict[str, list[Trial]]:
        """Try both in turn, in random order."""
        found: dict[str, list[Trial]] = defaultdict(list)
        one = self.touch if method == "annotate" else self.roll_out
        for number in range(trials):
            for who in random.sample(["kubectl", "cmhot"], 2):
                CLOCK.sleep(REST_S)
                found[who].append(one(who))
            pair = " ".join(f"{who} {found[who][-1].last_s:.2f}" for who in found)
            print(
                f"{method}, {self.pods} pods, {number + 1} of {trials}: {pair} s; "
                f"load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
        return found

    def questions(self) -> dict[str, list[str]]:
        """Give the commands that change nothing, of what has landed."""
        workload = f"deployment/{NAME}"
        dry_run = ("--method", "rollout", "--dry-run")
        return {
            "--dry-run": self.asked("refresh", workload, *dry_run),
            "explain": self.asked("explain", f"configmap/{NAME}"),
            "wait": self.asked("wait", f"configmap/{NAME}"),
        }

    def look(self, one: Callable[[str], None], trials: int) -> float:
        """Run a command in each pod, as many at once as `wait` does; median seconds."""
        found, _ = self.cluster.list(POD, namespace=self.namespace)
        names = [pod["metadata"]["name"] for pod in found]
        seconds = []
        for _ in range(trials):
            begun_s = CLOCK.monotonic()
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(one, names))
            seconds.append(CLOCK.monotonic() - begun_s)
        return statistics.median(seconds)

    def by_kubectl(self, pod: str) -> None:
        """Read the file in a pod as people do."""
        command = ["kubectl", "-n", self.namespace, "exec", pod, "--", *READ]
        self.run([command])

    def by_client(self, pod: str) -> None:
        """Read it without a program."""
        answer = self.cluster.capture(
            pod, READ, namespace=self.namespace, container="main"
        )
        if answer.code != 0:
            raise RuntimeError(answer.complaint)

    def ask(self, command: list[str], trials: int) -> list[tuple[float, float]]:
        """Run a command so often; give seconds, and seconds of CPU."""
        found = []
        for _ in range(trials):
            begun_s = CLOCK.monotonic()
            ended_s, cpu_s = self.run([command])
            found.append((ended_s - begun_s, cpu_s))
        return found


@contextlib.contextmanager
def deployments(
    setting: str, name: str, pods: Sequence[int] | None, *, keep: bool = False
) -> Iterator[Iterator[Bench]]:
    """Start a testbed of one node; give a Deployment of each size in turn."""
    wanted = layout.make_spec([parse_setting(setting)], name=name)
    lifecycle.up(wanted)
    try:
        node = wanted.nodes[0].name
        with contextlib.closing(_deployed(node, name, pods or [10, 50])) as benches:
            yield benches  # an error takes the namespace away before the testbed
    finally:
        if not keep:
            lifecycle.down(name)


def _deployed(node: str, name: str, sizes: Sequence[int]) -> Generator[Bench]:
    cluster, home = connect(f"testbed:{name}"), layout.home(name)
    volumes = home.run / node / "kubelet" / "pods"
    for pods in sizes:
        with fresh_namespace(
            cluster, "bench", gone_within_s=NAMESPACE_GONE_S
        ) as namespace:
            for manifest in manifests(pods):
                cluster.apply(manifest, namespace=namespace)
            await_ready(cluster, namespace, count=pods, deadline_s=READY_S)
            yield Bench(
                cluster, namespace, home.kubeconfig, f"cmhot-{name}", volumes, pods
            )


def compared(
    method: str, pods: int, found: dict[str, list[Trial]], ratio: float
) -> list[Result]:
    """Compare by pairs; medians, since a single trial may meet anything."""
    ours, theirs = found["cmhot"], found["kubectl"]
    ratios = [
        one.last_s / other.last_s for one, other in zip(ours, theirs, strict=True)
    ]
    after = sorted(one.done_s - one.last_s for one in ours)
    title = f"{method}, {pods} pods"
    middle = statistics.median
    return [
        Result(f"{title}: kubectl, last pod", middle(t.last_s for t in theirs), "s"),
        Result(f"{title}: cmhot, last pod", middle(t.last_s for t in ours), "s"),
        Result(f"{title}: ratio, median of pairs", middle(ratios), "", ratio),
        Result(f"{title}: cmhot, done after it", middle(after), "s", AFTER_S),
        Result(f"{title}: the same, 90 %", after[int(0.9 * (len(after) - 1))], "s"),
        Result(f"{title}: kubectl, CPU", middle(t.cpu_s for t in theirs), "s"),
        Result(f"{title}: cmhot, CPU", middle(t.cpu_s for t in ours), "s"),
    ]


def main() -> int:
    """Measure with so many pods; say what the machine did besides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, action="append")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--rollouts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="use and leave the testbed")
    chosen = parser.parse_args()
    if shutil.which("kubectl") is None:
        print("kubectl is not installed: there is nothing to compare with")
        return 2
    random.seed(chosen.seed)
    results: list[Result] = []
    trials: dict[str, Any] = {}
    load = os.getloadavg()
    with deployments("sync=60s", BED, chosen.pods, keep=chosen.keep) as benches:
        for bench in benches:
            pods = bench.pods
            for command in bench.questions().values():
                bench.ask(command, 2)  # makes the bytecode
            bench.touch("cmhot")
            for method, number, ratio in (
                ("annotate", chosen.trials, ANNOTATE_RATIO),
                ("rollout", chosen.rollouts, ROLLOUT_RATIO),
            ):
                if not number:
                    continue
                found = bench.measure(method, number)
                results += compared(method, pods, found, ratio)
                trials[f"{method}, {pods} pods"] = {
                    who: [[t.last_s, t.done_s, t.cpu_s] for t in some]
                    for who, some in found.items()
                }
            for name, command in bench.questions().items():
                title = f"{name}, {pods} pods"
                walls, cpus = zip(*bench.ask(command, chosen.trials), strict=True)
                results += [
                    Result(title, statistics.median(walls), "s", PLAN_S),
                    Result(f"{title}, CPU", statistics.median(cpus), "s", PLAN_CPU_S),
                ]
            title = f"a command in each of {pods} pods"
            for name, one in (
                ("kubectl exec", bench.by_kubectl),
                ("our client alone", bench.by_client),
            ):
                seconds = bench.look(one, LOOKS)
                results.append(Result(f"{title}, {name}", seconds, "s"))
    more = {"load_before": load, "load_after": os.getloadavg(), "trials": trials}
    return 0 if publish("refresh", results, **more) else 1


if __name__ == "__main__":
    sys.exit(main())
