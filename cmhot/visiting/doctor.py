"""What works here: this machine for a testbed, or a cluster for a measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmhot.errors import CmhotError
from cmhot.plan import Plan
from cmhot.settings import DEFAULT_SETTINGS
from cmhot.targets import connect
from cmhot.testbed import host
from cmhot.testbed.host import Check
from cmhot.testbed.programs import known_sources
from cmhot.testbed.versions import KUBERNETES_VERSION
from cmhot.visiting.suitability import failed, suitability

if TYPE_CHECKING:
    from cmhot.testbed.programs import Outlook


def examine(target: str | None, plan: Plan | None = None) -> list[Check]:
    """Look at a target, or at this machine when none is named.

    Parameters
    ----------
    target
        As `connect` takes it; None: this machine.
    plan
        What is to be collected there; None: the default, in a namespace of its own.

    Returns
    -------
    list of Check
        In the order in which they matter.
    """
    if target is None:
        return _examine_machine()
    return _examine_cluster(target, plan or Plan())


def _examine_machine() -> list[Check]:
    checks = host.checks(nodes=len(DEFAULT_SETTINGS))
    if host.runs_linux():
        checks += [
            _describe(outlook)
            for outlook in known_sources(kubernetes_version=KUBERNETES_VERSION)
        ]
    return checks


def _describe(outlook: Outlook) -> Check:
    """Say which file serves a program, or how it would be had."""
    name, source = f"program {outlook.program}", outlook.source
    if source is None:
        return Check(name, ok=True, detail=outlook.remark)
    why = f" ({source.why})" if source.why else ""
    return Check(name, ok=True, detail=f"{source.version} from {source.step}{why}")


def _examine_cluster(target: str, plan: Plan) -> list[Check]:
    try:
        cluster = connect(target)
        version = cluster.version()
    except CmhotError as error:
        return [failed("API server", error)]
    checks = [Check("API server", ok=True, detail=f"{target} answers, {version}")]
    return checks + suitability(cluster, plan)
