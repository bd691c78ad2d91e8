"""Put measured data into the package, for ``cmhot figure`` without a run.

``python tools/ship_data.py RUN [RUN …]`` (``make ship-data``) replaces what is in
cmhot/plots/shipped: the runs, without what no figure is made of, and the tables of the
studies of consumers and the environment (docs/studies/*.json), of remedies (data/) and
of costs and loads (docs/findings.json).
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cmhot.kubelet.settings import Setting, parse_strategy
from cmhot.law import fleet_law
from cmhot.law.price import fitted
from cmhot.plots.figure import FOLDER, STUDY
from cmhot.runs.rundir import pack, read_run, without_nodes

if TYPE_CHECKING:
    from cmhot.runs.rundir import Run

ROOT = Path(__file__).parents[1]
STUDIES = ROOT / "docs" / "studies"
DATA = ROOT / "data" / "study-2026-11-24"
LIMIT = 313_000
"""Bytes of all of it: a wheel is downloaded by many."""

NOT_NEEDED = ("sources", "packages", "host")
"""Keys of run.json that stay in data/."""

LONG_S, STRATEGY = 10.0, "Watch"
"""Of settings above so many seconds one strategy is shipped; data/ has them all."""

DIGITS = 9
"""Of what is computed here."""

WAITS = 20
"""Points of the law that stand for waiting, in the figure of remedies."""

COSTS = (
    *("pods", "maps", "strategy", "sync_frequency_s", "syncs_per_s", "saturated"),
    *("millicores", "requests"),
)
LOADS = (
    *("pods", "maps", "strategy", "bytes", "keys", "core", "late_s"),
    *("sync_frequency_s", "law_p99_s", "law_syncs_per_s", "law_reads_per_s"),
    *("p99_s", "waiting_requests"),
)
ANSWERS = {True: "within", False: "beyond", None: "not decided"}
"""What the figure says of ``holds``, where the pods started at all."""


def main(runs: list[str]) -> None:
    """Ship these runs."""
    if not runs:
        sys.exit(
            "ship_data: name the runs to ship, such as data/testbed-2026-11-24/main"
        )
    shutil.rmtree(FOLDER, ignore_errors=True)
    for path in runs:
        run = read_run(Path(path))
        pack(lean(run), FOLDER / "runs" / str(run.meta["run_id"]))
    tables = {
        "remedies": remedies(),
        "consumers": consumers(),
        "environment-or-volume": environment(),
        "costs": costs(),
        "limits": limits(),
    }
    for name, table in tables.items():
        table["source"]["data_set"] = STUDY
        text = json.dumps(table, ensure_ascii=False, separators=(",", ":"))
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    size = sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file())
    print(f"{FOLDER.relative_to(ROOT)}: {size:,} bytes")  # noqa: T201
    if size > LIMIT:
        sys.exit(f"ship_data: that is more than {LIMIT:,}: choose shorter runs")


def lean(run: Run) -> Run:
    """Leave out what no figure is made of; of long settings keep one strategy."""
    dropped = {
        node
        for node, setting in run.meta["settings"].items()
        if setting["sync_frequency_s"] > LONG_S and setting["strategy"] != STRATEGY
    }
    run = without_nodes(run, dropped)
    meta = {key: value for key, value in run.meta.items() if key not in NOT_NEEDED}
    meta["pods"] = [
        {key: value for key, value in pod.items() if key != "uid"}
        for pod in run.meta.get("pods", [])
    ]
    meta["data_set"] = STUDY
    published = run.publications
    return replace(
        run,
        meta=meta,
        publications=published.assign(
            uid=pd.Series([None] * len(published), index=published.index, dtype="str"),
            read_ns=pd.Series(pd.NA, index=published.index, dtype="Int64"),
        ),
    )


def remedies() -> dict[str, Any]:
    """Give the study's trials, and what waiting takes by the law."""
    study = json.loads((DATA / "remedies.json").read_bytes())
    sync, _, strategy = study["setting"].partition(" s, ")
    setting = Setting(float(sync), parse_strategy(strategy))
    law = fleet_law(setting, pods=study["pods"], sharers=study["pods"])
    shares = [(number + 0.5) / WAITS for number in range(WAITS)]
    found = [] if law is None else law.quantile(shares).tolist()
    # the last digit of a float is another one on another machine
    waits = [float(f"{seconds:.{DIGITS}g}") for seconds in found]
    rows = [
        {
            "method": "nothing",
            "seconds": seconds,
            "restarted": 0,
            "min_ready_share": 1.0,
            "requests": 0,
        }
        for seconds in waits
    ]
    kept = ("method", "seconds", "restarted", "min_ready_share", "requests")
    rows += [{key: trial[key] for key in kept} for trial in study["trials"]]
    source = {
        "kubelets": [study["kubernetes"]],
        "setting": f"{study['setting']}, {study['pods']} pods",
    }
    return {"source": source, "rows": rows}


def consumers() -> dict[str, Any]:
    """Give the cells of docs/studies/consumers.json."""
    study = json.loads((STUDIES / "consumers.json").read_bytes())
    rows = [
        {
            "consumer": cell["consumer"],
            "event": cell["event"],
            "sees": None if cell["observed"] is None else _sees(cell),
        }
        for cell in study["cells"]
    ]
    source = {"kubelets": [study["kubernetes"]], "setting": study.get("setting")}
    return {"source": source, "rows": rows}


def environment() -> dict[str, Any]:
    """Give the looks of docs/studies/environment-or-volume.json."""
    study: dict[str, Any] = json.loads(
        (STUDIES / "environment-or-volume.json").read_bytes()
    )
    return study


def costs() -> dict[str, Any]:
    """Give the cells that are drawn of what a shorter syncFrequency costs."""
    found = json.loads((ROOT / "docs" / "findings.json").read_bytes())["costs"]
    rows = [
        {key: row[key] for key in COSTS}
        for row in found["cells"]
        if row["maps"] == 1 and row["pods"]
    ]
    return {"source": {"kubelets": [fitted().kubelet]}, "rows": rows}


def limits() -> dict[str, Any]:
    """Give p99 under each load, and what the kubelet was asked for."""
    found = json.loads((ROOT / "docs" / "findings.json").read_bytes())
    rows = [
        {
            **{key: row[key] for key in LOADS},
            "p99_s_low": row["p99_90"] and row["p99_90"][0],
            "p99_s_high": row["p99_90"] and row["p99_90"][1],
            "answer": "no start" if row["refused"] else ANSWERS[row["holds"]],
        }
        for row in found["validity"]
    ]
    return {"source": {"kubelets": [found["kubernetes"]]}, "rows": rows}


def _sees(cell: dict[str, Any]) -> str:
    """Say when: an update comes with a later sync, a restart begins with the new."""
    if not cell["observed"]:
        return "never"
    return "later" if cell["event"] == "update" else "at once"


if __name__ == "__main__":
    main(sys.argv[1:])
