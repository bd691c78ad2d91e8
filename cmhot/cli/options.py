"""Options that several commands share."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmhot.display import one_line
from cmhot.errors import UsageError
from cmhot.kubelet.settings import (
    MAX_PODS,
    Setting,
    parse_duration,
    parse_strategy,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable


class Duration(click.ParamType[float]):
    """Seconds, or a duration as Go writes it."""

    name = "duration"

    def convert(
        self,
        value: str | float,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Parse a duration; any other text is wrong use."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return parse_duration(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class RunFolder(click.Path):
    """The path of a run directory, which need not be there; a file is none."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        """Take the text as a path; a file is wrong use."""
        path = Path(value)
        if path.is_file():
            self.fail(
                f"{path} is a file, no run directory: "
                "give the path that cmhot collect printed",
                param,
                ctx,
            )
        return path


def target_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--target`` and its short form ``--context``."""
    function = click.option(
        "--context", metavar="NAME", help="Short for --target context:NAME."
    )(function)
    return click.option(
        "--target",
        metavar="TARGET",
        help="Where: testbed, testbed:NAME, context:NAME (of your kubeconfig), "
        "in-cluster (from a pod), or model (virtual kubelets; everything made from it "
        "says so).",
    )(function)


def choose_target(target: str | None, context: str | None) -> str | None:
    """Combine the two options."""
    if target is not None and context is not None:
        msg = "--context is short for --target context:NAME: give one of them"
        raise UsageError(msg)
    return target if context is None else f"context:{context}"


def setting_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `setting`, which the command gets read, and of its price."""

    @functools.wraps(function)
    def command(sync: float, strategy: str, ttl: float, **rest: object) -> Any:  # noqa: ANN401 - of whatever it wraps
        setting = Setting(sync, parse_strategy(strategy), ttl)
        return function(setting=setting, **rest)

    for option in reversed(_SETTING_OPTIONS):
        command = option(command)
    return command


_SETTING_OPTIONS = (
    click.option(
        "--sync",
        type=Duration(),
        default="60s",
        show_default=True,
        help="syncFrequency of the kubelets.",
    ),
    click.option(
        "--strategy",
        default="Watch",
        show_default=True,
        help="configMapAndSecretChangeDetectionStrategy: Watch, Get or Cache.",
    ),
    click.option(
        "--ttl",
        type=Duration(),
        default="0s",
        show_default=True,
        help="TTL of the Cache strategy: the nodes' annotation "
        "node.alpha.kubernetes.io/ttl; 0 on clusters of up to 100 nodes, "
        "60s where the annotation is missing.",
    ),
    click.option(
        "--sharers",
        default=1,
        show_default=True,
        help="Pods per node that share the ConfigMap; matters most under a TTL.",
    ),
    click.option(
        "--kubernetes",
        metavar="VERSION",
        help="Of the kubelets, such as v1.28.15. Default: current.",
    ),
    click.option(
        "--pods-per-node",
        type=click.IntRange(min=1),
        default=MAX_PODS,
        show_default=True,
        help="For the price of the setting: all pods of a node; the default is a "
        "kubelet's maxPods.",
    ),
    click.option(
        "--maps",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="For the price: ConfigMaps that each of these pods mounts.",
    ),
)
as_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


def say(line: str) -> None:
    """Report a step on standard error; results alone go to standard output."""
    click.echo(one_line(line), err=True)


def probe_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of probes; the command gets them as `probes`, for a `Plan`."""

    @functools.wraps(function)
    def command(**options: object) -> Any:  # noqa: ANN401 - of whatever it wraps
        probes = {name: options.pop(name) for name in _PROBE_FIELDS}
        return function(probes=probes, **options)

    for option in reversed(_PROBE_OPTIONS):
        command = option(command)
    return command


namespace_option = click.option(
    "-n",
    "--namespace",
    help="Work in this existing namespace. Default: make one, and delete it.",
)
setting_option = click.option(
    "--setting",
    metavar="sync=10s,strategy=Watch",
    help="The kubelets' setting, where they may not be asked for it. "
    "What a kubelet says counts before it. Without either it is inferred from the "
    "syncs, where they show it.",
)
_PROBE_FIELDS = (
    *("pods", "pods_at", "namespace", "setting", "probe_image", "node_selector"),
    *("tolerations", "image_pull_secret", "node_labels"),
)
"""Names of the options below for the command, and for `Plan`."""
_PROBE_OPTIONS = (
    click.option(
        "--pods", default=20, show_default=True, help="Probe pods for each setting."
    ),
    click.option(
        "--pods-at",
        multiple=True,
        metavar="60s=80",
        help="Another number of probe pods where syncFrequency is this: the longer "
        "it is, the fewer looks a pod tells of. Repeat it for more.",
    ),
    namespace_option,
    setting_option,
    click.option("--probe-image", help="An image with sh, stat and mkfifo."),
    click.option(
        "--node-selector",
        multiple=True,
        metavar="LABEL=VALUE",
        help="Only on nodes with this label. Repeat it for more.",
    ),
    click.option(
        "--toleration",
        "tolerations",
        multiple=True,
        metavar="KEY[=VALUE][:EFFECT]",
        help="Also on nodes with this taint; * for any. Repeat it for more.",
    ),
    click.option(
        "--image-pull-secret",
        metavar="NAME",
        help="Secret of the namespace with which the probes' image is pulled.",
    ),
    click.option(
        "--node-label",
        "node_labels",
        multiple=True,
        metavar="LABEL",
        help="Record this label of the nodes, too, for cmhot summarise --by. "
        "Instance type, zone, region, architecture and cmhot.dev/... are recorded "
        "anyway, where nodes may be listed. Repeat it for more.",
    ),
)
