"""Inflict faults on collections of a real testbed, and count what became of each trial.

``make faults`` runs all of them and writes docs/studies/faults.md;
the tests run some. Faults of the whole testbed come one after the other;
those of a single run are inflicted at the same time, each on a run of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pandas as pd

from benchmarks.common import CLOCK, wait_until
from cmhot.clock import NS_PER_S
from cmhot.cluster import client
from cmhot.cluster.port import NAMESPACE, POD
from cmhot.cluster.port import NODE as NODES
from cmhot.cluster.probe import namespace_of
from cmhot.cluster.targets import connect
from cmhot.cluster.testbed import layout, lifecycle
from cmhot.cluster.testbed.status import all_pids, first_process, processes_in_namespace
from cmhot.cluster.testbed.versions import KUBERNETES_VERSION
from cmhot.collector.begin import collect, resume
from cmhot.collector.probes import CONFIG_MAP_NAME
from cmhot.errors import ClusterError, CmhotError, UnreachableError
from cmhot.kubelet.settings import parse_setting
from cmhot.kubelet.uses import CONFIG_MAP, Kind
from cmhot.runs import schema
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_run
from cmhot.statistics import describe_delays, describe_intervals
from tests.fronts import Front, Stepped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cmhot.cluster.port import Cluster
    from cmhot.runs.rundir import Run

TESTBED = "faults"
NODE = "sync=5s"
PAGE = Path("docs/studies/faults.md")
LEDGER = Path("build/faults.json")
"""What an interrupted `make faults` has so far."""
BEFORE_S = 15.0
"""From the first trial to the fault."""
OUTAGE_S, STALL_S = 30.0, 20.0
PAGE_SIZE = 4096
GONE = 410
SHIFT_P50_S, SHIFT_P99_S = 0.2, 1.0
"""What a fault may change of the distribution at S = 5 s."""
ROLE = Kind("rbac.authorization.k8s.io/v1", "rolebindings")
SERVICE_ACCOUNT = Kind("v1", "serviceaccounts")


# -- the testbed's programs ----------------------------------------------------------


def pids(testbed: str, *marks: str) -> list[int]:
    """Find processes of a testbed whose command line has all of some words."""
    first = first_process(layout.home(testbed).run)
    if first is None:
        return []
    namespace = os.readlink(f"/proc/{first}/ns/pid")  # noqa: PTH115 - it is no path
    found = []
    for pid in processes_in_namespace(namespace):
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
            if all(mark.encode() in line for mark in marks):
                found.append(pid)
    return found


def send(number: int, testbed: str, *marks: str) -> list[int]:
    """Send a signal to programs of a testbed; return which got it."""
    found = pids(testbed, *marks)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return found


API_SERVER, ETCD = "bin/kube-apiserver", "bin/etcd"
KUBELET, CONTAINERD = "bin/kubelet", "bin/containerd"


# -- faults --------------------------------------------------------------------------


@dataclass
class Under:
    """A run under a fault.

    Attributes
    ----------
    testbed
        Its name.
    cluster
        As its administrator.
    run_dir
        The run directory.
    folder
        For files of one's own.
    clock
        The collector's, if it is in this process.
    process
        In which the collector is otherwise, where it can be interrupted.
    """

    testbed: str
    cluster: client.Kube
    run_dir: Path
    folder: Path
    clock: Stepped
    process: subprocess.Popen[bytes] | None = None

    @property
    def meta(self) -> dict[str, Any]:
        """run.json as it is now."""
        found: dict[str, Any] = json.loads((self.run_dir / "run.json").read_text())
        return found

    @property
    def namespace(self) -> str:
        """Where the probes are."""
        meta = self.meta
        return str(meta["plan"]["namespace"] or namespace_of(meta["run_id"]))

    @property
    def pod(self) -> dict[str, Any]:
        """The first probe."""
        first: dict[str, Any] = self.meta["pods"][0]
        return first

    def probe_pid(self) -> int:
        """Find the process of the first probe."""
        for pid in all_pids():  # pods have PID namespaces of their own
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
                group = Path(f"/proc/{pid}/cgroup").read_text()
                if b"probe\0/etc/cmhot" in line and self.pod["uid"] in group:
                    return pid
        msg = f"no process of {self.pod['pod']}"
        raise AssertionError(msg)


def api_server_away(run: Under) -> None:
    """Kill the API server whenever it comes back, for half a minute."""
    until = CLOCK.monotonic() + OUTAGE_S
    while CLOCK.monotonic() < until:
        send(signal.SIGKILL, run.testbed, API_SERVER)
        CLOCK.sleep(0.2)


def etcd_stalls(run: Under) -> None:
    """Stop etcd for twenty seconds."""
    try:
        send(signal.SIGSTOP, run.testbed, ETCD)
        CLOCK.sleep(STALL_S)
    finally:
        send(signal.SIGCONT, run.testbed, ETCD)


def kubelet_restarts(run: Under) -> None:
    """Kill the kubelet; the supervisor starts it again."""
    send(signal.SIGKILL, run.testbed, KUBELET)


def containerd_restarts(run: Under) -> None:
    """Kill containerd; the supervisor starts it again, and containers live on."""
    send(signal.SIGKILL, run.testbed, CONTAINERD, "--config")


def node_goes_away(run: Under) -> None:
    """Stop the kubelet for the rest of the run."""
    send(signal.SIGSTOP, run.testbed, KUBELET)


def node_comes_back(run: Under) -> None:
    """Let the kubelet go on."""
    send(signal.SIGCONT, run.testbed, KUBELET)


def logs_kept_small(run: Under) -> None:
    """Let the kubelet rotate logs of a kibibyte, a dozen lines; it starts anew."""
    _configure(run, {"containerLogMaxSize": "1Ki", "containerLogMonitorInterval": "3s"})


def logs_kept(run: Under) -> None:
    """Let the kubelet keep logs as it does by default."""
    _configure(run, {"containerLogMaxSize": "10Mi"})


def _configure(run: Under, fields: dict[str, str]) -> None:
    (file,) = layout.home(run.testbed).run.glob("*/kubelet.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))
    send(signal.SIGKILL, run.testbed, KUBELET)
    CLOCK.sleep(5)  # the supervisor starts it again after a second


def pod_deleted(run: Under) -> None:
    """Delete a probe."""
    run.cluster.delete(POD, run.pod["pod"], namespace=run.namespace)


def pod_evicted(run: Under) -> None:
    """Evict a probe, as a drain does."""
    name = run.pod["pod"]
    run.cluster._json(
        "POST",
        f"/api/v1/namespaces/{run.namespace}/pods/{name}/eviction",
        body={
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": run.namespace},
        },
    )


def pod_out_of_memory(run: Under) -> None:
    """Take a probe's memory away: the kernel kills it for the next page it needs."""
    pid = run.probe_pid()
    groups = dict(
        line.split(":", 2)[1:]
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    )
    if "memory" in groups:
        folder = Path("/sys/fs/cgroup/memory" + groups["memory"])
        limit = int((folder / "memory.usage_in_bytes").read_text())
        with contextlib.suppress(OSError):  # it can be taken no more
            while limit > PAGE_SIZE:
                (folder / "memory.limit_in_bytes").write_text(str(limit))
                limit -= PAGE_SIZE
    else:
        folder = Path("/sys/fs/cgroup" + groups[""])
        (folder / "memory.max").write_text(str(PAGE_SIZE))


def configmap_deleted(run: Under) -> None:
    """Delete the ConfigMap; the collector makes it again."""
    run.cluster.delete(CONFIG_MAP, CONFIG_MAP_NAME, namespace=run.namespace)


def configmap_immutable(run: Under) -> None:
    """Make the ConfigMap immutable, which cannot be undone."""
    run.cluster.patch(
        CONFIG_MAP, CONFIG_MAP_NAME, {"immutable": True}, namespace=run.namespace
    )


def configmap_changed(run: Under) -> None:
    """Write to the ConfigMap, as somebody who applies an old manifest does."""
    for content in ("0", "hello", "999999", "1"):
        run.cluster.patch(
            CONFIG_MAP,
            CONFIG_MAP_NAME,
            {"data": {"seq": content, "theirs": content}},
            namespace=run.namespace,
        )
        CLOCK.sleep(0.4)


def namespace_deleted(run: Under) -> None:
    """Delete the namespace."""
    run.cluster.delete(NAMESPACE, run.namespace)


def token_revoked(run: Under) -> None:
    """Delete the service account: its tokens are void at once."""
    run.cluster.delete(SERVICE_ACCOUNT, "collector", namespace=run.namespace)


def rights_taken(run: Under) -> None:
    """Delete the RoleBinding."""
    run.cluster.delete(ROLE, "collector", namespace=run.namespace)


def disk_full(run: Under) -> None:
    """Fill the file system that the run is on."""
    filler = run.run_dir.parent / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1024))


def disk_freed(run: Under) -> None:
    """Make room again."""
    (run.run_dir.parent / "filler").unlink()


def nothing(_: Under) -> None:
    """Do nothing."""


def clock_stepped(run: Under) -> None:
    """Set the collector's clock forward by half a minute, and then back by one."""
    run.clock.step(30 * NS_PER_S)
    CLOCK.sleep(STALL_S)
    run.clock.step(-60 * NS_PER_S)


def kernel_interrupted(run: Under) -> None:
    """Press Ctrl-C where the notebook is executed: its kernel gets it."""
    assert run.process is not None
    run.process.send_signal(signal.SIGINT)


FORGOTTEN = "1"
"""A version that an API server which was restarted has no memory of."""


def api_server_restarts(run: Under) -> None:
    """Let the API server forget what was before; watches from there are too old."""
    send(signal.SIGKILL, run.testbed, API_SERVER)
    CLOCK.sleep(2)  # the supervisor starts it again after a second
    assert wait_until(lambda: _takes_pods(run.cluster), deadline_s=90)


def _is_forgotten(cluster: Any, kind: Kind, namespace: str) -> bool:  # noqa: ANN401
    """Ask whether a watch from there is answered 410, at once or by its first event."""
    query = {"watch": "true", "resourceVersion": FORGOTTEN, "timeoutSeconds": 1}
    path = cluster._path(kind, None, namespace)
    try:
        answer = cluster._open("GET", path, query=query, read_timeout_s=10)
    except ClusterError as error:
        return error.status == GONE
    said = b"".join(answer.stream(decode_content=True))
    return f'"code":{GONE}'.encode() in said


class Answers(Front):
    """A cluster whose answers go wrong, in front of a real one.

    Parameters
    ----------
    inner
        The real one.
    how
        ``409``, ``429``, ``500``, ``lost`` (made, but no answer) or ``unsent``
        (neither), for every third write; ``throttled``: 429 for good;
        ``410``: every watch begins at a version that the API server has forgotten.
    """

    def __init__(self, inner: client.Kube, how: str) -> None:
        super().__init__(inner)
        self._how = how
        self._writes = 0

    def watch(
        self,
        kind: Kind,
        *,
        namespace: str,
        labels: Mapping[str, str],
        resource_version: str,
    ) -> Iterator[dict[str, Any]]:
        """Begin where nothing is known any more."""
        if self._how == "410":
            assert _is_forgotten(self.inner, kind, namespace)
            resource_version = FORGOTTEN
        return super().watch(
            kind, namespace=namespace, labels=labels, resource_version=resource_version
        )

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Write, or not, and answer wrongly now and then."""
        wrong = kind == CONFIG_MAP and self._goes_wrong()
        if not wrong:
            return super().patch(kind, name, body, namespace=namespace)
        if self._how == "lost":
            super().patch(kind, name, body, namespace=namespace)
        if self._how in {"lost", "unsent"}:
            msg = "no answer from the API server"
            raise UnreachableError(msg)
        status = 429 if self._how == "throttled" else int(self._how)
        msg = f"PATCH failed ({status})"
        raise ClusterError(msg, status=status)

    def _goes_wrong(self) -> bool:
        self._writes += 1
        if self._how == "410":
            return False
        if self._how == "throttled":
            return self._writes > 40
        return self._writes % 3 == 0


class Timed(Front):
    """A cluster whose clock somebody sets."""

    def __init__(self, inner: Cluster, clock: Stepped) -> None:
        super().__init__(inner)
        self.clock = clock


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault.

    Attributes
    ----------
    name
        In the table.
    inflict
        What happens, some seconds after the first trial.
    before, after
        What is done to the testbed before the run, and after it.
    mend
        What is done after the run ended by itself; the run is then resumed.
    alone
        Whether it disturbs other runs too.
    answers
        How answers to writes go wrong; None: they do not.
    as_user
        Whether the collector is a service account of the namespace it works in.
    small_disk
        Whether the run is on a small file system of its own.
    killed
        How often the collector is killed and resumed.
    in_kernel
        Whether the collector is in the kernel of a notebook.
    ends
        What the run says when it must end by itself; None: it goes on.
    pods_lost
        How many probes are lost.
    """

    name: str
    inflict: Callable[[Under], None] = nothing
    before: Callable[[Under], None] = nothing
    after: Callable[[Under], None] = nothing
    mend: Callable[[Under], None] | None = None
    alone: bool = False
    answers: str | None = None
    as_user: bool = False
    small_disk: bool = False
    killed: int = 0
    in_kernel: bool = False
    ends: str | None = None
    pods_lost: int = 0


UNDISTURBED = Fault("none")
FAULTS = (
    UNDISTURBED,
    Fault("API server killed for 30 s", api_server_away, alone=True),
    Fault("etcd stopped for 20 s", etcd_stalls, alone=True),
    Fault("kubelet restarted", kubelet_restarts, alone=True),
    Fault("containerd restarted", containerd_restarts, alone=True),
    Fault(
        "node gone (kubelet stopped)",
        node_goes_away,
        after=node_comes_back,
        alone=True,
    ),
    Fault("logs rotated", before=logs_kept_small, after=logs_kept, alone=True),
    Fault("probe pod deleted", pod_deleted, pods_lost=1),
    Fault("probe pod evicted", pod_evicted, pods_lost=1),
    Fault("probe out of memory", pod_out_of_memory),
    Fault("ConfigMap deleted", configmap_deleted),
    Fault("ConfigMap made immutable", configmap_immutable, ends="immutable"),
    Fault("ConfigMap changed by somebody else", configmap_changed),
    Fault("namespace deleted", namespace_deleted, ends="refuses the writes"),
    Fault("every third write answered 409", answers="409"),
    Fault("every third write answered 429", answers="429"),
    Fault("every third write answered 500", answers="500"),
    Fault("answers lost, writes made", answers="lost"),
    Fault("answers lost, writes not made", answers="unsent"),
    Fault("429 for good", answers="throttled", ends="asked for fewer requests"),
    Fault("token revoked", token_revoked, as_user=True, ends="refuses the writes"),
    Fault("rights taken away", rights_taken, as_user=True, ends="refuses the writes"),
    Fault("collector killed twice, resumed", killed=2),
    Fault(
        "watches answered 410", before=api_server_restarts, answers="410", alone=True
    ),
    Fault("collector's clock set", clock_stepped),
    Fault(
        "kernel interrupted",
        kernel_interrupted,
        in_kernel=True,
        ends="KeyboardInterrupt",
    ),
    Fault(
        "disk full, freed, resumed",
        disk_full,
        mend=disk_freed,
        small_disk=True,
        ends="cannot write to",
    ),
)


# -- runs ----------------------------------------------------------------------------


@dataclass(slots=True)
class Outcome:
    """What a run came to under a fault.

    Attributes
    ----------
    fault, run_dir
        Which, and where.
    said
        The error that it ended with; None: it did not.
    began_ns
        When the fault began, UTC epoch ns.
    error
        Why it could not be inflicted.
    secrets
        What must be in none of its files.
    """

    fault: Fault
    run_dir: Path
    said: str | None = None
    began_ns: int = 0
    error: BaseException | None = None
    secrets: list[str] = field(default_factory=list)


def run_under(
    fault: Fault, testbed: str, folder: Path, *, pods: int, duration_s: float
) -> Outcome:
    """Collect under a fault, in this thread, and say what came of it."""
    with contextlib.ExitStack() as stack:
        admin = connect(f"testbed:{testbed}")
        assert isinstance(admin, client.Kube)
        assert wait_until(lambda: _takes_pods(admin), deadline_s=90)
        run_id = "f-" + "".join(
            letter if letter.isalnum() else "-" for letter in fault.name.lower()
        ).strip("-")[:40].strip("-")
        out = folder
        if fault.small_disk:
            out = stack.enter_context(small_disk(folder / "small"))
        clock = Stepped(admin.clock)
        under = Under(testbed, admin, out / run_id, folder, clock)
        outcome = Outcome(fault, under.run_dir)
        outcome.secrets += keys_of(layout.home(testbed).kubeconfig)
        fault.before(under)
        cluster: Any = admin
        plan = Plan(pods=pods, duration_s=duration_s, seed=11)
        if fault.as_user:
            plan = Plan(
                pods=pods,
                duration_s=duration_s,
                seed=11,
                namespace=f"{run_id}-ns",
                setting=NODE,
            )
            cluster = stack.enter_context(as_user(admin, testbed, f"{run_id}-ns", out))
            outcome.secrets += keys_of(out / f"{run_id}-ns.yaml")
        if fault.answers is not None:
            cluster = Answers(cluster, fault.answers)
        cluster = Timed(cluster, clock)
        trouble = threading.Thread(target=_trouble, args=(fault, under, outcome))
        trouble.start()
        try:
            if fault.killed:
                _kill_and_resume(fault, under, plan, outcome)
            elif fault.in_kernel:
                _collect_in_kernel(under, plan, outcome)
            else:
                collect(cluster, plan, out=out, run_id=run_id)
        except CmhotError as error:
            if not under.run_dir.exists():
                raise
            outcome.said = str(error)
        finally:
            trouble.join()
            fault.after(under)
        if fault.mend is not None:
            fault.mend(under)
            resume(cluster, under.run_dir)
        if fault.small_disk:
            kept = folder / run_id
            subprocess.run(["cp", "-r", str(under.run_dir), str(kept)], check=True)
            outcome.run_dir = kept
        return outcome


def _takes_pods(cluster: client.Kube) -> bool:
    """Tell whether the nodes have got over the last fault."""
    try:
        nodes, _ = cluster.list(NODES)
    except ClusterError:
        return False
    return all(not node["spec"].get("taints") for node in nodes)


def _trouble(fault: Fault, under: Under, outcome: Outcome) -> None:
    """Wait for some trials, then inflict the fault."""
    try:
        if not wait_until(lambda: _trials(under.run_dir), deadline_s=120):
            return
        CLOCK.sleep(BEFORE_S)
        outcome.began_ns = CLOCK.utc_ns()
        fault.inflict(under)
    except BaseException as error:  # noqa: BLE001 - it is told where the run is judged
        outcome.error = error


def _trials(run_dir: Path) -> bool:
    file = run_dir / "updates.jsonl"
    return file.is_file() and b'"trial"' in file.read_bytes()


def _kill_and_resume(fault: Fault, under: Under, plan: Plan, outcome: Outcome) -> None:
    """Collect in another process, and kill it again and again."""
    options = ("--target", f"testbed:{under.testbed}")
    first = (
        *("collect", *options, "--out", str(under.run_dir.parent)),
        *("--pods", str(plan.pods), "--duration", f"{plan.duration_s:g}s"),
        *("--seed", str(plan.seed)),
    )
    before = set(under.run_dir.parent.iterdir())
    begin = subprocess.Popen([sys.executable, "-m", "cmhot", *first], stderr=-3)
    found: list[Path] = []

    def began() -> bool:
        found[:] = [
            path
            for path in set(under.run_dir.parent.iterdir()) - before
            if path.name.startswith("2") and _trials(path)
        ]
        return bool(found)

    assert wait_until(began, deadline_s=120)
    under.run_dir.symlink_to(found[0])
    for _ in range(fault.killed):
        CLOCK.sleep(8)
        outcome.began_ns = CLOCK.utc_ns()
        begin.kill()
        begin.wait()
        CLOCK.sleep(4)
        again = ("collect", *options, "--resume", str(found[0]))
        begin = subprocess.Popen([sys.executable, "-m", "cmhot", *again], stderr=-3)
    code = begin.wait(300)
    assert code in {0, 1}, code


CELLS = (
    """\
target: str = ""  # where
out: str = ""  # folder of runs
run_id: str = ""  # of the run
pods: int = 1  # probes
duration_s: float = 1.0  # seconds of trials
seed: int = 1  # of the schedule""",
    """\
from pathlib import Path
from cmhot import collect
from cmhot.plan import Plan
from cmhot.targets import connect
plan = Plan(pods=pods, duration_s=duration_s, seed=seed)
collect(connect(target), plan, out=Path(out), run_id=run_id)""",
)
EXECUTE = """\
import json, sys
from pathlib import Path
from cmhot import notebooks
notebooks.execute(Path(sys.argv[1]), json.loads(sys.argv[2]), out=Path(sys.argv[3]))
"""


def _collect_in_kernel(under: Under, plan: Plan, outcome: Outcome) -> None:
    """Collect in a notebook that another process executes, until it is interrupted."""
    source = under.folder / "collect.ipynb"
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{number}",
            "metadata": {"tags": ["parameters"]} if number == 0 else {},
            "outputs": [],
            "source": text,
        }
        for number, text in enumerate(CELLS)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {
        "cells": cells,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    source.write_text(json.dumps(notebook))
    values = {
        "target": f"testbed:{under.testbed}",
        "out": str(under.run_dir.parent),
        "run_id": under.run_dir.name,
        "pods": plan.pods,
        "duration_s": plan.duration_s,
        "seed": plan.seed,
    }
    executed = under.folder / "executed"
    arguments = [str(source), json.dumps(values), str(executed)]
    under.process = subprocess.Popen(
        [sys.executable, "-c", EXECUTE, *arguments], stderr=subprocess.PIPE
    )
    _, errors = under.process.communicate(timeout=plan.duration_s + 300)
    assert under.process.returncode != 0, "it was not interrupted"
    outcome.said = errors.decode().strip().splitlines()[-1]


@contextlib.contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """Mount a file system that is full soon."""
    path.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)], check=True
    )
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@contextlib.contextmanager
def as_user(
    admin: client.Kube, testbed: str, namespace: str, folder: Path
) -> Iterator[client.Kube]:
    """Make a namespace and a service account that may do everything in it."""
    import yaml  # noqa: PLC0415 - here only

    group = "rbac.authorization.k8s.io"
    account = {"name": "collector", "namespace": namespace}
    manifests: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
        {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": account,
            "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": account,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "collector"},
            "subjects": [{"kind": "ServiceAccount", **account}],
        },
    ]
    for manifest in manifests:
        admin.apply(manifest)
    answer = admin._json(
        "POST",
        f"/api/v1/namespaces/{namespace}/serviceaccounts/collector/token",
        body={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"},
    )
    kubeconfig = yaml.safe_load(layout.home(testbed).kubeconfig.read_text())
    kubeconfig["users"] = [
        {"name": "user", "user": {"token": answer["status"]["token"]}}
    ]
    there = kubeconfig["clusters"][0]["name"]
    kubeconfig["contexts"] = [
        {"name": "user", "context": {"cluster": there, "user": "user"}}
    ]
    kubeconfig["current-context"] = "user"
    file = folder / f"{namespace}.yaml"
    file.write_text(yaml.safe_dump(kubeconfig))
    user = client.connect(target="context:user", context="user", kubeconfig=file)
    user.local_image = admin.local_image
    try:
        yield user
    finally:
        admin.delete(NAMESPACE, namespace)
        file.unlink()


def keys_of(kubeconfig: Path) -> list[str]:
    """Read the keys, certificates and tokens of a kubeconfig."""
    import yaml  # noqa: PLC0415 - here only

    content = yaml.safe_load(kubeconfig.read_text())
    return [str(value) for one in content["users"] for value in one["user"].values()]


# -- what came of it -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table.

    Attributes
    ----------
    fault
        Its name.
    counts
        Rows of each status.
    planned
        Updates times pods.
    unaccounted
        Planned and of no status.
    recovered_s
        From the fault to the acknowledgement of the next update that was observed
        in every pod that lives; None: the run ended.
    n_syncs
        Intervals that count.
    p50_s, p99_s
        Of the interval estimator.
    direct_p50_s, direct_p99_s
        Of the delays.
    status
        Of the run.
    said
        What it ended with.
    events
        How many of each kind.
    leaked
        How many files of the run have a key or a token in them.
    """

    fault: str
    counts: dict[str, int]
    planned: int
    unaccounted: int
    recovered_s: float | None
    n_syncs: int
    p50_s: float
    p99_s: float
    direct_p50_s: float
    direct_p99_s: float
    status: str
    said: str | None
    events: dict[str, int]
    leaked: int


def judge(outcome: Outcome) -> Row:
    """Count what became of the trials of a run."""
    if outcome.error is not None:
        raise outcome.error
    run = read_run(outcome.run_dir)
    rows = pd.read_parquet(outcome.run_dir / "delays.parquet")
    refresh = pd.read_parquet(outcome.run_dir / "refresh.parquet")
    refresh["modelled"] = rows["modelled"] = False
    planned = run.meta["planned_updates"] * len(run.meta["pods"])
    left = run.meta["checks"]["trials_left"] * len(run.meta["pods"])
    counts = {name: int((rows["status"] == name).sum()) for name in schema.STATUSES}
    counts["not_sent"] += left
    nothing_counts = {"n_syncs": 0, "p50_s": float("nan"), "p99_s": float("nan")}
    interval: dict[Any, Any] = (
        nothing_counts
        if refresh.empty
        else describe_intervals(refresh).iloc[0].to_dict()
    )
    direct = describe_delays(rows).iloc[0]
    return Row(
        fault=outcome.fault.name,
        counts=counts,
        planned=planned,
        unaccounted=planned - sum(counts.values()),
        recovered_s=_recovered_s(run, rows, outcome.began_ns),
        n_syncs=int(interval["n_syncs"]),
        p50_s=float(interval["p50_s"]),
        p99_s=float(interval["p99_s"]),
        direct_p50_s=float(direct["p50_s"]),
        direct_p99_s=float(direct["p99_s"]),
        status=run.meta["status"],
        said=outcome.said,
        leaked=sum(
            secret in file.read_text(errors="replace")
            for file in outcome.run_dir.iterdir()
            for secret in outcome.secrets
        ),
        events={str(k): int(n) for k, n in run.events["kind"].value_counts().items()},
    )


def _recovered_s(run: Run, rows: pd.DataFrame, began_ns: int) -> float | None:
    """Find the first update after the fault that all living pods were seen to have."""
    gone = set(run.events.loc[run.events["kind"] == "gone", "object"])
    alive = rows[~("pod/" + rows["pod"].astype(str)).isin(gone)]
    after = alive[alive["sent_ns"].notna() & (alive["sent_ns"] > began_ns)]
    whole = after.groupby("seq")["status"].agg(
        lambda own: bool((own == "observed").all())
    )
    seen = whole[whole].index
    if seen.empty:
        return None
    first = after[after["seq"] == seen.min()]["acked_ns"].iloc[0]
    return float((first - began_ns) / NS_PER_S)


# -- the page ------------------------------------------------------------------------


RUN_DIR = r"(?<!PATCH )(?<!\w)/[^ :;`]*/f-[\w-]+"
FEW = 20
"""Intervals, of which no quantile is worth telling."""


def _shifts(row: Row, p50_s: float, p99_s: float) -> tuple[str, str]:
    if row.n_syncs < FEW:
        return "-", "-"
    return f"{row.p50_s - p50_s:+.2f}", f"{row.p99_s - p99_s:+.2f}"


HEAD = (
    *("fault", "planned", *schema.STATUSES, "unaccounted"),
    *("recovered, s", "shift of p50, s", "shift of p99, s", "the run"),
)


def page(told: Mapping[str, Any], rows: list[Row]) -> str:
    """Write the table.

    Parameters
    ----------
    told
        Circumstances of the run: see `main`.
    rows
        Of all faults.
    """
    calm = [row for row in rows if row.fault == UNDISTURBED.name]
    p50_s = sum(row.p50_s for row in calm) / len(calm)
    p99_s = sum(row.p99_s for row in calm) / len(calm)
    lines = [
        "# What faults do to a measurement",
        "",
        "Made by `make faults` on a real testbed",
        f"(Kubernetes {told['kubernetes']}, one kubelet at S = 5 s, Watch;",
        f"{told['pods']} probes a run, {told['duration_s']:g} s of trials);",
        "each fault happens in the middle of a run of its own.",
        "Trials are updates times pods; in each row",
        "planned = observed + timeout + interrupted + missed + not sent + failed.",
        "Recovered: from the beginning of the fault to the first update after it",
        "that every living probe was seen to publish.",
        "Shifts are against the undisturbed run, of the interval estimator, which is",
        "the headline; they may be 0.2 s and 1 s.",
        "While trials count the collector holds no watch that could become too old",
        "(410): it watches pods until they are Ready, a minute at a time, and lists",
        "them later. That watch is the one which the fault of this name ends.",
        "",
        f"| {' | '.join(HEAD)} |",
        "|---" * len(HEAD) + "|",
    ]
    for row in rows:
        cells = [row.fault, f"{row.planned:,}"]
        cells += [f"{row.counts[name]:,}" for name in schema.STATUSES]
        cells += [
            str(row.unaccounted),
            "-" if row.recovered_s is None else f"{row.recovered_s:.1f}",
            *_shifts(row, p50_s, p99_s),
            row.status,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Runs that ended by themselves, or were ended, said:", ""]
    lines += [
        f"* {row.fault}: {re.sub(RUN_DIR, 'RUN', row.said)}" for row in rows if row.said
    ]
    return "\n".join(lines) + "\n"


def inflict(
    chosen: Sequence[Fault], testbed: str, folder: Path, *, pods: int, duration_s: float
) -> Iterator[Outcome]:
    """Run faults: those of the testbed in turn, the others side by side."""
    for fault in chosen:
        if fault.alone:
            click.echo(f"{fault.name} …", err=True)
            yield run_under(fault, testbed, folder, pods=pods, duration_s=duration_s)
    together = [fault for fault in chosen if not fault.alone]
    for begin in range(0, len(together), SIDE_BY_SIDE):
        some = together[begin : begin + SIDE_BY_SIDE]
        click.echo("; ".join(fault.name for fault in some) + " …", err=True)
        yield from side_by_side(some, testbed, folder, pods=pods, duration_s=duration_s)


SIDE_BY_SIDE = 6
"""Runs at a time: on two cores their probes and collectors disturb nobody."""


def side_by_side(
    faults: list[Fault], testbed: str, folder: Path, *, pods: int, duration_s: float
) -> list[Outcome]:
    """Run some at the same time, each in a thread of its own."""
    found: list[Outcome] = []
    broken: list[BaseException] = []

    def work(fault: Fault) -> None:
        try:
            found.append(
                run_under(fault, testbed, folder, pods=pods, duration_s=duration_s)
            )
        except BaseException as error:  # noqa: BLE001 - raised again below
            broken.append(error)

    threads = [threading.Thread(target=work, args=(fault,)) for fault in faults]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if broken:
        raise broken[0]
    return found


class Ledger:
    """The rows of a page so far: who was interrupted goes on with the same run.

    Parameters
    ----------
    file
        Where they are kept; None: nowhere.
    told
        Circumstances; what was made under others is no part of this run.
    """

    def __init__(self, file: Path | None, told: Mapping[str, Any]) -> None:
        self.file, self.told = file, dict(told)
        self.rows: dict[str, Row] = {}
        if file is not None and file.exists():
            known = json.loads(file.read_text())
            if known["told"] == self.told:
                self.rows = {row["fault"]: Row(**row) for row in known["rows"]}

    def add(self, row: Row) -> None:
        """Keep a row."""
        self.rows[row.fault] = row
        if self.file is None:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_suffix(".part")
        draft.write_text(self.text())
        draft.replace(self.file)

    def text(self) -> str:
        """Write all of it."""
        rows = [asdict(row) for row in self.ordered()]
        return json.dumps({"told": self.told, "rows": rows}, indent=1) + "\n"

    def ordered(self) -> list[Row]:
        """Give the rows in the order of the faults."""
        return [self.rows[one.name] for one in FAULTS if one.name in self.rows]


@click.command()
@click.option("--pods", default=20, show_default=True)
@click.option("--duration", default=90.0, show_default=True, help="Seconds of trials.")
@click.option("--only", multiple=True, help="Try these; the page is left as it is.")
@click.option("--testbed", default=TESTBED, show_default=True, help="Its name.")
@click.option("--page", "where", default=PAGE, type=click.Path(path_type=Path))
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the runs here.")
@click.option("--anew", is_flag=True, help="Do not go on with an interrupted run.")
def main(
    *,
    pods: int,
    duration: float,
    only: tuple[str, ...],
    testbed: str,
    where: Path,
    keep: Path | None,
    anew: bool,
) -> None:
    """Inflict all faults, and write the table of that one run.

    Interrupted, it goes on where it was when it is called again with the same options.
    """
    wanted = layout.make_spec([parse_setting(NODE)], name=testbed)
    told = {"kubernetes": KUBERNETES_VERSION, "pods": pods, "duration_s": duration}
    if anew:
        LEDGER.unlink(missing_ok=True)
    ledger = Ledger(None if only else LEDGER, told)
    names = {fault.name for fault in FAULTS}
    if strangers := set(only) - names:
        msg = f"no such fault: {', '.join(strangers)}; there are {', '.join(names)}"
        raise click.UsageError(msg)
    todo = [
        fault
        for fault in FAULTS
        if (fault.name in only if only else fault.name not in ledger.rows)
    ]
    if ledger.rows:
        click.echo(
            f"{len(ledger.rows)} faults were inflicted before: going on", err=True
        )
    lifecycle.down(testbed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) if keep is None else keep
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lifecycle.up(wanted)
            for outcome in inflict(
                todo, testbed, folder, pods=pods, duration_s=duration
            ):
                row = judge(outcome)
                ledger.add(row)
                if only:
                    click.echo(json.dumps(asdict(row), indent=1))
        finally:
            lifecycle.down(testbed)
    rows = ledger.ordered()
    if not only:
        text = page(told, rows)
        click.echo(text)
        where.write_text(text)
        where.with_suffix(".json").write_text(ledger.text())
        LEDGER.unlink()
    if any(row.unaccounted or row.leaked for row in rows):
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    main()
