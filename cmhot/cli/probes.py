"""Options that say which probes run where; shared by what plans a collection."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

FIELDS = {
    "pods": "pods",
    "namespace": "namespace",
    "setting": "setting",
    "probe_image": "probe_image",
    "node_selectors": "node_selector",
    "tolerations": "tolerations",
    "image_pull_secret": "image_pull_secret",
    "node_labels": "node_labels",
}
"""From the options to the fields of `cmhot.plan.Plan` that they fill."""


def probe_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command gets them as `probes`, fields of a Plan."""

    @functools.wraps(function)
    def command(**options: object) -> Any:  # noqa: ANN401 - of whatever it wraps
        probes = {field: options.pop(name) for name, field in FIELDS.items()}
        return function(probes=probes, **options)

    for option in reversed(_OPTIONS):
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

_OPTIONS = (
    click.option(
        "--pods", default=20, show_default=True, help="Probe pods for each setting."
    ),
    namespace_option,
    setting_option,
    click.option("--probe-image", help="An image with sh, stat and mkfifo."),
    click.option(
        "--node-selector",
        "node_selectors",
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
