"""``cmhot doctor``: what works here, what is missing, and the remedy."""

from __future__ import annotations

import json
from typing import Any

import click

from cmhot.cli.options import as_json, choose_target, target_options
from cmhot.cli.probes import probe_options


@click.command()
@target_options
@probe_options
@as_json
def doctor(
    target: str | None, context: str | None, probes: dict[str, Any], as_json: bool
) -> None:
    """Say what works here and what is missing; changes nothing.

    Without a target it looks at this machine: can it run a testbed, and where would
    the testbed's programs come from? With one it asks that cluster whether a
    collection with these options could run there: which rights are missing, how the
    kubelets' settings will be known, whether there is room for the probes.
    """
    from cmhot.plan import Plan
    from cmhot.visiting.doctor import examine

    checks = examine(choose_target(target, context), Plan(**probes))
    ok = all(check.ok for check in checks)
    if as_json:
        rows = [
            {
                "name": check.name,
                "ok": check.ok,
                "detail": check.detail,
                "remedy": None if check.ok else check.remedy,
            }
            for check in checks
        ]
        click.echo(json.dumps({"ok": ok, "checks": rows}, indent=2))
    else:
        for check, following in zip(checks, [*checks[1:], None], strict=True):
            click.echo(
                f"{'ok  ' if check.ok else 'MISS'}  {check.name}: {check.detail}"
            )
            # one remedy for many is told once, after the last of them
            if not check.ok and (not following or following.remedy != check.remedy):
                click.echo(f"      {check.remedy}")
    if not ok:
        raise click.exceptions.Exit(1)
