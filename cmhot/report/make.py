"""How a report is made: the missing notebooks are executed, and the page is written."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from cmhot.clock import SystemClock
from cmhot.cluster.nodes import (
    conflict_warning,
    group_by_setting,
    observe_settings,
    setting_conflicts,
)
from cmhot.cluster.targets import connect
from cmhot.cluster.testbed import host
from cmhot.collector.circumstances import new_run_id, utc_text
from cmhot.collector.progress import minutes, tail_run
from cmhot.display import canvas
from cmhot.errors import CheckError, CmhotError, RunError, UsageError
from cmhot.kubelet.settings import Setting
from cmhot.report import notebooks
from cmhot.report.folder import (
    PARTS,
    Manifest,
    locked,
    make_folder,
    write_json,
    write_page,
)
from cmhot.report.page import build_page
from cmhot.report.sections import Origin, Report, compose, find_figures
from cmhot.report.steps import (
    COLLECT,
    RUNS,
    Order,
    Pace,
    left_out,
    plan_steps,
    steps_on_runs,
)
from cmhot.runs import disk, schema
from cmhot.runs.delays import delays_in_chunks
from cmhot.runs.plan import DEFAULT_SYNC_S
from cmhot.runs.rundir import read_meta, read_run
from cmhot.runs.sync_intervals import refresh_intervals
from cmhot.runs.tables import DerivedWriter
from cmhot.statistics.summarise import keep_for_copies, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cmhot.clock import Clock
    from cmhot.collector.progress import Progress
    from cmhot.report.folder import NewFolder
    from cmhot.report.sections import DrawnFigure
    from cmhot.report.steps import Step
    from cmhot.runs.plan import Plan
    from cmhot.statistics.summary import Summary

    CollectionBar = Callable[[], AbstractContextManager[Callable[[Progress], None]]]
    CellsBar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


@contextmanager
def cells_bar(notebook: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many cells of a notebook have begun, on a terminal; then vanish."""
    form = "{desc}: cell {n_fmt}/{total_fmt} |{bar}| {elapsed}"
    with tqdm(
        file=canvas(),
        bar_format=form,
        ncols=100,
        desc=notebook,
        leave=False,
        disable=None,  # where nobody watches, lines say enough
    ) as bar:

        def show(begun: int, total: int) -> None:
            bar.total, bar.n = total, begun
            bar.refresh()

        yield show


@contextmanager
def _no_bar(*_: object) -> Iterator[Callable[..., None]]:
    yield lambda *_: None


@dataclass(frozen=True, slots=True)
class ReportProgress:
    """Where the progress of a report is shown; by default nowhere."""

    line: Callable[[str], None] = lambda _: None  # gets a sentence for each step
    collection: CollectionBar = _no_bar  # opened while a run is collected
    cells: CellsBar = _no_bar  # opened for each other notebook


def make_report(
    order: Order,
    *,
    out: Path,
    progress: ReportProgress | None = None,
    clock: Clock | None = None,
) -> Path:
    """Make a report: a folder with the page, figures, numbers, notebooks and runs.

    It is a new folder in `out`; the path of its page is returned.

    Raises
    ------
    UsageError
        For an unusable target or plan, or an unwritable `out`; nothing is left.
    CheckError
        When a notebook failed; the page is there and shows it.
    RunError
        When the disk refuses in the middle; what was done is kept,
        as after an interrupt.
    """
    clock = SystemClock() if clock is None else clock
    progress = ReportProgress() if progress is None else progress
    plan, pace = _plan_collection(order, progress)
    name = new_run_id(clock)
    steps = plan_steps(order, plan, run_id=name)
    new = make_folder(out, name, parts=PARTS)
    with locked(new.path):
        with new.or_nothing():
            manifest = Manifest.begin(
                new.path,
                steps=steps,
                runs=[f"{RUNS}/{name}"],
                order=asdict(order),
                left_out=left_out(order.profile),
            )
        ready = f"the report will be ready in about {minutes(pace.left_s(steps))}"
        progress.line(ready)
        with manifest.refusals():
            _execute_or_discard(manifest, new, pace, progress, clock)
            return _finish_with_summary(manifest, clock)


def report_on_runs(
    runs: Sequence[Path],
    *,
    out: Path,
    progress: ReportProgress | None = None,
    clock: Clock | None = None,
) -> Path:
    """Make a report on existing runs, of the notebooks that read runs.

    Its folder gets copies of the runs, so that it can be given away whole.
    Otherwise as `make_report`.
    """
    clock = SystemClock() if clock is None else clock
    progress = ReportProgress() if progress is None else progress
    _refuse_inside(out, runs)
    summary = summarise(runs, apart=True)
    if not _has_delays(summary):
        msg = (
            f"no delay was observed in {', '.join(summary.runs)}: "
            "there is nothing to report; collect again"
        )
        raise RunError(msg)
    ids = [str(read_meta(run)["run_id"]) for run in runs]  # each names a folder
    name = ids[0] if len(runs) == 1 else new_run_id(clock)
    copies = [f"{RUNS}/{run_id}" for run_id in ids]
    steps = steps_on_runs(copies)
    executed = {step.notebook for step in steps}
    why = "it reads no run, and this is a report on existing runs."
    new = make_folder(out, name, parts=PARTS)
    with locked(new.path):
        _copy_runs(dict(zip(copies, runs, strict=True)), new)
        keep_for_copies([new.path / copy for copy in copies], summary)
        with new.or_nothing():
            manifest = Manifest.begin(
                new.path,
                steps=steps,
                runs=copies,
                order={},
                left_out={n: why for n in notebooks.names() if n not in executed},
            )
        with manifest.refusals():
            execute_steps(manifest, Pace(), progress=progress, clock=clock)
            return finish(manifest, summary, clock)


def resume_report(
    folder: Path,
    *,
    asked: Mapping[str, Any] | None = None,
    progress: ReportProgress | None = None,
    clock: Clock | None = None,
) -> Path:
    """Execute what is missing of a report, and write its page; else as `make_report`.

    What an interrupted collection left is kept beside the new one.
    What is `asked` again of the `Order`, if anything, must be the same.
    """
    clock = SystemClock() if clock is None else clock
    progress = ReportProgress() if progress is None else progress
    with locked(folder):
        manifest = Manifest.reopen(folder)
        manifest.refuse_changes(asked or {})
        missing = manifest.missing()
        progress.line(
            f"{len(manifest.entries) - len(missing)} of {len(manifest.entries)} "
            f"notebooks are done{'' if missing else ', so only the page is written'}"
        )
        pace = Pace()
        if any(step.asks_cluster for step in missing):
            _, pace = _plan_collection(Order(**manifest.order), progress)
        with manifest.refusals():
            try:
                execute_steps(manifest, pace, progress=progress, clock=clock)
            except KeyboardInterrupt:
                _say_how_to_go_on(manifest, progress)
                raise
            return _finish_with_summary(manifest, clock)


def target_of(folder: Path) -> str | None:
    """Return the target that the rest of a report needs; None: it needs none."""
    manifest = Manifest.reopen(folder)
    needed = any(step.asks_cluster for step in manifest.missing())
    return manifest.order["target"] if needed else None


def takes_s(order: Order, settings: Sequence[Setting]) -> float:
    """Say how long a report takes on a real cluster, with one setting a node group."""
    plan = order.plan(settings, room=host.room_for_pods())
    return Pace.of(plan, settings).left_s(plan_steps(order, plan, run_id=""))


def _plan_collection(order: Order, progress: ReportProgress) -> tuple[Plan, Pace]:
    """Ask the cluster for its settings, and plan the collection for them."""
    cluster = connect(order.target)
    given = order.given_setting
    observed = observe_settings(cluster, given=given)
    against = setting_conflicts(observed, given)
    if against:
        progress.line(conflict_warning(against))
    groups = group_by_setting(observed)
    settings = [group.setting or Setting(DEFAULT_SYNC_S) for group in groups]
    plan = order.plan(settings, room=_room_for_pods(order.target))
    numbers = "; ".join(f"{plan.pods_of(one)} pods at {one}" for one in settings)
    progress.line(f"collecting from {numbers}")
    pace = Pace() if cluster.modelled else Pace.of(plan, settings)
    return plan, pace


def _room_for_pods(target: str | None) -> int | None:
    """Say how many probes there is memory for; None: on a cluster, not known."""
    kind, _, _ = (target or "").partition(":")
    if kind == "testbed":
        return host.room_for_pods()
    return sys.maxsize if kind == "model" else None


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
    """Copy runs into a new report, each to its key; a failure leaves nothing.

    Only a run's own files are taken, since whoever wrote it may have put others, or
    links to them, beside them.
    """
    for copy, run in runs.items():
        try:
            _copy_run(run, new.path / copy)
        except OSError as error:
            new.discard()
            msg = (
                f"cannot copy the run {run} to {new.path / copy}: {error}; "
                "choose a folder with room for it with --out, or repair the run"
            )
            raise UsageError(msg) from error
        except BaseException:
            new.discard()
            raise


def _copy_run(run: Path, copy: Path) -> None:
    """Copy a run; tables of somebody else are made anew of its records."""
    tables = (schema.DELAYS, schema.REFRESH)
    believed = all(disk.made_here(run, table) for table in tables)
    left_out = frozenset() if believed else frozenset(table.file for table in tables)
    disk.copy_run(run, copy, left_out=left_out)
    if believed:
        for table in tables:
            disk.note_made(copy, table)
    elif any(disk.is_there(run / name) for name in left_out):
        _derive(copy)


def _derive(path: Path) -> None:
    """Make the tables of a run of its records, piece by piece."""
    run = read_run(path)
    with (
        DerivedWriter(path, schema.DELAYS) as rows,
        DerivedWriter(path, schema.REFRESH) as refreshes,
    ):
        for piece in delays_in_chunks(run):
            rows.add(piece)
        refreshes.add(refresh_intervals(run))
        rows.finish()
        refreshes.finish()


def _execute_or_discard(
    manifest: Manifest,
    new: NewFolder,
    pace: Pace,
    progress: ReportProgress,
    clock: Clock,
) -> None:
    """Execute a new report; when nothing was done by its end, it is discarded."""
    try:
        execute_steps(manifest, pace, progress=progress, clock=clock)
    except (KeyboardInterrupt, CmhotError):
        if manifest.anything_done():
            _say_how_to_go_on(manifest, progress)
        else:
            new.discard()
        raise
    except OSError as error:
        if manifest.anything_done() or isinstance(error, BrokenPipeError):
            raise
        with new.or_nothing():
            raise


def execute_steps(
    manifest: Manifest, pace: Pace, *, progress: ReportProgress, clock: Clock
) -> None:
    """Execute what is missing of a report, each notebook whatever became of others.

    A notebook whose question cannot be asked on this cluster, or of these runs,
    is not a failed one: the manifest has the reason. Only wrong use that the first
    notebook found out is raised: nothing was done by then.
    """
    steps = manifest.missing()
    manifest.forget(steps)
    _complete_pages(manifest)
    for place, step in enumerate(steps):
        progress.line(
            f"notebook {place + 1} of {len(steps)}, {step.notebook} "
            f"({notebooks.title(step.notebook)}); "
            f"about {minutes(pace.left_s(steps[place:]))} left"
        )
        runs = step.values.get("runs") or []
        if all((manifest.folder / run).is_dir() for run in runs):
            _execute(step, manifest, progress, clock)
        else:  # it would say no more than that
            entry = manifest.entries[step.notebook]
            entry.status, entry.error = "unanswered", "there is no run to draw it from"
            manifest.save()


def _execute(
    step: Step, manifest: Manifest, progress: ReportProgress, clock: Clock
) -> None:
    entry = manifest.entries[step.notebook]
    saved = manifest.copy(step.notebook)
    saved.with_suffix(".html").unlink(missing_ok=True)
    before = _figures_by_time(manifest.folder)
    with ExitStack() as opened:
        more = {}
        if step.notebook == COLLECT:
            run = manifest.folder / RUNS / str(step.values["run_id"])
            _set_aside(run)
            bar = opened.enter_context(progress.collection())
            opened.enter_context(tail_run(run, clock=clock, progress=bar))
        else:
            more["progress"] = opened.enter_context(progress.cells(step.notebook))
        try:
            notebooks.execute(
                step.notebook,
                step.absolute(manifest.folder),
                out=saved.parent,
                **more,
            )
        except notebooks.NotebookError as error:
            wrong_use = _wrong_use(error)
            if wrong_use and not manifest.anything_done():
                raise wrong_use from error
            # without a run there is nothing to report, whatever the reason is
            is_open = wrong_use is not None and step.notebook != COLLECT
            entry.status = "unanswered" if is_open else "failed"
            entry.error = str(wrong_use) if wrong_use else _first_line(error)
        else:
            entry.status, entry.error = "done", None
    drawn = _figures_by_time(manifest.folder)
    entry.figures = [name for name in drawn if drawn[name] != before.get(name)]
    manifest.save()  # before anything else: it must not be forgotten
    _complete_pages(manifest)


def _complete_pages(manifest: Manifest) -> None:
    """Make pages of the executed copies that have none."""
    for name in manifest.entries:
        copy = manifest.copy(name)
        if copy.is_file() and not copy.with_suffix(".html").is_file():
            notebooks.to_html(copy)


def _first_line(error: notebooks.NotebookError) -> str:
    """Give the error of a notebook in a line; its traceback is in the copy."""
    lines = [line for line in error.text.splitlines() if line.strip()]
    return ": ".join([error.name, *lines[:1]])


def _wrong_use(error: notebooks.NotebookError) -> CmhotError | None:
    """Give our own error again that a notebook ended with, if it was wrong use."""
    kinds: list[type[CmhotError]] = [CmhotError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if kind.__name__ == error.name and kind.exit_code == UsageError.exit_code:
            return kind(error.text)
    return None


def _set_aside(run: Path) -> None:
    """Move what an interrupted collection left, which is kept, out of the way."""
    number = 1
    while run.exists():
        aside = run.with_name(f"{run.name}-interrupted-{number}")
        if not aside.exists():
            run.rename(aside)
        number += 1


def _figures_by_time(folder: Path) -> dict[str, int]:
    """Return the figures that are there, in order of their time, with that time."""
    found = {
        path.stem: path.stat().st_mtime_ns
        for path in (folder / "figures").glob("*.json")
    }
    return dict(sorted(found.items(), key=lambda one: (one[1], one[0])))


def _say_how_to_go_on(manifest: Manifest, progress: ReportProgress) -> None:
    for run in manifest.runs:
        if (manifest.folder / run).exists():
            progress.line(
                f"interrupted: what was collected is in {manifest.folder / run}; "
                f"`cmhot report --run {manifest.folder / run}` makes a page of it"
            )
    progress.line(f"`cmhot report --resume {manifest.folder}` executes what is missing")


def _finish_with_summary(manifest: Manifest, clock: Clock) -> Path:
    """Summarise the runs, unless that cannot be done, and write the page."""
    try:
        summary = summarise(
            [manifest.folder / run for run in manifest.runs], apart=True
        )
    except (RunError, UsageError) as error:
        return finish(manifest, None, clock, why=str(error))
    if not _has_delays(summary):
        return finish(manifest, None, clock, why="no delay was observed")
    return finish(manifest, summary, clock)


def _has_delays(summary: Summary) -> bool:
    return any(own.counts["n_delays"] for own in summary.settings)


def finish(
    manifest: Manifest, summary: Summary | None, clock: Clock, *, why: str | None = None
) -> Path:
    """Write the page of what there is; `why` says why there is no summary.

    Raises
    ------
    CheckError
        When a notebook failed, or there is nothing to report.
    """
    folder = manifest.folder
    entries = manifest.entries.values()
    order = [name for entry in entries for name in entry.figures]
    figures, spoilt = find_figures(folder / "figures", order=order)
    known = [] if summary is None else [folder / run for run in manifest.runs]
    report = Report(
        name=folder.resolve().name,
        created_utc=utc_text(clock.utc_ns()),
        folder=folder,
        origins=[Origin.read(path) for path in known],
        summary=summary,
        why=why,
        entries=manifest.entries,
        left_out=manifest.left_out,
        figures=figures,
        spoilt=spoilt,
    )
    page = _write(report)
    if report.failures:
        said = "; ".join(report.failures)
        msg = f"{said}; the page shows what there is: {page}"
        raise CheckError(msg)
    return page


def _write(report: Report) -> Path:
    """Write numbers.json and the page."""
    folder, summary = report.folder, report.summary
    numbers: dict[str, Any] = {
        "report": report.name,
        "created_utc": report.created_utc,
        "headline": report.headline,
        **({} if summary is None else summary.to_dict()),
        "figures": {one.name: _figure(one) for one in report.figures},
        "notebooks": {
            name: {"status": entry.status, "error": entry.error}
            for name, entry in report.entries.items()
        },
        "failures": report.failures,
        "provenance": {
            str(one.meta["run_id"]): one.provenance for one in report.origins
        },
    }
    page = build_page(compose(report))
    write_json(folder / "numbers.json", numbers)
    write_page(folder / "index.html", page)
    return folder / "index.html"


def _figure(one: DrawnFigure) -> dict[str, Any]:
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
