"""``cmhot report``: the notebooks executed, one page written."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmhot.cli.options import (
    Duration,
    RunFolder,
    as_json,
    choose_target,
    namespace_option,
    say,
    setting_option,
    target_options,
)
from cmhot.display import canvas
from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmhot.report.make import ReportProgress


DEFAULT_PROFILE = "quick"


@click.command()
@target_options
@click.option(
    "--profile",
    type=click.Choice(["quick", "full"]),
    help="quick, the default: about 7 minutes of collecting, and the notebooks that "
    "are quick; full: all notebooks, half an hour of collecting, an hour in all.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("reports"),
    show_default=True,
    help="Folder in which the report's directory is made.",
)
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=RunFolder(),
    help="Report on an existing run instead of measuring. Repeat it for more.",
)
@click.option(
    "--resume",
    "resumed",
    metavar="REPORT",
    type=click.Path(path_type=Path),
    help="Execute what is missing of a report whose folder is given.",
)
@click.option(
    "--compare",
    nargs=2,
    metavar="RUN_A RUN_B",
    type=RunFolder(),
    help="Show two runs side by side, before and after a change.",
)
@click.option("--pods", type=int, help="Instead of the profile's probes a setting.")
@click.option("--duration", type=Duration(), help="Instead of the profile's.")
@namespace_option
@setting_option
@as_json
def report(
    target: str | None,
    context: str | None,
    profile: str | None,
    out: Path,
    runs: tuple[Path, ...],
    resumed: Path | None,
    compare: tuple[Path, Path] | None,
    pods: int | None,
    duration: float | None,
    namespace: str | None,
    setting: str | None,
    as_json: bool,
) -> None:
    """Measure, execute the notebooks, and write an HTML report.

    The path of the page is the last line printed; with --json, the numbers are.
    A notebook that fails does not stop the others: the page shows its error,
    and the exit code is 1.
    """
    asked = {
        "target": choose_target(target, context),
        "profile": profile,
        "pods": pods,
        "duration_s": duration,
        "namespace": namespace,
        "setting": setting,
    }
    _check_one_way(runs=runs, resumed=resumed, compare=compare, asked=asked)
    if compare is not None:
        from cmhot.report.comparison_page import compare_report

        page = compare_report(*compare, out=out)
    elif resumed is not None:
        page = _resumed(resumed, asked)
    else:
        page = _made(asked, runs, out)
    if as_json:
        numbers = json.loads((page.parent / "numbers.json").read_bytes())
        click.echo(json.dumps(numbers, indent=2, ensure_ascii=False))
    else:
        click.echo(page)


def _check_one_way(
    *,
    runs: tuple[Path, ...],
    resumed: Path | None,
    compare: tuple[Path, Path] | None,
    asked: Mapping[str, Any],
) -> None:
    """Refuse two ways of making a report at once."""
    ways = [("--run", runs), ("--resume", resumed), ("--compare", compare)]
    given = [name for name, value in ways if value]
    if len(given) > 1:
        msg = f"{' and '.join(given)} are different reports: give one of them"
        raise UsageError(msg)
    measuring = {"profile", "pods", "duration_s", "namespace", "setting"}
    idle = [name for name, value in asked.items() if value and name in measuring]
    if idle and (runs or compare):
        names = ", ".join(f"--{name.removesuffix('_s')}" for name in idle)
        msg = f"{given[0]} measures nothing: leave {names} out"
        raise UsageError(msg)


def _resumed(folder: Path, asked: Mapping[str, Any]) -> Path:
    """Go on with a report, on the testbed if it needs one."""
    from cmhot.cluster.testbed import lifecycle
    from cmhot.report.make import resume_report, target_of

    needed: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if target_of(folder) == "testbed":
        needed = lifecycle.temporary_testbed(report=say)
    with needed:
        return resume_report(folder, asked=asked, progress=_progress())


def _made(asked: Mapping[str, Any], runs: tuple[Path, ...], out: Path) -> Path:
    """Make a new report, on a testbed of its own if none runs."""
    from cmhot.cluster.testbed import lifecycle
    from cmhot.collector.progress import minutes
    from cmhot.kubelet.settings import DEFAULT_SETTINGS
    from cmhot.report.make import make_report, report_on_runs, takes_s
    from cmhot.report.steps import Order

    if runs:
        return report_on_runs(list(runs), out=out, progress=_progress())
    order = Order(**{**asked, "profile": asked["profile"] or DEFAULT_PROFILE})
    needed: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if order.target == "testbed":
        # impossible requests are refused before anything is started
        whole_s = takes_s(order, DEFAULT_SETTINGS)
        start_s = lifecycle.expected_start_s()
        say(
            f"this will take about {minutes(start_s + whole_s)}, "
            f"{minutes(start_s)} of them to have the testbed"
        )
        needed = lifecycle.temporary_testbed(report=say)
    with needed:
        return make_report(order, out=out, progress=_progress())


def _progress() -> ReportProgress:
    """Show progress on standard error."""
    from cmhot.collector.progress import progress_bar
    from cmhot.report.make import ReportProgress, cells_bar

    return ReportProgress(say, lambda: progress_bar(canvas()), cells_bar)
