"""``cmhot testbed``: the embedded Kubernetes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cmhot.cli.options import as_json, say
from cmhot.errors import UsageError

if TYPE_CHECKING:
    from cmhot.cluster.testbed.status import Status


name_option = click.option(
    "--name", default="default", show_default=True, help="Keeps testbeds apart."
)


@click.group()
def testbed() -> None:
    """Start and stop a real Kubernetes on this machine.

    etcd, API server, controller manager, scheduler, and for each setting a real
    kubelet with its own containerd: upstream's programs as local processes in one
    set of namespaces. Linux and root (sudo) are needed; no Docker, no registry.
    """


@testbed.command()
@click.option(
    "--node",
    "nodes",
    multiple=True,
    metavar="sync=10s,strategy=Watch[,ttl=60][,kubelet=v1.26.15]",
    help="A kubelet with this setting; repeat it for more nodes. Default: 5, 10 and "
    "20 s under Watch, 10 s under Get and under Cache. An older kubelet is built once.",
)
@name_option
@click.option("--kubernetes", metavar="VERSION", help="Default: the pinned version.")
@click.option(
    "--bin-dir",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Use the programs in this folder first.",
)
@as_json
def up(
    nodes: tuple[str, ...],
    name: str,
    kubernetes: str | None,
    bin_dir: Path | None,
    as_json: bool,
) -> None:
    """Start the testbed, or find it running.

    The programs come from, in this order: --bin-dir or PATH; the cache; the official
    release archives (checksums pinned, mirrors by CMHOT_MIRROR_*); a build from the
    Go module proxy, which takes about ten minutes once. It outlives this command.
    """
    from cmhot.cluster.testbed import layout, lifecycle
    from cmhot.cluster.testbed.versions import KUBERNETES_VERSION
    from cmhot.kubelet.settings import DEFAULT_SETTINGS

    asked = [layout.parse_node(node) for node in nodes]
    wanted = layout.make_spec(
        [setting for setting, _ in asked] or DEFAULT_SETTINGS,
        name=name,
        kubernetes=kubernetes or KUBERNETES_VERSION,
        kubelets=[kubelet for _, kubelet in asked],
    )
    status = lifecycle.up(wanted, bin_dir=bin_dir, report=say)
    _show(status, as_json=as_json)


@testbed.command()
@name_option
@as_json
def status(name: str, as_json: bool) -> None:
    """Say what runs; exit code 1 when it is not running."""
    from cmhot.cluster.testbed import lifecycle

    found = lifecycle.status(name, asked=["status", "--name", name])
    _show(found, as_json=as_json)
    if not found.running:
        raise click.exceptions.Exit(1)


@testbed.command()
@name_option
def down(name: str) -> None:
    """Take the testbed away, or what is left of it."""
    from cmhot.cluster.testbed import lifecycle

    if lifecycle.down(name, report=say):
        say(f"testbed {name} is gone")
    else:
        say(f"there was no testbed {name}")


@testbed.command()
@name_option
def kubeconfig(name: str) -> None:
    """Print the path of its kubeconfig.

    \b
    Use it as:  export KUBECONFIG=$(cmhot testbed kubeconfig)
    """
    from cmhot.cluster.testbed import lifecycle

    found = lifecycle.status(name, asked=["kubeconfig", "--name", name])
    if found.kubeconfig is None:
        raise lifecycle.not_running(name)
    click.echo(found.kubeconfig)


@testbed.command()
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE|DIR...",
)
@name_option
@click.option(
    "--node", "nodes", multiple=True, metavar="NAME", help="Repeatable. Default: all."
)
@click.option(
    "--as",
    "image_name",
    metavar="NAME:TAG",
    help="Name of an image that has none.",
)
def load(
    paths: tuple[Path, ...],
    name: str,
    nodes: tuple[str, ...],
    image_name: str | None,
) -> None:
    """Bring images of your own to its nodes; there is no registry.

    FILE is what `docker save` or `podman save` wrote, or another docker or OCI archive,
    plain or compressed with gzip, bzip2 or xz; DIR is an OCI image layout.
    Every digest is checked. Pods then find the image by its name, unless their
    imagePullPolicy is Always, as it is by default for the tag latest.

    \b
    Examples:
      docker save --output web.tar shop/web:1 && cmhot testbed load web.tar
      cmhot testbed load layout/ --as shop/web:1 --node sync-10s-watch
    """
    from cmhot.cluster.testbed import archives

    for path in paths:
        names = archives.load(
            path, name=name, nodes=nodes, image_name=image_name, report=say
        )
        for loaded in names:
            click.echo(loaded)


@testbed.command()
@click.argument("program", required=False)
@name_option
@click.option("--lines", default=20, show_default=True, help="From the end.")
def logs(program: str | None, name: str, lines: int) -> None:
    """Print the end of a program's log; without PROGRAM, list the logs."""
    from cmhot.cluster.testbed import lifecycle

    files = lifecycle.log_files(name)
    if program is None:
        for known, path in files.items():
            click.echo(f"{known}\t{path}")
        return
    if program not in files:
        msg = f"no program {program!r} in testbed {name!r}: choose {', '.join(files)}"
        raise UsageError(msg)
    text = files[program].read_text(errors="replace").splitlines()
    for line in text[-lines:] if lines > 0 else []:
        click.echo(line)


def _show(status: Status, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(status.to_dict(), indent=2))
        return
    if not status.running:
        click.echo(f"testbed {status.name} is not running")
        return
    click.echo(f"testbed {status.name}: Kubernetes {status.kubernetes}")
    for node in status.nodes:
        ready = "Ready" if node.ready else "not Ready"
        older = "" if node.kubelet == status.kubernetes else f", kubelet {node.kubelet}"
        click.echo(f"  {node.name:24} {node.setting!s:24} {ready}{older}")
    click.echo(f"kubeconfig: {status.kubeconfig}")
