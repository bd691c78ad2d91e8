"""From the name of a target to a cluster behind the port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmhot.errors import UsageError

if TYPE_CHECKING:
    from cmhot.cluster.port import Cluster


TARGETS = "testbed, testbed:NAME, context:NAME, in-cluster or model"


def connect(target: str | None) -> Cluster:
    """Connect to a target.

    Parameters
    ----------
    target
        ``testbed`` or ``testbed:NAME`` (started by `cmhot testbed up`),
        ``context:NAME`` (a context of the kubeconfig; never the current one unasked),
        ``in-cluster`` (by the service account of the pod that this runs in),
        or ``model`` (virtual kubelets, labelled as such).

    Returns
    -------
    Cluster
        Connected, as far as can be seen without a request.

    Raises
    ------
    UsageError
        For any other name, none at all, a kubeconfig that cannot be used,
        or a testbed that is not running.
    HostError
        The state of a testbed is root's, or damaged.
    """
    kind, _, name = (target or "").partition(":")
    if kind == "model" and not name:
        from cmhot.cluster.model import ModelCluster  # noqa: PLC0415 - only who asks pays

        return ModelCluster()
    if kind == "testbed":
        return _connect_testbed(name or "default")
    if kind == "context" and name:
        from cmhot.cluster import client  # noqa: PLC0415 - importing the client takes a second

        return client.connect(target=f"context:{name}", context=name)
    if kind == "in-cluster" and not name:
        from cmhot.cluster import client  # noqa: PLC0415

        return client.connect_in_cluster()
    what = "no target is given" if target is None else f"unknown target {target!r}"
    msg = f"{what}: choose {TARGETS}"
    raise UsageError(msg)


def _connect_testbed(name: str) -> Cluster:
    from cmhot.cluster import client  # noqa: PLC0415
    from cmhot.cluster.testbed import lifecycle  # noqa: PLC0415
    from cmhot.cluster.testbed.image import IMAGE_NAME  # noqa: PLC0415

    status = lifecycle.status(name)
    if not status.running:
        msg = (
            f"{lifecycle.not_running(name)}, or choose another target (context:NAME, "
            "or model for modelled numbers)"
        )
        raise UsageError(msg)
    assert status.kubeconfig is not None, "it runs"  # noqa: S101
    try:
        return client.connect(
            target="testbed" if name == "default" else f"testbed:{name}",
            context=None,
            kubeconfig=status.kubeconfig,
            sources=status.sources,
            local_image=IMAGE_NAME,
            direct=True,
        )
    except UsageError as error:
        raise lifecycle.damaged(name, status.kubeconfig) from error
