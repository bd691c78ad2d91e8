"""The report: execute the notebooks that are missing, write the page."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cmhot.clock import SystemClock
from cmhot.cluster.nodes import (
    conflict_warning,
    group_by_setting,
    observe_settings,
    setting_conflicts,
)
from cmhot.cluster.targets import connect
from cmhot.collector.circumstances import new_run_id, utc_text
from cmhot.errors import CheckError, CmhotError, RunError, UsageError
from cmhot.kubelet.settings import Setting
from cmhot.report import notebooks
from cmhot.report.execution import Pace, execute_steps
from cmhot.report.folder import (
    PARTS,
    Ledger,
    held,
    make_folder,
    unwritable,
    write_json,
    write_page,
)
from cmhot.report.page import build_page
from cmhot.report.progress_bars import Telling, minutes
from cmhot.report.sections import Material, compose, find_drawn
from cmhot.report.steps import PROFILES, RUNS, Order, plan_steps, steps_on_runs
from cmhot.report.wording import Origin, recorded
from cmhot.runs.plan import DEFAULT_SYNC_S
from cmhot.statistics.summarise import summarise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cmhot.clock import Clock
    from cmhot.report.folder import NewFolder
    from cmhot.report.sections import Drawn
    from cmhot.report.steps import Step
    from cmhot.runs.plan import Plan
    from cmhot.statistics.summary import Summary


def takes_s(order: Order, settings: Sequence[Setting]) -> float:
    """Say how long a new report takes on a real cluster, in seconds.

    Parameters
    ----------
    order
        What is asked for.
    settings
        One for each group of nodes.

    Raises
    ------
    UsageError
        When what is asked for cannot be.
    """
    plan = order.plan(settings)
    return Pace.of(plan, settings).left_s(plan_steps(order, plan, run_id=""))


def make_report(
    order: Order,
    *,
    out: Path,
    telling: Telling | None = None,
    clock: Clock | None = None,
) -> Path:
    """Make a report: a folder with the page, figures, numbers, notebooks and runs.

    Parameters
    ----------
    order
        What is asked for.
    out
        Folder of reports; the report gets a new folder in it.
    telling
        Where progress is told; None: nowhere.
    clock
        Of this machine.

    Returns
    -------
    Path
        ``<out>/<run-id>/index.html``.

    Raises
    ------
    UsageError
        For an unusable target or plan, or an unwritable `out`; nothing is left.
    CheckError
        When a notebook failed; the page is there and shows it.
    RunError
        When the disk refuses in the middle; what was done is kept.
    KeyboardInterrupt
        After an interrupt; what was done is kept.
    """
    clock = SystemClock() if clock is None else clock
    telling = Telling() if telling is None else telling
    plan, pace = _look_around(order, telling)
    name = new_run_id(clock)
    steps = plan_steps(order, plan, run_id=name)
    new = make_folder(out, name, parts=PARTS)
    with held(new.path):
        ledger = _begin(
            new,
            steps=steps,
            runs=[f"{RUNS}/{name}"],
            order=asdict(order),
            left_out=PROFILES[order.profile].left_out,
        )
        telling.line(f"the report will be ready in about {minutes(pace.left_s(steps))}")
        with ledger.refusals():
            try:
                execute_steps(ledger, pace, telling=telling, clock=clock)
            except (KeyboardInterrupt, CmhotError):
                if ledger.anything_done():
                    _tell_how_to_go_on(ledger, telling)
                else:
                    new.discard()
                raise
            except OSError as error:
                if ledger.anything_done() or isinstance(error, BrokenPipeError):
                    raise
                new.discard()
                raise unwritable(new.path, error) from error
            return _finish_with_summary(ledger, clock)


def report_on_runs(
    runs: Sequence[Path],
    *,
    out: Path,
    telling: Telling | None = None,
    clock: Clock | None = None,
) -> Path:
    """Make a report on existing runs: of the notebooks that live from runs.

    Parameters
    ----------
    runs
        Run directories; the report gets copies, so that it can be given away whole.
    out, telling, clock
        As in `make_report`.

    Returns
    -------
    Path
        ``<out>/<run-id>/index.html``.

    Raises
    ------
    RunError
        When a run cannot be read, or no delay was observed, or the disk refuses in
        the middle; what was done is kept.
    UsageError
        For an unwritable `out`, or one inside a run; nothing is left.
    CheckError
        When a notebook failed; the page is there and shows it.
    """
    clock = SystemClock() if clock is None else clock
    telling = Telling() if telling is None else telling
    _refuse_inside(out, runs)
    summary = summarise(runs, apart=True)
    if not _has_delays(summary):
        msg = (
            f"no delay was observed in {', '.join(summary.runs)}: "
            "there is nothing to report; collect again"
        )
        raise RunError(msg)
    name = summary.runs[0] if len(runs) == 1 else new_run_id(clock)
    copies = [f"{RUNS}/{run_id}" for run_id in summary.runs]
    steps = steps_on_runs(copies)
    executed = {step.notebook for step in steps}
    left_out = dict.fromkeys(
        [one for one in notebooks.names() if one not in executed],
        "it needs a cluster, and this is a report on existing runs.",
    )
    new = make_folder(out, name, parts=PARTS)
    with held(new.path):
        _copy_runs(dict(zip(copies, runs, strict=True)), new)
        ledger = _begin(new, steps=steps, runs=copies, order={}, left_out=left_out)
        with ledger.refusals():
            execute_steps(ledger, Pace(), telling=telling, clock=clock)
            return finish(ledger, summary, clock)


def resume_report(
    folder: Path,
    *,
    asked: Mapping[str, Any] | None = None,
    telling: Telling | None = None,
    clock: Clock | None = None,
) -> Path:
    """Execute what is missing of a report, and write its page.

    What an interrupted collection left is kept beside the new one.

    Parameters
    ----------
    folder
        Of the report.
    asked
        What is given again of the `Order`, if anything: it must be the same.
    telling
        Where progress is told; None: nowhere.
    clock
        Of this machine.

    Returns
    -------
    Path
        ``<folder>/index.html``.

    Raises
    ------
    RunError
        When the folder holds no report, another cmhot is making it, or the disk
        refuses in the middle; what was done is kept.
    UsageError
        When something else is asked for than was begun.
    CheckError
        When a notebook failed; the page is there and shows it.
    KeyboardInterrupt
        After an interrupt; what was done is kept.
    """
    clock = SystemClock() if clock is None else clock
    telling = Telling() if telling is None else telling
    with held(folder):
        ledger = Ledger.reopen(folder)
        ledger.refuse_changes(asked or {})
        missing = ledger.missing()
        telling.line(
            f"{len(ledger.entries) - len(missing)} of {len(ledger.entries)} notebooks "
            f"are done{'' if missing else ', so only the page is written'}"
        )
        pace = Pace()
        if any(step.asks_cluster for step in missing):
            _, pace = _look_around(Order(**ledger.order), telling)
        with ledger.refusals():
            try:
                execute_steps(ledger, pace, telling=telling, clock=clock)
            except KeyboardInterrupt:
                _tell_how_to_go_on(ledger, telling)
                raise
            return _finish_with_summary(ledger, clock)


def target_of(folder: Path) -> str | None:
    """Tell which target the rest of a report needs; None: it needs none.

    Raises
    ------
    RunError
        When the folder holds no report.
    """
    ledger = Ledger.reopen(folder)
    needed = any(step.asks_cluster for step in ledger.missing())
    return ledger.order["target"] if needed else None


def _look_around(order: Order, telling: Telling) -> tuple[Plan, Pace]:
    """Ask the cluster for its settings, and plan the collection for them."""
    cluster = connect(order.target)
    given = order.given_setting
    observed = observe_settings(cluster, given=given)
    against = setting_conflicts(observed, given)
    if against:
        telling.line(conflict_warning(against))
    groups = group_by_setting(observed)
    settings = [group.setting or Setting(DEFAULT_SYNC_S) for group in groups]
    plan = order.plan(settings)
    telling.line(
        f"collecting from {plan.pods} pods at each of {len(settings)} settings "
        f"({'; '.join(str(setting) for setting in settings)})"
    )
    pace = Pace() if cluster.modelled else Pace.of(plan, settings)
    return plan, pace


def _tell_how_to_go_on(ledger: Ledger, telling: Telling) -> None:
    for run in ledger.runs:
        if (ledger.folder / run).exists():
            telling.line(
                f"interrupted: what was collected is in {ledger.folder / run}; "
                f"`cmhot report --run {ledger.folder / run}` makes a page of it"
            )
    telling.line(f"`cmhot report --resume {ledger.folder}` executes what is missing")


def _finish_with_summary(ledger: Ledger, clock: Clock) -> Path:
    """Summarise the runs, unless that cannot be done, and write the page."""
    try:
        summary = summarise([ledger.folder / run for run in ledger.runs], apart=True)
    except (RunError, UsageError) as error:
        return finish(ledger, None, clock, why=str(error))
    if not _has_delays(summary):
        return finish(ledger, None, clock, why="no delay was observed")
    return finish(ledger, summary, clock)


def _has_delays(summary: Summary) -> bool:
    return any(own.counts["n_delays"] for own in summary.settings)


def _begin(
    new: NewFolder,
    *,
    steps: Sequence[Step],
    runs: Sequence[str],
    order: Mapping[str, Any],
    left_out: Mapping[str, str],
) -> Ledger:
    """Write down what is to be done; a folder in which that fails goes again."""
    try:
        return Ledger.begin(
            new.path, steps=steps, runs=runs, order=order, left_out=left_out
        )
    except OSError as error:
        new.discard()
        raise unwritable(new.path, error) from error


def _refuse_inside(out: Path, runs: Sequence[Path]) -> None:
    """See that no run would be copied into itself, which has no end."""
    whole = out.resolve()
    for run in runs:
        if run.resolve() in (whole, *whole.parents):
            msg = (
                f"{out} is in the run {run}, which the report takes a copy of: "
                "choose a folder elsewhere with --out"
            )
            raise UsageError(msg)


def _copy_runs(runs: Mapping[str, Path], new: NewFolder) -> None:
    """Copy runs into a new report; when that fails, nothing is left behind.

    Parameters
    ----------
    runs
        By where the copy is to be in the report.
    new
        The report's folder.
    """
    for copy, run in runs.items():
        try:
            shutil.copytree(run, new.path / copy)
        except OSError as error:
            new.discard()
            # of several files: from, to and why for each
            why = error.args[0][0][2] if isinstance(error, shutil.Error) else error
            msg = (
                f"cannot copy the run {run} to {new.path / copy}: {why}; "
                "choose a folder with room for it with --out, or repair the run"
            )
            raise UsageError(msg) from error
        except BaseException:
            new.discard()
            raise


def finish(
    ledger: Ledger, summary: Summary | None, clock: Clock, *, why: str | None = None
) -> Path:
    """Write the page of what there is.

    Parameters
    ----------
    ledger
        What was done.
    summary
        Of the runs; None: there was nothing to summarise.
    clock
        Of this machine.
    why
        Why there is no summary, in a sentence.

    Returns
    -------
    Path
        ``<folder>/index.html``.

    Raises
    ------
    CheckError
        When a notebook failed, or there is nothing to report.
    """
    folder = ledger.folder
    entries = ledger.entries.values()
    order = [name for entry in entries for name in entry.figures]
    drawn, spoilt = find_drawn(folder / "figures", order=order)
    known = [] if summary is None else [folder / run for run in ledger.runs]
    material = Material(
        name=folder.resolve().name,
        created_utc=utc_text(clock.utc_ns()),
        folder=folder,
        origins=[Origin.read(path) for path in known],
        summary=summary,
        why=why,
        entries=ledger.entries,
        left_out=ledger.left_out,
        drawn=drawn,
        spoilt=spoilt,
    )
    page = _write(material)
    if material.failures:
        said = "; ".join(material.failures)
        msg = f"{said}; the page shows what there is: {page}"
        raise CheckError(msg)
    return page


def _write(material: Material) -> Path:
    """Write numbers.json and the page."""
    folder, summary = material.folder, material.summary
    numbers: dict[str, Any] = {
        "report": material.name,
        "created_utc": material.created_utc,
        "headline": material.headline,
        **({} if summary is None else summary.to_dict()),
        "figures": {one.name: _figure(one) for one in material.drawn},
        "notebooks": {
            name: {"status": entry.status, "error": entry.error}
            for name, entry in material.entries.items()
        },
        "failures": material.failures,
        "provenance": {
            str(one.meta["run_id"]): recorded(one.meta) for one in material.origins
        },
    }
    page = build_page(compose(material))
    write_json(folder / "numbers.json", numbers)
    write_page(folder / "index.html", page)
    return folder / "index.html"


def _figure(one: Drawn) -> dict[str, Any]:
    """Give what numbers.json has of a figure."""
    files = {form.lower(): path for form, path in one.files.items()}
    return {
        **{
            form: f"figures/{files[form].name}"
            for form in ("svg", "png")
            if form in files
        },
        "title": one.title,
        "alt": one.alt,
        "caption": one.caption,
        "paragraph": one.paragraph,
        "modelled": one.modelled,
        "numbers": one.numbers,
    }
