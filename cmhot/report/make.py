"""The report: collect what is missing, execute the notebooks, write the page."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from cmhot import notebooks
from cmhot.clock import SystemClock
from cmhot.collecting import new_run_id, utc_text
from cmhot.contradicting import contradictions, warning
from cmhot.costs import expected_duration_s
from cmhot.errors import CheckError, CmhotError, RunError, UsageError
from cmhot.nodes import group_by_setting, observe_settings
from cmhot.plan import DEFAULT_SYNC_S
from cmhot.report.bars import minutes, no_bar
from cmhot.report.compose import Failure, Material, compose
from cmhot.report.following import followed
from cmhot.report.order import Order
from cmhot.report.page import build_page
from cmhot.report.provenance import recorded
from cmhot.report.wording import alt_text
from cmhot.runs.rundir import read_run
from cmhot.settings import Setting
from cmhot.summaries.summarising import summarise
from cmhot.targets import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cmhot.clock import Clock
    from cmhot.collecting import Progress
    from cmhot.plan import Plan
    from cmhot.summaries.summary import Summary

    Bar = Callable[[], AbstractContextManager[Callable[[Progress], None]]]

COLLECT, DISTRIBUTION = "02-collect", "03-delay-distribution"

NOTEBOOKS_S = 30.0
"""What the notebooks and the page take beside collecting, seconds, on 2 cores."""

POD_START_S = 0.25
"""What a probe pod takes to start, seconds: 100 of them were Ready after 18 s."""


def expected_s(plan: Plan, settings: Sequence[Setting]) -> float:
    """Say how long a report on a real cluster takes, in seconds.

    Parameters
    ----------
    plan
        What is collected.
    settings
        One for each group of nodes.
    """
    pods_s = POD_START_S * plan.pods * len(settings)
    return pods_s + expected_duration_s(plan, list(settings)) + NOTEBOOKS_S


def report(
    *,
    out: Path,
    target: str | None = None,
    runs: Sequence[Path] = (),
    profile: str = "quick",
    pods: int | None = None,
    duration_s: float | None = None,
    gap_s: float | None = None,
    seed: int = 1,
    namespace: str | None = None,
    probe_image: str | None = None,
    setting: str | None = None,
    report_line: Callable[[str], None] = lambda _: None,
    bar: Bar = no_bar,
    clock: Clock | None = None,
) -> Path:
    """Make a report: a folder with the page, figures, numbers, notebooks and runs.

    Parameters
    ----------
    out
        Folder of reports; the report gets a new folder in it.
    target
        Where to collect, as `cmhot.targets.connect` takes it.
    runs
        Existing runs to report on; nothing is collected then.
    profile
        How much to collect: ``quick`` or ``full``, see `cmhot.report.order.PROFILES`.
    pods, duration_s
        Instead of the profile's; None: the profile's.
    gap_s, seed, namespace, probe_image, setting
        As in `cmhot.plan.Plan`.
    report_line
        Told what is being done, a sentence at a time.
    bar
        Opened while the run is collected; what it gives is told about once a second
        how far that is. `cmhot.report.bars.collect_bar` is one.
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
    RunError
        When a given run cannot be read.
    CheckError
        When a notebook failed; the page is there and shows it.
    KeyboardInterrupt
        After an interrupt; what was collected is kept.
    """
    clock = SystemClock() if clock is None else clock
    if runs:
        summary = summarise(runs)
        if not _has_delays(summary):
            msg = (
                f"no delay was observed in {', '.join(summary.runs)}: "
                "there is nothing to report; collect again"
            )
            raise RunError(msg)
        name = summary.runs[0] if len(runs) == 1 else new_run_id(clock)
        folder, _ = _make_folder(out, name)
        # copied, so that the folder can be given away whole
        paths = [folder / "runs" / run_id for run_id in summary.runs]
        for path, copy in zip(runs, paths, strict=True):
            shutil.copytree(path, copy)
        failures: list[Failure] = []
    else:
        order = Order(
            target=target,
            profile=profile,
            pods=pods,
            duration_s=duration_s,
            gap_s=gap_s,
            seed=seed,
            namespace=namespace,
            probe_image=probe_image,
            setting=setting,
        )
        folder, failures = _collect(order, out, report_line, bar, clock)
        paths = [path for path in (folder / "runs").glob("*") if path.is_dir()]
    summary_or_none = _summary(paths)
    if summary_or_none is not None:
        report_line("drawing the distribution (notebook 03-delay-distribution)")
        values = {"runs": [str(path) for path in paths]}
        figures = {"figures_out": folder / "figures"}
        failures += _execute(DISTRIBUTION, {**values, **figures}, folder)
    material = Material(
        name=folder.name,
        created_utc=utc_text(clock.utc_ns()),
        folder=folder,
        runs=[] if summary_or_none is None else [read_run(path) for path in paths],
        summary=summary_or_none,
        failures=failures,
    )
    page = _write(material)
    if failures:
        said = "; ".join(failure.text for failure in failures)
        msg = f"{said}; the page shows what there is: {page}"
        raise CheckError(msg)
    return page


def _collect(
    order: Order,
    out: Path,
    report_line: Callable[[str], None],
    bar: Bar,
    clock: Clock,
) -> tuple[Path, list[Failure]]:
    """Collect a run by notebook into a new report folder."""
    cluster = connect(order.target)
    given = order.given_setting
    observed = observe_settings(cluster, given=given)
    against = contradictions(observed, given)
    if against:
        report_line(warning(against))
    groups = group_by_setting(observed)
    settings = [group.setting or Setting(DEFAULT_SYNC_S) for group in groups]
    plan = order.plan(settings)
    name = new_run_id(clock)
    folder, made = _make_folder(out, name)
    takes_s = NOTEBOOKS_S if cluster.modelled else expected_s(plan, settings)
    report_line(
        f"collecting from {plan.pods} pods at each of {len(settings)} settings "
        f"({'; '.join(str(setting) for setting in settings)}): "
        f"the report will be ready in about {minutes(takes_s)}"
    )
    run = folder / "runs" / name
    values = {
        "target": order.target,
        "pods": plan.pods,
        "duration_s": plan.duration_s,
        "gap_s": plan.gap_s or 0.0,
        "seed": plan.seed,
        "out": folder / "runs",
        "run_id": name,
        "namespace": plan.namespace or "",
        "probe_image": plan.probe_image or "",
        "setting": plan.setting or "",
    }
    try:
        with bar() as progress, followed(run, clock=clock, progress=progress):
            return folder, _execute(COLLECT, values, folder, collected=run)
    except KeyboardInterrupt:
        if run.exists():
            report_line(
                f"interrupted: what was collected is in {run}; "
                f"`cmhot report --run {run}` makes a page of it"
            )
        else:
            _discard(folder, made)
        raise
    except CmhotError:
        _discard(folder, made)
        raise


def _execute(
    name: str,
    values: Mapping[str, object],
    folder: Path,
    *,
    collected: Path | None = None,
) -> list[Failure]:
    """Execute a notebook and make its page; a failure is kept for the report.

    A wrong use that was only found out in the notebook, before anything was
    collected, is raised as what it is.
    """
    failures = []
    saved = folder / "notebooks" / f"{name}.ipynb"
    try:
        notebooks.execute(name, values, out=saved.parent)
    except notebooks.NotebookError as error:
        wrong_use = _wrong_use(error)
        updates = None if collected is None else collected / "updates.jsonl"
        if wrong_use and updates and not (updates.exists() and updates.stat().st_size):
            raise wrong_use from error
        failures.append(Failure(str(error), name))
    if saved.exists():
        notebooks.to_html(saved)
    return failures


def _wrong_use(error: notebooks.NotebookError) -> CmhotError | None:
    """Give our own error again that a notebook ended with, if it was wrong use."""
    kinds: list[type[CmhotError]] = [CmhotError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if kind.__name__ == error.name and kind.exit_code == UsageError.exit_code:
            return kind(error.text)
    return None


def _summary(paths: Sequence[Path]) -> Summary | None:
    """Summarise the runs, unless there is nothing in them to draw."""
    try:
        summary = summarise(paths)
    except (RunError, UsageError):
        return None
    return summary if _has_delays(summary) else None


def _has_delays(summary: Summary) -> bool:
    return any(own.counts["n_delays"] for own in summary.settings)


def _make_folder(out: Path, name: str) -> tuple[Path, list[Path]]:
    """Make a new folder for a report; when that fails, nothing is left behind.

    Returns
    -------
    tuple
        The folder, and those above it that were not there before.
    """
    folder, number = out / name, 1
    while folder.exists():
        number += 1
        folder = out / f"{name}-{number}"
    absent = [path for path in (out, *out.parents) if not path.exists()]
    try:
        for part in ("figures", "notebooks", "runs"):
            (folder / part).mkdir(parents=True)
    except OSError as error:
        _discard(folder, absent)
        msg = (
            f"cannot write a report to {folder}: {error.strerror}; "
            "choose a writable folder with --out"
        )
        raise UsageError(msg) from error
    return folder, absent


def _discard(folder: Path, made: Sequence[Path]) -> None:
    """Remove a report that came to nothing, and the folders made for it."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in made:
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _write(material: Material) -> Path:
    """Write numbers.json and the page."""
    folder, summary = material.folder, material.summary
    numbers = {
        "report": material.name,
        "created_utc": material.created_utc,
        "headline": material.headline,
        **({} if summary is None else summary.to_dict()),
        "figures": {
            name: {
                "svg": f"figures/{name}.svg",
                "png": f"figures/{name}.png",
                "alt": alt_text(summary),
            }
            for name in material.figures
            if summary is not None
        },
        "failures": [failure.text for failure in material.failures],
        "provenance": {str(run.meta["run_id"]): recorded(run) for run in material.runs},
    }
    text = json.dumps(numbers, indent=2, ensure_ascii=False, allow_nan=False)
    page = build_page(compose(material))
    (folder / "numbers.json").write_text(text + "\n", encoding="utf-8")
    (folder / "index.html").write_text(page, encoding="utf-8")
    return folder / "index.html"
