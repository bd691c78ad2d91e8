"""The report: collect what is missing, execute the notebooks, write the page."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmhot import notebooks
from cmhot.bars import minutes
from cmhot.clock import SystemClock
from cmhot.collect import new_run_id, utc_text
from cmhot.costs import expected_duration_s
from cmhot.errors import CheckError, CmhotError, RunError, UsageError
from cmhot.following import followed
from cmhot.nodes import group_by_setting, observe_settings
from cmhot.page import build_page
from cmhot.plan import DEFAULT_SYNC_S, Plan
from cmhot.report_page import Failure, Material, compose, provenance
from cmhot.rundir import read_run
from cmhot.settings import Setting
from cmhot.summary import summarise
from cmhot.targets import connect
from cmhot.wording import alt_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from cmhot.clock import Clock
    from cmhot.collect import Progress
    from cmhot.summary import Summary

COLLECT, DISTRIBUTION = "02-collect", "03-delay-distribution"

NOTEBOOKS_S = 20.0
"""What the notebooks and the page take beside collecting, seconds, on 2 cores."""
SHORTEST_S = 60.0
"""A measuring window is at least this long, or twice the longest `syncFrequency`."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How much to collect for a report.

    Attributes
    ----------
    pods
        Probe pods per setting.
    total_s
        How long collecting is to take in all, in seconds, once the probes run:
        what burn-in and drain leave of it is measured.
    """

    pods: int
    total_s: float


PROFILES: Mapping[str, Profile] = {
    "quick": Profile(pods=20, total_s=240.0),
    "full": Profile(pods=40, total_s=1800.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a report is to collect.

    Attributes
    ----------
    target
        Where; None: the caller gave none, which is an error unless there are runs.
    profile
        A name in `PROFILES`.
    pods, duration_s
        Instead of the profile's; None: the profile's.
    gap_s, seed, namespace, probe_image
        As in `cmhot.plan.Plan`.
    """

    target: str | None
    profile: str = "quick"
    pods: int | None = None
    duration_s: float | None = None
    gap_s: float | None = None
    seed: int = 1
    namespace: str | None = None
    probe_image: str | None = None

    def plan(self, settings: Sequence[Setting]) -> Plan:
        """Fix the plan for the settings that were found.

        Raises
        ------
        UsageError
            For an unknown profile, or values that cannot be.
        """
        if self.profile not in PROFILES:
            known = ", ".join(PROFILES)
            msg = f"unknown profile {self.profile!r}: there are {known}"
            raise UsageError(msg)
        profile = PROFILES[self.profile]
        duration_s = self.duration_s
        if duration_s is None:
            longest_s = max(setting.sync_frequency_s for setting in settings)
            around_s = expected_duration_s(Plan(duration_s=1.0), [*settings]) - 1.0
            duration_s = max(profile.total_s - around_s, SHORTEST_S, 2 * longest_s)
        return Plan(
            pods=profile.pods if self.pods is None else self.pods,
            duration_s=round(duration_s, 1),
            gap_s=self.gap_s,
            seed=self.seed,
            namespace=self.namespace,
            probe_image=self.probe_image,
        )


def report(
    order: Order,
    *,
    out: Path,
    runs: Sequence[Path] = (),
    report_line: Callable[[str], None] = lambda _: None,
    progress: Callable[[Progress], None] = lambda _: None,
    clock: Clock | None = None,
) -> Path:
    """Make a report: a folder with the page, figures, numbers, notebooks and runs.

    Parameters
    ----------
    order
        What to collect.
    out
        Folder of reports; the report gets a new folder in it.
    runs
        Existing runs to report on; nothing is collected then.
    report_line
        Told what is being done, a sentence at a time.
    progress
        Told how far collecting is, about once a second.
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
        name = summary.runs[0] if len(runs) == 1 else new_run_id(clock)
        folder = _make_folder(out, name)
        paths = [_adopt(path, folder / "runs") for path in runs]
        failures: list[Failure] = []
    else:
        folder, failures = _collect(order, out, report_line, progress, clock)
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
    progress: Callable[[Progress], None],
    clock: Clock,
) -> tuple[Path, list[Failure]]:
    """Collect a run by notebook into a new report folder."""
    cluster = connect(order.target)
    groups = group_by_setting(observe_settings(cluster))
    settings = [group.setting or Setting(DEFAULT_SYNC_S) for group in groups]
    plan = order.plan(settings)
    name = new_run_id(clock)
    folder = _make_folder(out, name)
    takes_s = NOTEBOOKS_S
    if not cluster.modelled:
        takes_s += expected_duration_s(plan, settings)
    report_line(
        f"collecting from {plan.pods} pods at each of {len(settings)} settings "
        f"({', '.join(str(setting) for setting in settings)}); "
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
    }
    try:
        with followed(run, clock=clock, progress=progress):
            return folder, _execute(COLLECT, values, folder, collected=run)
    except KeyboardInterrupt:
        if run.exists():
            report_line(
                f"interrupted: what was collected is in {run}; "
                f"`cmhot report --run {run}` makes a page of it"
            )
        else:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    except CmhotError:
        shutil.rmtree(folder, ignore_errors=True)
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
    return summary if any(s.counts["n_delays"] for s in summary.settings) else None


def _make_folder(out: Path, name: str) -> Path:
    """Make a new folder for a report; when that fails, nothing is left behind."""
    folder, number = out / name, 1
    while folder.exists():
        number += 1
        folder = out / f"{name}-{number}"
    absent = [path for path in (out, *out.parents) if not path.exists()]
    try:
        for part in ("figures", "notebooks", "runs"):
            (folder / part).mkdir(parents=True)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        for path in absent:
            if path.is_dir():
                path.rmdir()
        msg = (
            f"cannot write a report to {folder}: {error.strerror}; "
            "choose a writable folder with --out"
        )
        raise UsageError(msg) from error
    return folder


def _adopt(run: Path, folder: Path) -> Path:
    """Copy a run into the report, so that the folder can be given away whole."""
    copy = folder / run.resolve().name
    shutil.copytree(run, copy)
    return copy


def _write(material: Material) -> Path:
    """Write numbers.json and the page, each as a whole."""
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
        "provenance": {
            str(run.meta["run_id"]): provenance(run) for run in material.runs
        },
    }
    text = json.dumps(numbers, indent=2, ensure_ascii=False, allow_nan=False)
    page = folder / "index.html"
    for file, content in _both(folder, text + "\n", build_page(compose(material))):
        file.write_text(content, encoding="utf-8")
    return page


def _both(folder: Path, numbers: str, page: str) -> Iterable[tuple[Path, str]]:
    yield folder / "numbers.json", numbers
    yield folder / "index.html", page
