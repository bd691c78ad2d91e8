"""``cmhot doctor``: what works here, what is missing, and the remedy."""

from __future__ import annotations

import json

import click

from cmhot.cli.options import as_json, choose_target, target_options


@click.command()
@target_options
@as_json
def doctor(target: str | None, context: str | None, as_json: bool) -> None:
    """Say what works here and what is missing; changes nothing.

    Without a target it looks at this machine: can it run a testbed, and where would
    the testbed's programs come from? With one it asks that cluster.
    """
    from cmhot.doctor import examine

    checks = examine(choose_target(target, context))
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
        for check in checks:
            click.echo(
                f"{'ok  ' if check.ok else 'MISS'}  {check.name}: {check.detail}"
            )
            if not check.ok:
                click.echo(f"      {check.remedy}")
    if not ok:
        raise click.exceptions.Exit(1)
