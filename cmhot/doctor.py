"""What works here: this machine for a testbed, or a cluster for a measurement."""

from __future__ import annotations

from cmhot.errors import CmhotError
from cmhot.nodes import observe_settings
from cmhot.targets import connect
from cmhot.testbed import host, spec
from cmhot.testbed.host import Check
from cmhot.testbed.programs import known_sources


def examine(target: str | None) -> list[Check]:
    """Look at a target, or at this machine when none is named.

    Returns
    -------
    list of Check
        In the order in which they matter.
    """
    return _examine_machine() if target is None else _examine_cluster(target)


def _examine_machine() -> list[Check]:
    checks = host.checks(nodes=len(spec.DEFAULT_SETTINGS))
    if checks[-1].ok or len(checks) > 1:
        checks += [
            Check(f"program {name}", ok=True, detail=where)
            for name, where in known_sources().items()
        ]
    return checks


def _examine_cluster(target: str) -> list[Check]:
    try:
        cluster = connect(target)
        version = cluster.version()
    except CmhotError as error:
        detail, _, remedy = str(error).partition(": ")
        return [Check("API server", ok=False, detail=detail, remedy=remedy)]
    checks = [Check("API server", ok=True, detail=f"{target} answers, {version}")]
    try:
        nodes = observe_settings(cluster)
    except CmhotError as error:
        detail, _, remedy = str(error).partition(": ")
        return [*checks, Check("nodes", ok=False, detail=detail, remedy=remedy)]
    checks += [
        Check(
            f"setting of {node.name}",
            ok=True,
            detail=f"{node.setting or 'not observable'} ({node.source})",
        )
        for node in nodes
    ]
    return checks
