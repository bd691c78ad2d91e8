"""Collections of a real testbed, each with a fault in the middle of it.

Faults of the whole testbed come one after the other;
those of a single run are inflicted at the same time, each on a run of its own.
`studies.faults` judges what comes of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.common import CLOCK, wait_until
from cmhot.clock import NS_PER_S
from cmhot.cluster import client
from cmhot.cluster.port import NAMESPACE, POD
from cmhot.cluster.port import NODE as NODES
from cmhot.cluster.probe import namespace_of
from cmhot.cluster.targets import connect
from cmhot.cluster.testbed import host, layout
from cmhot.collector.begin import collect, resume
from cmhot.collector.probes import CONFIG_MAP_NAME
from cmhot.errors import ClusterError, CmhotError, UnreachableError
from cmhot.kubelet.uses import CONFIG_MAP, Kind
from cmhot.runs.plan import Plan
from studies.fronts import Front, OneMachine, Stepped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


NODE = "sync=5s"
BEFORE_S = 15.0
"""From the first trial to the fault."""
OUTAGE_S, STALL_S = 30.0, 20.0
PAGE_SIZE = 4096
GONE = 410
ROLE = Kind("rbac.authorization.k8s.io/v1", "rolebindings")
SERVICE_ACCOUNT = Kind("v1", "serviceaccounts")


# -- the testbed's programs ----------------------------------------------------------


def pids(testbed: str, *marks: str) -> list[int]:
    """Find processes of a testbed whose command line has all of some words."""
    found = []
    for pid in host.cgroup_members(layout.cgroup_name(testbed), host.PROGRAMS):
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
        The machine's, as a collector in this process sees it.
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
        for pid in host.cgroup_members(layout.cgroup_name(self.testbed)):
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
    """Set the machine's clock forward by an hour, and then back by half a second.

    The first is what a laptop that slept does, the second a server of the time.
    """
    run.clock.step(3600 * NS_PER_S)
    CLOCK.sleep(STALL_S)
    run.clock.step(-NS_PER_S // 2)


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
    Fault("machine's clock set", clock_stepped),
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
        cluster = OneMachine(cluster, clock)
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
from cmhot import Plan, collect, connect
plan = Plan(pods=pods, duration_s=duration_s, seed=seed)
collect(connect(target), plan, out=Path(out), run_id=run_id)""",
)
EXECUTE = """\
import json, sys
from pathlib import Path
from cmhot.report.notebooks import execute
execute(Path(sys.argv[1]), json.loads(sys.argv[2]), out=Path(sys.argv[3]))
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
