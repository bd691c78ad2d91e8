"""A change under way: ``cmhot apply``, ``explain``, ``wait`` and ``refresh``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmhot.cli.options import Duration, as_json, choose_target, say, target_options
from cmhot.kubelet.settings import parse_setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmhot.propagation.wait import WaitProgress


REPORT_EVERY_S = 10.0
"""Longest time without a report of progress."""
namespace_option = click.option(
    "-n",
    "--namespace",
    help="Of the object and of the pods. Default: the context's, as kubectl takes it.",
)
setting_option = click.option(
    "--setting",
    metavar="sync=60s,strategy=Watch",
    help="Of kubelets that may not be asked. Default: unknown.",
)


def where(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the target and the namespace."""
    return target_options(namespace_option(function))


@click.command()
@click.argument("reference", metavar="configmap/NAME|secret/NAME")
@where
@setting_option
@as_json
def explain(
    reference: str,
    target: str | None,
    context: str | None,
    namespace: str | None,
    setting: str | None,
    as_json: bool,
) -> None:
    """Say who uses a ConfigMap or a Secret, who will see an update, and when.

    Every workload and pod of the namespace, by volume, projected, subPath, env or
    envFrom; what never updates, and what would force it; and what people overlook.
    Nothing is changed.

    \b
    Examples:
      cmhot explain configmap/special-config --context prod -n shop
      cmhot explain secret/tls --target testbed --json
      cmhot explain cm/app --context prod --setting sync=60s   kubelets not to be asked
    """
    from cmhot.cluster.targets import connect
    from cmhot.propagation.explain import explain as explain_object

    found = explain_object(
        connect(choose_target(target, context)),
        reference,
        namespace=namespace,
        given=None if setting is None else parse_setting(setting),
    )
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else found.to_text())


def reporter() -> Callable[[WaitProgress], None]:
    """Report changes on standard error, and now and then that there are none."""
    last: dict[str, float] = {"fresh": -1.0, "left_s": 0.0}

    def report(progress: WaitProgress) -> None:
        quiet_s = last["left_s"] - progress.left_s
        if progress.fresh != last["fresh"] or quiet_s >= REPORT_EVERY_S:
            last.update(fresh=progress.fresh, left_s=progress.left_s)
            say(str(progress))

    return report


@click.command()
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    required=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="A manifest; repeat it for more, - reads standard input.",
)
@click.option(
    "--wait",
    "waits",
    is_flag=True,
    help="Until every container that uses an applied ConfigMap or Secret holds it.",
)
@click.option(
    "--timeout", type=Duration(), default="3m", show_default=True, help="Of --wait."
)
@click.option(
    "--updatable-only",
    is_flag=True,
    help="Do not wait for what no update reaches (env, subPath, init containers).",
)
@where
@as_json
def apply(
    files: tuple[Path, ...],
    waits: bool,
    timeout: float,
    updatable_only: bool,
    target: str | None,
    context: str | None,
    namespace: str | None,
    as_json: bool,
) -> None:
    """Apply manifests, and wait until the pods have what is in them.

    Server-side apply, field manager "cmhot"; fields that somebody else owns are not
    taken away (409).

    \b
    Exit codes: 0 fine; 1 not landed, with the list of laggards; 2 wrong use.

    \b
    Examples:
      cmhot apply -f app.yaml --context prod -n shop --wait
      kustomize build . | cmhot apply -f - --target testbed
    """
    from cmhot.cluster.targets import connect
    from cmhot.propagation.changes import apply as apply_objects
    from cmhot.propagation.manifests import read_manifests
    from cmhot.propagation.wait import wait_for_applied

    cluster = connect(choose_target(target, context))
    texts = [
        sys.stdin.buffer.read().decode() if str(file) == "-" else file for file in files
    ]
    # all are read before the first is sent
    manifests = [manifest for text in texts for manifest in read_manifests(text)]
    applied = apply_objects(cluster, manifests, namespace=namespace, tell=say)
    waited = []
    if waits:
        waited = wait_for_applied(
            cluster,
            applied,
            timeout_s=timeout,
            updatable_only=updatable_only,
            tell=reporter(),
            skipped=say,
        )
    if as_json:
        click.echo(json.dumps([one.to_dict() for one in waited], indent=2))
    else:
        for one in waited:
            click.echo(one.to_text())
    if not all(one.ok for one in waited):
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("reference", metavar="configmap/NAME|secret/NAME")
@click.option(
    "--for",
    "workload",
    metavar="deployment/NAME",
    help="Only its pods. Default: all of the namespace.",
)
@click.option(
    "--timeout",
    type=Duration(),
    default="3m",
    show_default=True,
    help="Longest time to wait.",
)
@click.option(
    "--updatable-only",
    is_flag=True,
    help="Leave out what no update reaches (env, subPath, init containers), and wait "
    "for the others.",
)
@click.option(
    "--ephemeral",
    is_flag=True,
    help="Look into containers without cat through an ephemeral container: "
    "this changes the pod, and syncs it.",
)
@where
@setting_option
@as_json
def wait(
    reference: str,
    workload: str | None,
    timeout: float,
    updatable_only: bool,
    ephemeral: bool,
    target: str | None,
    context: str | None,
    namespace: str | None,
    setting: str | None,
    as_json: bool,
) -> None:
    """Wait until every container that uses an object holds its current content.

    It is looked at from inside: the files' bytes, and the environment that the process
    was started with. Containers that no update reaches (env, subPath) and that hold
    something else end the wait at once, with the remedy, unless a rollout under way
    replaces them. A container without cat is "unknown", never assumed to be fresh.
    What init containers made of the object cannot be seen: where they alone use it, the
    wait ends once all have begun, with 0 if all have read it since its last change, or
    else 1.
    Nothing is changed (but see --ephemeral).

    \b
    Exit codes: 0 landed; 1 not landed, with the list of laggards; 2 wrong use.

    \b
    Examples:
      kubectl apply -f app.yaml && cmhot wait configmap/app --context prod -n shop
      cmhot wait cm/app --for deployment/web --timeout 5m --context prod
      cmhot wait secret/tls --updatable-only --target testbed --json
    """
    from cmhot.cluster.targets import connect
    from cmhot.propagation.wait import wait as wait_for

    waited = wait_for(
        connect(choose_target(target, context)),
        reference,
        workload=workload,
        namespace=namespace,
        timeout_s=timeout,
        updatable_only=updatable_only,
        ephemeral=ephemeral,
        given=None if setting is None else parse_setting(setting),
        tell=reporter(),
    )
    click.echo(json.dumps(waited.to_dict(), indent=2) if as_json else waited.to_text())
    if not waited.ok:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("workload", metavar="deployment/NAME|statefulset/NAME|daemonset/NAME")
@click.option(
    "--method",
    required=True,
    type=click.Choice(["annotate", "rollout", "recreate"]),
    help="annotate: a sync of each pod, nothing restarts; rollout: new pods, by the "
    "workload's strategy; recreate: no pods, then new ones (never where scaling down "
    "deletes volume claims).",
)
@click.option(
    "--configmap",
    metavar="NAME",
    help="Verify this one (or secret/NAME). Default: all ConfigMaps and Secrets that "
    "the pods use.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option(
    "--despite",
    multiple=True,
    type=click.Choice(["hpa", "pdb", "current"]),
    help="hpa, pdb: although an autoscaler scales it, or a PodDisruptionBudget allows "
    "fewer pods to be missing; for recreate also: although you may not list them. "
    "current: restart pods also when all are newer than what they use.",
)
@click.option(
    "--rate",
    default=50.0,
    show_default=True,
    type=click.FloatRange(min=0.1),
    help="Most pods that are touched in a second.",
)
@click.option(
    "--timeout",
    type=Duration(),
    default="5m",
    show_default=True,
    help="Longest time for all of it.",
)
@where
@as_json
def refresh(
    workload: str,
    method: str,
    configmap: str | None,
    dry_run: bool,
    despite: tuple[str, ...],
    rate: float,
    timeout: float,
    target: str | None,
    context: str | None,
    namespace: str | None,
    as_json: bool,
) -> None:
    """Make the pods of a workload see an update now, and verify that they do.

    Scaling to nothing remembers the replicas in an annotation of the workload: should
    this command be killed then, its next call brings them back, unless somebody has
    changed the workload meanwhile. An answer that is an error does not leave it at
    nothing: scaling back is tried again, for a minute at least. A StatefulSet whose
    volume claims would be deleted (whenScaled: Delete) is not scaled to nothing.
    What cannot succeed is refused before anything is changed, also with --dry-run: new
    pods that would not start, since an object or a key is missing; a rollout that is
    paused, held back by a partition, or left to whoever deletes the pods (OnDelete).

    \b
    Exit codes: 0 every container was looked into, and has it; 1 one has not (also a
    variable, under annotate), or was not looked at; 2 wrong use, or something speaks
    against it.

    \b
    Examples:
      cmhot refresh deployment/web --method annotate --context prod -n shop
      cmhot refresh deployment/web --method rollout --dry-run --context prod
      cmhot refresh sts/db --method recreate --despite pdb --target testbed
    """
    from cmhot.cluster.targets import connect
    from cmhot.propagation.refresh import refresh as refresh_workload

    done = refresh_workload(
        connect(choose_target(target, context)),
        workload,
        method=method,
        namespace=namespace,
        configmap=configmap,
        dry_run=dry_run,
        despite=despite,
        timeout_s=timeout,
        rate_per_s=rate,
        tell=say,
    )
    click.echo(json.dumps(done.to_dict(), indent=2) if as_json else done.to_text())
    if not done.ok:
        raise click.exceptions.Exit(1)
