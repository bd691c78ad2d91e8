"""How the supervisor is told of a program: its words, its log, what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmhot.testbed import layout

if TYPE_CHECKING:
    from pathlib import PurePosixPath


def program(
    name: str,
    argv: list[str],
    *after: dict[str, Any],
    once: bool = False,
    nice: int = 0,
) -> dict[str, Any]:
    """Describe one program.

    It is started once all of `after` (sockets) listen, and again when it ends,
    unless it is to run `once`.
    """
    return {
        "name": name,
        "argv": argv,
        "log": str(layout.STATE / "logs" / f"{name}.log"),
        "after": list(after),
        "once": once,
        "nice": nice,
    }


def flags(
    program: str, *, folder: PurePosixPath = layout.BIN, **options: object
) -> list[str]:
    """Write the command line of a program: ``key_word=1`` becomes ``--key-word=1``."""
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    return [str(folder / program), *flags]
