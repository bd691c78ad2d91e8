"""The writes to the ConfigMap: each in its slot, tried again, settled by reading back.

A write whose answer is lost may have taken effect all the same: it is read back before
it is recorded. If it took effect, but at an instant that is not known well enough, it
is no trial.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S, ns
from cmhot.cluster import probe
from cmhot.errors import ClusterError, CmhotError, NotFoundError
from cmhot.kubelet.uses import CONFIG_MAP

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmhot.clock import Clock
    from cmhot.cluster.port import Cluster
    from cmhot.collector.schedule import Write

    OnEvent = Callable[[str, str, dict[str, Any]], None]
    """Called with kind, object and detail of each incident."""

AGAIN_S = 0.2
"""Between two tries of one write."""
LATEST_S = 1.0
"""A write is sent this late at most, and before the next one is due:
one that waited longer would be sent when an outage ended,
at an instant that an outcome chose."""
SCRAMBLE_LATEST_S = 5.0
"""A write that only has to sync a pod at some random instant may come later."""
LATE_S = 0.25
"""Writes sent later than this after their planned instant are recorded as events."""
SETTLED_WITHIN_S = 0.25
"""Largest error of a write's instant in a trial; the same as for the clocks."""
PATIENCE_S = {
    "refused": 10.0,
    "throttled": 30.0,
    "conflicts": 60.0,
    "errors": 600.0,
    "away": 600.0,
}
"""How long writes may go without an acknowledgement before the run ends, by cause.

Refused: rights or the namespace are gone, which no waiting brings back.
Conflicts: somebody else writes all the time.
Throttled: the cluster has too much to do, and we are part of it.
Errors, away: an API server that is ill or restarted comes back, and the probes go on
meanwhile."""
OUTAGE_S = 1.0
"""An API server that was away for longer has broken off the watches of kubelets,
which take up to half a minute to come back."""
CONFLICT, MANY_REQUESTS, SERVER_ERROR = 409, 429, 500


class EndedError(ClusterError):
    """The run cannot go on; its records are kept, and it resumes if `resumable`."""

    def __init__(self, message: str, *, resumable: bool) -> None:
        super().__init__(message)
        self.resumable = resumable


@dataclass(slots=True)
class Updater:
    """Makes the writes of a run, each in its slot."""

    cluster: Cluster
    clock: Clock
    namespace: str
    name: str  # of the ConfigMap
    run_id: str
    on_event: OnEvent
    sent: dict[int, int] = field(default_factory=dict)  # by number, UTC epoch ns
    last_seq: int = 0  # the highest number that may be in the ConfigMap
    _trouble: tuple[str, int, str] | None = None  # cause, since when (ns), the error
    _foreign: str | None = None  # keys in the ConfigMap that somebody else put there
    _doubt_ns: int | None = None  # when a write was sent whose answer was lost
    _gone: bool = False  # so is the namespace

    def write(self, write: Write) -> dict[str, Any]:
        """Make one write; return its row of updates.jsonl.

        It is tried again within its slot; a failure goes into the row, if it can.
        """
        self.last_seq = max(self.last_seq, write.seq)
        row = not_sent(write, self.name)
        late_s = (self._now() - write.at_ns) / NS_PER_S
        latest_s = LATEST_S if write.pod is None else SCRAMBLE_LATEST_S
        latest_ns = max(write.next_ns, write.at_ns + ns(latest_s))
        if self._now() > latest_ns:
            return row | {"error": f"the collector came {late_s:.1f} s late"}
        if late_s > LATE_S:
            self.on_event("late", self._object, {"seq": write.seq, "late_s": late_s})
        until_ns = write.next_ns if write.pod is None else latest_ns
        self._doubt_ns = None
        sent_ns = self._now()
        while True:
            stored = self._attempt(write.seq, row)
            if stored is not None:
                self._acknowledge(stored, row)
                break
            if self._now() + ns(AGAIN_S) > until_ns:
                break
            self.clock.sleep(AGAIN_S)
        self.sent[write.seq] = sent_ns
        return row

    def check_patience(self) -> None:
        """Raise `EndedError`, with a remedy, if no write has succeeded for too long."""
        if self._trouble is None:
            return
        cause, since, said = self._trouble
        for_s = (self._now() - since) / NS_PER_S
        if for_s < PATIENCE_S[cause]:
            return
        if cause == "throttled":
            msg = (
                f"the API server has asked for fewer requests (429) for {for_s:.0f} s, "
                "and the measurement ended itself: ask for a longer --gap or fewer "
                "--pods"
            )
            raise EndedError(msg, resumable=True)
        if cause != "refused":
            msg = f"no write was taken for {for_s:.0f} s ({said})"
            raise EndedError(msg, resumable=True)
        if self._is_immutable():
            msg = (
                f"somebody made ConfigMap {self.namespace}/{self.name} immutable, "
                "which cannot be undone: measure again"
            )
            raise EndedError(msg, resumable=False)
        msg = f"the cluster refuses the writes ({said})"
        # a namespace that was deleted has taken the probes with it
        raise EndedError(msg, resumable=not self._gone)

    @property
    def away_since_ns(self) -> int | None:
        """Since when the API server has not answered, UTC epoch ns; None: it does."""
        known = self._trouble
        return known[1] if known is not None and known[0] == "away" else None

    def _attempt(self, seq: int, row: dict[str, Any]) -> dict[str, Any] | None:
        """Send a write once; return the ConfigMap when it was certainly written."""
        row |= {"sent_ns": self._now(), "status": "failed", "error": None}
        try:
            stored = self.cluster.patch(
                CONFIG_MAP,
                self.name,
                {"data": {"seq": str(seq)}},
                namespace=self.namespace,
            )
        except ClusterError as error:
            row["error"] = str(error)
            return self._after(error, seq, row)
        self._check_content(stored)
        return stored

    def _after(
        self, error: ClusterError, seq: int, row: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Decide by an error whether the write was made, and whether to try again."""
        status = error.status
        if isinstance(error, NotFoundError):
            return self._recreate(seq, row)
        if status == MANY_REQUESTS:
            self._note("throttled", error)
            self.on_event("throttled", self._object, {"seq": seq})
            return None
        if status is not None and status < SERVER_ERROR:
            self._note("conflicts" if status == CONFLICT else "refused", error)
            return None
        self._note("away" if status is None else "errors", error)
        if self._doubt_ns is None:
            self._doubt_ns = row["sent_ns"]
        return self._read_back(seq)

    def _read_back(self, seq: int) -> dict[str, Any] | None:
        """Check whether a write was made whose answer is lost."""
        try:
            stored = self.cluster.get(CONFIG_MAP, self.name, namespace=self.namespace)
        except ClusterError:
            return None
        if (stored.get("data") or {}).get("seq") != str(seq):
            self._doubt_ns = None
            return None
        return stored

    def _recreate(self, seq: int, row: dict[str, Any]) -> dict[str, Any] | None:
        """Make the ConfigMap again, with the number that was to be written."""
        row["sent_ns"] = self._now()
        manifest = probe.config_map(self.name, run_id=self.run_id)
        manifest["data"] = {"seq": str(seq)}
        try:
            stored = self.cluster.apply(manifest, namespace=self.namespace)
        except ClusterError as error:
            self._note("refused", error)
            self._gone = isinstance(error, NotFoundError)
            row["error"] = f"the ConfigMap is gone, and cannot be made: {error}"
            return None
        self.on_event("recreated", self._object, {"seq": seq})
        return stored

    def _acknowledge(self, stored: dict[str, Any], row: dict[str, Any]) -> None:
        """Record a write that was made; its exact instant may be in doubt."""
        now = self._now()
        away = self.away_since_ns
        if away is not None and now - away > OUTAGE_S * NS_PER_S:
            self.on_event("reconnect", "api-server", {"from_ns": away, "to_ns": now})
        self._trouble = None
        row["resource_version"] = stored["metadata"].get("resourceVersion")
        if self._doubt_ns is not None:
            row["sent_ns"] = self._doubt_ns
            within_s = (now - self._doubt_ns) / NS_PER_S
            detail = {"seq": row["seq"], "within_s": within_s}
            self.on_event("settled", self._object, detail)
            if within_s > SETTLED_WITHIN_S:
                row["error"] = f"it was made, at an instant known to {within_s:.1f} s"
                return
            row["error"] = "the answer was lost; read back: it was made"
        else:
            row["error"] = None
        row |= {"status": "acked", "acked_ns": now}

    def _note(self, cause: str, error: ClusterError) -> None:
        """Remember since when writes have been in trouble of one kind."""
        known = self._trouble
        since = known[1] if known is not None and known[0] == cause else self._now()
        self._trouble = cause, since, str(error)

    def _check_content(self, stored: dict[str, Any]) -> None:
        """Record once if somebody else put keys into the ConfigMap."""
        found = ", ".join(sorted((stored.get("data") or {}).keys() - {"seq"})) or None
        if found not in (None, self._foreign):
            self.on_event("changed", self._object, {"keys": found})
        self._foreign = found

    def _is_immutable(self) -> bool:
        try:
            stored = self.cluster.get(CONFIG_MAP, self.name, namespace=self.namespace)
        except ClusterError:
            return False
        return bool(stored.get("immutable"))

    @property
    def _object(self) -> str:
        return f"configmap/{self.name}"

    def _now(self) -> int:
        return self.clock.utc_ns()


def not_sent(write: Write, name: str) -> dict[str, Any]:
    """Give the row of a write that was not made."""
    return {
        "seq": write.seq,
        "configmap": name,
        "planned_ns": write.at_ns,
        "purpose": write.purpose,
        "status": "not_sent",
        "error": None,
        "resource_version": None,
        "sent_ns": None,
        "acked_ns": None,
    }


def may_be_resumed(error: BaseException) -> bool:
    """Report whether a run that ended with this error may go on with its probes."""
    if isinstance(error, EndedError):
        return error.resumable
    return isinstance(error, CmhotError)
