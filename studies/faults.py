"""Inflict faults on collections of a real testbed, and count what became of each trial.

``make faults`` runs all of `studies.fault_runs` and writes docs/studies/faults.md;
`tests/testbed/test_faults.py` runs some.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.cluster.testbed import layout, lifecycle
from cmhot.cluster.testbed.versions import KUBERNETES_VERSION
from cmhot.kubelet.settings import parse_setting
from cmhot.runs import schema
from cmhot.runs.rundir import read_run
from cmhot.statistics import describe_delays, describe_intervals
from studies.fault_runs import FAULTS, NODE, UNDISTURBED, inflict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmhot.runs.rundir import Run
    from studies.fault_runs import Outcome

TESTBED = "faults"
PAGE = Path("docs/studies/faults.md")
KEPT = Path("build/faults.json")
"""What an interrupted `make faults` has so far."""


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


SHIFT_P50_S, SHIFT_P99_S = 0.2, 1.0
"""What a fault may change of the distribution at S = 5 s."""
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


def page(circumstances: Mapping[str, Any], rows: list[Row]) -> str:
    """Write the table.

    Parameters
    ----------
    circumstances
        Circumstances of the run: see `main`.
    rows
        Of all faults.
    """
    pods, duration_s = circumstances["pods"], circumstances["duration_s"]
    calm = [row for row in rows if row.fault == UNDISTURBED.name]
    p50_s = sum(row.p50_s for row in calm) / len(calm)
    p99_s = sum(row.p99_s for row in calm) / len(calm)
    lines = [
        "# What faults do to a measurement",
        "",
        "Made by `make faults` on a real testbed",
        f"(Kubernetes {circumstances['kubernetes']}, one kubelet at S = 5 s, Watch;",
        f"{pods} probes a run, {duration_s:g} s of trials);",
        "each fault happens in the middle of a run of its own.",
        "Trials are updates times pods; in each row",
        "planned = observed + timeout + interrupted + missed + not sent + failed.",
        "Recovered: from the beginning of the fault to the first update after it",
        "that every living probe was seen to publish.",
        "Shifts are against the undisturbed run, of the interval estimator, which is",
        f"the headline; they may be {SHIFT_P50_S:g} s and {SHIFT_P99_S:g} s.",
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


class KeptRows:
    """The rows of a page so far: who was interrupted goes on with the same run.

    Parameters
    ----------
    file
        Where they are kept; None: nowhere.
    circumstances
        Circumstances; what was made under others is no part of this run.
    """

    def __init__(self, file: Path | None, circumstances: Mapping[str, Any]) -> None:
        self.file, self.circumstances = file, dict(circumstances)
        self.rows: dict[str, Row] = {}
        if file is not None and file.exists():
            known = json.loads(file.read_text())
            if known["told"] == self.circumstances:
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
        return json.dumps({"told": self.circumstances, "rows": rows}, indent=1) + "\n"

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
    circumstances = {
        "kubernetes": KUBERNETES_VERSION,
        "pods": pods,
        "duration_s": duration,
    }
    if anew:
        KEPT.unlink(missing_ok=True)
    kept = KeptRows(None if only else KEPT, circumstances)
    names = {fault.name for fault in FAULTS}
    if strangers := set(only) - names:
        msg = f"no such fault: {', '.join(strangers)}; there are {', '.join(names)}"
        raise click.UsageError(msg)
    todo = [
        fault
        for fault in FAULTS
        if (fault.name in only if only else fault.name not in kept.rows)
    ]
    if kept.rows:
        click.echo(f"{len(kept.rows)} faults were inflicted before: going on", err=True)
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
                kept.add(row)
                if only:
                    click.echo(json.dumps(asdict(row), indent=1))
        finally:
            lifecycle.down(testbed)
    rows = kept.ordered()
    if not only:
        text = page(circumstances, rows)
        click.echo(text)
        where.write_text(text)
        where.with_suffix(".json").write_text(kept.text())
        KEPT.unlink()
    if any(row.unaccounted or row.leaked for row in rows):
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    main()
