"""Numbers: ``cmhot predict`` and ``plan`` by the law, ``collect`` and ``summarise``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmhot.cli.options import (
    Duration,
    RunFolder,
    as_json,
    choose_target,
    probe_options,
    say,
    setting_options,
    target_options,
)
from cmhot.display import as_lines, canvas
from cmhot.errors import UsageError

if TYPE_CHECKING:
    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.settings import Setting
    from cmhot.runs.plan import Plan

_VERDICTS = {True: "holds", False: "FAILS", None: "NOT DECIDED"}


@click.command()
@setting_options
@click.option(
    "--pods", default=1, show_default=True, help="How many pods must have the update."
)
@click.option(
    "--rank", type=int, help="Until so many of the pods have it. Default: all of them."
)
@click.option(
    "--quantile",
    "quantiles",
    type=float,
    multiple=True,
    metavar=".999",
    help="A share beside .5, .9, .95 and .99. Repeat it for more.",
)
@click.option(
    "--age",
    type=Duration(),
    help="Since the pod was last synced, where you know it: for instance since it "
    "started, or since its file last changed.",
)
@click.option(
    "--extra-syncs",
    type=float,
    default=0.0,
    metavar="PER_HOUR",
    help="Syncs of a pod from other causes: label changes, failing probes, restarts.",
)
@as_json
def predict(
    setting: Setting,
    sharers: int,
    kubernetes: str | None,
    pods_per_node: int,
    maps: int,
    pods: int,
    rank: int | None,
    quantiles: tuple[float, ...],
    age: float | None,
    extra_syncs: float,
    as_json: bool,
) -> None:
    """Say how long an update will take, and what that costs. Needs no cluster.

    The delay is by the law. The price is that of the setting instead of the default:
    CPU and API requests of a kubelet with idle pods, as they were measured.

    \b
    Examples:
      cmhot predict                               the kubelet's defaults
      cmhot predict --sync 10s --pods 50          until all of 50 pods have it
      cmhot predict --sync 10s --pods-per-node 30 --maps 2
      cmhot predict --strategy Cache --ttl 60s --sharers 5
      cmhot predict --strategy Cache --ttl 60s --kubernetes v1.28.15
    """
    from cmhot.law.prediction import predict as ask

    found = ask(
        setting,
        pods=pods,
        rank=rank,
        sharers=sharers,
        kubernetes=kubernetes,
        quantiles=quantiles,
        age_s=age,
        extra_syncs_per_h=extra_syncs,
        pods_per_node=pods_per_node,
        maps=maps,
    )
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else found.to_text())


@click.command()
@setting_options
@click.option(
    "--width",
    type=Duration(),
    required=True,
    help="Of the 95 % interval, from end to end.",
)
@click.option(
    "--quantile", default=0.99, show_default=True, help="Share between 0 and 1."
)
@as_json
def plan(
    setting: Setting,
    sharers: int,
    kubernetes: str | None,
    pods_per_node: int,
    maps: int,
    width: float,
    quantile: float,
    as_json: bool,
) -> None:
    """Say how many pods and minutes a quantile takes to be known. Needs no cluster.

    Below stands what the setting itself costs a kubelet, as cmhot predict says it.

    \b
    Example:
      cmhot plan --sync 60s --width 1s --quantile .99
    """
    from cmhot.statistics.sample_size import plan_precision

    found = plan_precision(
        setting,
        quantile=quantile,
        width_s=width,
        sharers=sharers,
        kubernetes=kubernetes,
        pods_per_node=pods_per_node,
        maps=maps,
    )
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else found.to_text())


@click.command()
@target_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder in which the run's directory is made.",
)
@probe_options
@click.option(
    "--duration",
    type=Duration(),
    default="3m",
    show_default=True,
    help="From the first trial to the last.",
)
@click.option(
    "--gap",
    type=Duration(),
    help="Mean time between updates. Default: a sixth of the shortest syncFrequency.",
)
@click.option("--seed", default=1, show_default=True, help="Of the random schedule.")
@click.option("--dry-run", is_flag=True, help="Say what it would do and cost.")
@click.option(
    "--fetch",
    "job",
    metavar="JOB",
    help="Bring home the run of a Job in --namespace; see cmhot job.",
)
@click.option("--print-run", is_flag=True, hidden=True, help="For cmhot job.")
@click.option(
    "--resume",
    "resumed",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Go on with a run whose collector died, on its target; its plan holds, not "
    "the options.",
)
def collect(
    target: str | None,
    context: str | None,
    out: Path,
    probes: dict[str, Any],
    duration: float,
    gap: float | None,
    seed: int,
    dry_run: bool,
    resumed: Path | None,
    job: str | None,
    print_run: bool,
) -> None:
    """Measure many trials into a run directory, whose path is printed.

    One shared ConfigMap, PODS probes for each setting on the target, all settings in
    parallel. The updates follow a random schedule that no outcome can change.
    """
    from cmhot.cluster.targets import connect
    from cmhot.runs.plan import Plan

    plan = Plan(**probes, duration_s=duration, gap_s=gap, seed=seed)
    chosen = choose_target(target, context)
    if chosen is None and resumed is not None:
        chosen = _target_of(resumed)
    cluster = connect(chosen)
    if dry_run:
        from cmhot.collector.preflight import estimate_load

        click.echo(as_lines(estimate_load(cluster, plan).lines()))
        return
    if job is not None:
        from cmhot.collector.job import fetch

        if plan.namespace is None:
            msg = "a Job is fetched from its namespace: name it with --namespace"
            raise UsageError(msg)
        click.echo(fetch(cluster, job, namespace=plan.namespace, out=out))
        return
    path = _measure(cluster, plan, out=out, resumed=resumed)
    click.echo(path)
    if print_run:
        from cmhot.collector.job import pack

        for line in pack(path):
            click.echo(line)
    _refuse_invalid(path)


def _target_of(run: Path) -> str | None:
    """Read where a run was begun, and say so: its file alone names the cluster."""
    from cmhot.runs.rundir import read_meta

    target: str | None = read_meta(run).get("target")
    say(f"{run} was begun on {target}")
    return target


def _measure(cluster: Cluster, plan: Plan, *, out: Path, resumed: Path | None) -> Path:
    """Begin a run, or go on with one, under a progress bar."""
    from cmhot.collector.progress import progress_bar

    with progress_bar(canvas()) as progress:
        if resumed is not None:
            from cmhot.collector.begin import resume

            return resume(cluster, resumed, progress=progress)
        from cmhot.collector.begin import collect as collect_run

        return collect_run(cluster, plan, out=out, progress=progress, tell=say)


def _refuse_invalid(path: Path) -> None:
    """End with 1 when a check of the run failed."""
    from cmhot.runs.rundir import read_meta

    meta = read_meta(path)
    if meta["status"] == "invalid":
        failed = [
            name
            for name, check in meta["checks"].items()
            if isinstance(check, dict) and check["passed"] is False
        ]
        say(
            f"the run is invalid, {', '.join(failed)} failed: "
            "see checks in its run.json"
        )
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=RunFolder())
@as_json
@click.option(
    "--require",
    "requirements",
    multiple=True,
    metavar="'p99<90s'",
    help="Exit with 1 unless the one-sided 95 % bound of the quantity holds in every "
    "setting. Repeat it for more.",
)
@click.option(
    "--openmetrics", is_flag=True, help="For a monitoring system, as OpenMetrics text."
)
@click.option("--force", is_flag=True, help="Summarise an invalid run all the same.")
@click.option(
    "--by",
    metavar="LABEL",
    help="Split each setting by this label of the nodes, such as "
    "topology.kubernetes.io/zone.",
)
def summarise(
    runs: tuple[Path, ...],
    as_json: bool,
    requirements: tuple[str, ...],
    openmetrics: bool,
    force: bool,
    by: str | None,
) -> None:
    """Print delays with intervals, the law beside them. Needs no cluster.

    For each setting: the delays as observed; the same from the intervals between two
    looks of the kubelet at new content, which tell more; the law; and whether the two
    were shown to agree. Exit code 1 when a requirement does not hold, or when clocks
    that are not known better leave it open.
    A setting that neither a kubelet nor anybody told is inferred, if the run shows it.
    """
    from cmhot.statistics.summarise import summarise as summarise_runs
    from cmhot.statistics.summary import check_requirements, to_openmetrics

    if as_json and openmetrics:
        msg = "--json and --openmetrics are two forms of one answer: choose one"
        raise UsageError(msg)
    summary = summarise_runs(list(runs), force=force, by=by)
    if openmetrics:
        click.echo(to_openmetrics(summary), nl=False)
    else:
        click.echo(
            json.dumps(summary.to_dict(), indent=2) if as_json else summary.to_text()
        )
    judgements = check_requirements(summary, list(requirements))
    for judgement in judgements:
        say(f"{_VERDICTS[judgement.ok]}: {judgement.detail}")
    if not all(judgement.ok for judgement in judgements):
        raise click.exceptions.Exit(1)
