"""How long ``import cmhot`` and ``cmhot --help`` take: what one waits for each time."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.common import CLOCK, Result, publish

ROUNDS = 11
IMPORT_MS, HELP_MS = 100.0, 200.0


def milliseconds(*arguments: str, rounds: int = ROUNDS) -> list[float]:
    """Run the interpreter so often, after one run that warms the file cache."""
    times = []
    for _ in range(rounds + 1):
        began = CLOCK.monotonic()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times.append((CLOCK.monotonic() - began) * 1000)
    return times[1:]


def import_ms(module: str, *, rounds: int = ROUNDS) -> float:
    """Return the median time of an import, without the interpreter's own start."""
    empty = statistics.median(milliseconds("-c", "pass", rounds=rounds))
    full = statistics.median(milliseconds("-c", f"import {module}", rounds=rounds))
    return full - empty


def help_ms(*, rounds: int = ROUNDS) -> float:
    """Return the median time of ``cmhot --help``, from the shell's point of view."""
    return statistics.median(milliseconds("-m", "cmhot", "--help", rounds=rounds))


def main() -> int:
    """Measure both."""
    ok = publish(
        "imports",
        [
            Result("import cmhot", import_ms("cmhot"), "ms", IMPORT_MS),
            Result("cmhot --help", help_ms(), "ms", HELP_MS),
        ],
    )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
