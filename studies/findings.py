"""The findings, computed from ``data/`` alone.

``python -m studies.findings`` writes docs/findings.md and docs/findings.json, README's
first screen, and the price that comes with the package (`cmhot.law.price`);
``--verify`` computes every number anew, and fails on any difference from the latter.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pandas as pd

from cmhot.kubelet.settings import Setting
from cmhot.law import law_for, price
from cmhot.law.prediction import predict
from cmhot.runs.delays import delays, pool
from cmhot.runs.rundir import read_run
from cmhot.runs.sync_intervals import refresh_intervals
from studies import (
    beside,
    closed,
    cost_law,
    deviations,
    headline,
    more_settings,
    protocol,
    replicate,
    second,
    validity,
    verdicts,
)
from studies.editions import FIRST, MORE, SECOND
from studies.findings_page import page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cmhot.runs.rundir import Run
    from studies.verdicts import Cells, Rows

DATA = FIRST.data
DOCS = Path(__file__).parents[1] / "docs"
DIGITS = 6
"""Of every number: sums of floats differ in the last bits from machine to machine."""
ELSEWHERE = DATA.parent / "kubelet-1.9.6"
"""Runs on the kubelet of the quoted experiment, collected elsewhere."""
REPLICATIONS = DATA.parent / "replications"
"""Anonymous runs of others, as docs/REPLICATE.md asks for them."""
SHAPED = ("slow", "usual")
"""Runs whose cells have a shape."""


def rounded(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Round every number, at any depth, so that it is the same everywhere."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {str(key): rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return value.item() if hasattr(value, "item") else value


def _tables(*names: str) -> tuple[Cells, Cells]:
    """Read runs, and take their delays and refresh intervals apart by setting."""
    found: tuple[Cells, Cells] = ({}, {})
    for name in names:
        run = read_run(DATA / name)
        for cells, table in zip(
            found, (delays(run), refresh_intervals(run)), strict=True
        ):
            cells.update(verdicts.by_setting(table))
    waits, refreshes = (dict(sorted(cells.items())) for cells in found)
    return waits, refreshes


def of_factorial() -> dict[str, Rows]:
    """H1, H2, H3, H6 and H12, and the description of each cell."""
    waits, refreshes = _tables("fast", *SHAPED)
    cells = verdicts.cells(waits, refreshes)
    return {
        "cells": cells,
        "lateness": verdicts.lateness(refreshes),
        "H1": verdicts.agreement(refreshes),
        "H2": verdicts.on_second(refreshes),
        "H3": verdicts.strategies(refreshes),
        "H6": verdicts.fleets(refreshes),
        "H12": verdicts.width(cells),
    }


def of_folk() -> dict[str, Rows]:
    """H4."""
    waits, _ = _tables(*SHAPED)
    return {"H4": verdicts.folk(waits)}


def of_ttl() -> dict[str, Rows]:
    """H5: both seeds of each number of sharers pooled."""
    groups = {}
    for sharers in protocol.SHARERS:
        runs = sorted(DATA.glob(f"ttl-shared-{sharers}-*"))
        tables = {run.name: refresh_intervals(read_run(run)) for run in runs}
        for setting, own in verdicts.by_setting(pool(tables)).items():
            groups[setting, sharers] = own
    return {"H5": verdicts.shared(groups)}


def of_eras() -> dict[str, Rows]:
    """H7, as far as kubelets of other eras were run."""
    groups: dict[str, Cells] = {}
    for path in sorted(DATA.glob("era-*")):
        run = read_run(path)
        (version,) = set(run.meta["kubelets"].values())
        groups[version] = verdicts.by_setting(refresh_intervals(run))
    return {"H7": verdicts.eras(groups)}


def of_others() -> dict[str, Rows]:
    """H8 to H11, which are no collections of idle pods."""
    found: dict[str, Rows] = {}
    remedies = _json("remedies.json")
    if remedies is not None:
        law = predict(Setting(60), pods=remedies["pods"]).to_dict()
        trials = pd.DataFrame(remedies["trials"])
        found["H8"] = verdicts.remedies(
            trials, pods=remedies["pods"], law_p50_s=law["p50_s"]
        )
    never = _json("never.json")
    if never is not None:
        found["H9"] = verdicts.never(never["rows"])
    loops = _json("closed-loop.json")
    if loops is not None:
        trials = pd.DataFrame(loops["trials"])
        found["H10"] = verdicts.closed(trials, closed.SETTING)
    kinds = {
        path.name.removeprefix("disturbed-"): read_run(path)
        for path in sorted(DATA.glob("disturbed-*"))
    }
    if kinds:
        found["H11"] = verdicts.disturbed(kinds)
    return found


def of_elsewhere() -> dict[str, Rows]:
    """Describe the runs on a kubelet v1.9.6, which no command here makes again.

    Collector and nodes had one clock there; the bounds in the runs' ``clock.jsonl``
    are looser than that, since exec did not work, and nothing is corrected by them.
    """
    rows: Rows = []
    for path in sorted(ELSEWHERE.glob("*/run.json")):
        run = read_run(path.parent)
        rows += verdicts.beside_law(replace(run, clock=run.clock.iloc[:0]))
    return {"elsewhere": rows}


def of_replications() -> dict[str, Rows]:
    """Describe what others collected on clusters of theirs, with their own clocks."""
    rows: Rows = []
    for path in sorted(REPLICATIONS.glob("*/run.json")):
        about = json.loads((path.parent / replicate.ABOUT).read_bytes())
        own = verdicts.beside_law(read_run(path.parent))
        rows += [{**row, "about": about} for row in own]
    return {"replications": rows}


def of_second() -> dict[str, Any]:
    """Judge the second edition (H13 to H16); nothing before all its runs are there."""
    if not SECOND.is_published:
        return {}
    runs = {
        path.parent.name: read_run(path.parent)
        for path in SECOND.data.glob("default-*/run.json")
    }
    judged = [runs[name] for name in SECOND.runs]
    return {"second": {**of_default(judged), "runs": deviations.validity(runs)}}


def of_costs() -> dict[str, Any]:
    """Fit what syncs cost (docs/studies/costs-protocol.md), once it was measured."""
    found = _json("costs.json", SECOND.data)
    if found is None:
        return {}
    table = cost_law.per_second(found["windows"])
    starts = cost_law.without_starts(table)
    return {"costs": {**cost_law.judge(table), "without_starts": starts}}


def price_law() -> str:
    """Write the price as the package has it."""
    found = json.loads((SECOND.data / "costs.json").read_bytes())
    table = cost_law.per_second(found["windows"])
    law = rounded(cost_law.for_package(table, found["kubernetes"]))
    return json.dumps(law, indent=1) + "\n"


def of_validity() -> dict[str, Any]:
    """Say where the law ends (docs/studies/validity-protocol.md), once it was seen."""
    rows: Rows = []
    for part, conditions in validity.PARTS.items():
        counted = _json(f"validity-{part}.json", SECOND.data)
        for one in conditions if counted is not None else ():
            own, run = (counted or {})[one.name], read_run(SECOND.data / one.run)
            found = (
                validity.no_answer(one.setting)
                if "refused" in own
                else validity.answer(verdicts.delays_as_seen(run), one.setting)
            )
            rows.append(
                {
                    "part": part,
                    "run": one.run,
                    "status": run.meta["status"],
                    "refused": validity.refused(own),
                    **one.load,
                    **found,
                    **validity.why(own, one),
                }
            )
    return {"validity": rows} if rows else {}


def of_beside() -> dict[str, Any]:
    """Judge remedies and disturbed pods (docs/studies/beside-protocol.md), once seen.

    Each part by itself, when all of it is there.
    """
    found: dict[str, Any] = {}
    there = {path.parent.name for path in SECOND.data.glob("*/run.json")}
    table = _json(beside.TRIALS, SECOND.data)
    if table is not None and {*map(beside.waiting_of, beside.SIZES)} <= there:
        trials = pd.DataFrame(table["trials"])
        found = {"methods": [], "H19": []}
        for pods, own in trials.groupby("pods"):
            waiting = read_run(SECOND.data / beside.waiting_of(int(str(pods))))
            found["methods"] += beside.remedies(own, waiting)
            found["H19"] += beside.quicker(own, waiting)
    if {*map(beside.run_of, beside.KINDS)} <= there:
        watched = {
            kind: beside.watched(read_run(SECOND.data / beside.run_of(kind)))
            for kind in beside.KINDS
        }
        rows = beside.sooner(
            {kind: waits.mean(axis=1) for kind, waits in watched.items()}
        )
        for row in rows:
            row["correlation"] = verdicts.in_step(watched[row["kind"]])
        found["H20"] = rows
    return {"beside": found} if found else {}


def of_more() -> dict[str, Any]:
    """Judge more settings (docs/studies/more-settings-protocol.md), once all were seen.

    The controller's by themselves, when all of them are there.
    """
    if not MORE.is_published:
        return {}
    runs = {name: read_run(MORE.data / name) for name in MORE.runs}
    waits, refreshes = pooled([*runs.values()])
    shared = {
        sharers: pooled([runs[name] for name in more_settings.runs_of(sharers)])[1]
        for sharers in protocol.SHARERS
    }
    table = _json(more_settings.TABLE, MORE.data)
    by_ttl: dict[float, pd.DataFrame] = {}
    if table is not None:
        for nodes, _ in more_settings.MEASURED_AT:
            name = more_settings.run_at(nodes)
            runs[name] = read_run(MORE.data / name)
            for setting, own in pooled([runs[name]])[1].items():
                by_ttl[setting.ttl_s or 0.0] = own
    long, cached = more_settings.LONG, more_settings.CACHED
    return {
        "more": {
            "cells": verdicts.cells({long: waits[long]}, {long: refreshes[long]}),
            "lateness": verdicts.lateness(_by_kubelet(refreshes)),
            "runs": deviations.validity(runs),
            "steps": (table or {"steps": []})["steps"],
            **more_settings.judge(
                refreshes[long],
                {sharers: found[cached] for sharers, found in shared.items()},
                by_ttl,
            ),
        }
    }


def _by_kubelet(pooled: Cells) -> Cells:
    """Give nodes of collections that ran on the same testbed their own names again."""
    return {
        setting: own.assign(node=own["node"].astype(str).str.split("/").str[-1])
        for setting, own in pooled.items()
    }


def of_default(runs: Sequence[Run]) -> dict[str, Rows]:
    """Describe and judge the default from its runs, pods of all of them as blocks."""
    waits, refreshes = pooled(runs)
    lateness = verdicts.lateness(refreshes)
    disturbed = [row["setting"] for row in lateness if row["disturbed"]]
    return {
        "cells": verdicts.cells(waits, refreshes),
        "by_run": [
            {"run": run.path.name, **row}
            for run in runs
            for row in verdicts.cells(*pooled([run]))
        ],
        "shares": shares(waits),
        "lateness": lateness,
        **second.judge(refreshes, disturbed),
    }


def pooled(runs: Sequence[Run]) -> tuple[Cells, Cells]:
    """Give delays and refresh intervals by setting, pods of all runs together."""
    waits, refreshes = (
        verdicts.by_setting(pool({run.path.name: table(run) for run in runs}))
        for table in (delays, refresh_intervals)
    )
    return waits, refreshes


def of_protocol() -> dict[str, Any]:
    """Say which runs call themselves invalid, and what the protocol did not foresee."""
    runs = {path.parent.name: read_run(path.parent) for path in DATA.glob("*/run.json")}
    loops = (_json("closed-loop.json") or {"trials": []})["trials"]
    return {
        "runs": deviations.validity(runs),
        "lead_s": deviations.lead_s(runs),
        "most_kubelets": deviations.most_kubelets(runs, loops),
    }


def _json(name: str, folder: Path = DATA) -> dict[str, Any] | None:
    file = folder / name
    return json.loads(file.read_bytes()) if file.is_file() else None


PARTS: tuple[Callable[[], dict[str, Any]], ...] = (
    of_folk,
    of_factorial,
    of_ttl,
    of_eras,
    of_others,
    of_elsewhere,
    of_replications,
    of_protocol,
    of_second,
    of_costs,
    of_validity,
    of_beside,
    of_more,
)
"""Independent of each other, the longest first."""


def compute() -> dict[str, Any]:
    """Compute every published number from ``data/``."""
    with ProcessPoolExecutor() as pool_of_processes:
        started = [pool_of_processes.submit(part) for part in PARTS]
        found: dict[str, Any] = {}
        for one in started:
            found.update(one.result())
    run = read_run(DATA / SHAPED[0])
    found["kubernetes"] = run.meta["kubernetes"]
    found["run_ids"] = sorted(path.parent.name for path in DATA.glob("*/run.json"))
    waits, _ = _tables(*SHAPED)
    found["shares"] = shares(waits)
    ordered = {key: rounded(found[key]) for key in sorted(found)}
    return dict(ordered)


def shares(waits: Cells) -> Rows:
    """Say where round numbers lie among the observed delays at each S, Watch.

    A missed one has no seconds: it counts on neither side, and not in ``n``.
    """
    rows = []
    for setting, own in sorted(waits.items()):
        if setting.strategy is not protocol.WATCH:
            continue
        seconds = own.loc[own["status"] == "observed", "delay_s"]
        sync_s = setting.sync_frequency_s
        rows.append(
            {
                "setting": str(setting),
                "n": len(seconds),
                "by_10_s": float((seconds <= verdicts.TEN_S).mean()),
                "above_sync": float((seconds > sync_s).mean()),
                "law_by_10_s": _law(setting, verdicts.TEN_S),
                "law_above_sync": 1 - _law(setting, sync_s),
            }
        )
    return rows


def _law(setting: Setting, t: float) -> float:
    law = law_for(setting)
    return float("nan") if law is None else float(law.cdf(t))


@click.command()
@click.option("--verify", is_flag=True, help="Compare with what is published.")
def main(*, verify: bool) -> None:
    """Write the findings, or verify them."""
    numbers = compute()
    file = DOCS / "findings.json"
    text = json.dumps(numbers, indent=1, ensure_ascii=False) + "\n"
    if not verify:
        file.write_text(text, encoding="utf-8")
        (DOCS / "findings.md").write_text(page(numbers), encoding="utf-8")
        headline.README.write_text(_readme(numbers), encoding="utf-8")
        price.FILE.write_text(price_law(), encoding="utf-8")
        headline.draw()
        sys.exit(0)
    differing = [
        *differences(json.loads(file.read_bytes()), numbers),
        *_changed(DOCS / "findings.md", page(numbers)),
        *_changed(headline.README, _readme(numbers)),
        *_changed(price.FILE, price_law()),
    ]
    for one in differing:
        click.echo(f"differs: {one}", err=True)
    count = len(list(leaves(numbers)))
    click.echo(
        f"{count:,} published numbers and words computed anew from data/: "
        f"{len(differing)} differ"
    )
    sys.exit(1 if differing else 0)


def _readme(numbers: dict[str, Any]) -> str:
    """Write README.md with the first screen made anew."""
    readme = headline.README.read_text(encoding="utf-8")
    return headline.insert(readme, headline.block(numbers))


def _changed(file: Path, text: str) -> list[str]:
    return (
        [] if file.read_text(encoding="utf-8") == text else [f"the text of {file.name}"]
    )


def leaves(value: Any, at: str = "") -> Any:  # noqa: ANN401 - JSON
    """Yield every value, with where it stands."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from leaves(one, f"{at}.{key}".removeprefix("."))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from leaves(one, f"{at}[{number}]")
    else:
        yield at, value


def differences(published: Any, computed: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Name what differs between two sets of numbers, in either of them."""
    one, other = dict(leaves(published)), dict(leaves(computed))
    return [
        f"{at}: published {one.get(at)!r}, computed {other.get(at)!r}"
        for at in sorted(one.keys() | other.keys())
        if one.get(at) != other.get(at) or (at in one) != (at in other)
    ]


if __name__ == "__main__":
    main()
