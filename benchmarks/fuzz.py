"""How mutated runs fare: each is used or refused in a sentence, and soon.

As the short one in `tests/unit/strangers`, with as many copies as are asked for.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path

from cmhot.runs import schema
from cmhot.runs.delays import delays
from cmhot.runs.rundir import RunWriter, pack, read_run
from cmhot.runs.sync_intervals import refresh_intervals
from tests.unit.strangers.mutating import mutate, use

MOST_S = 10.0
COPIES = 2000
SOURCE = Path(__file__).parents[1] / "data" / "testbed-2026-11-24" / "start-1"


def runs_in(folder: Path) -> list[Path]:
    """Copy a published run as lines, as lines with tables, and packed."""
    shutil.copytree(SOURCE, folder / "lines")
    shutil.copytree(SOURCE, folder / "derived")
    run = read_run(SOURCE)
    writer = RunWriter(folder / "derived")
    writer.write_derived(delays(run), schema.DELAYS)
    writer.write_derived(refresh_intervals(run), schema.REFRESH)
    return [folder / "lines", folder / "derived", pack(run, folder / "packed")]


def main() -> int:
    """Mutate as many copies as the first argument says, from the seed of the second."""
    copies = int(sys.argv[1]) if len(sys.argv) > 1 else COPIES
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0  # noqa: PLR2004 - the second
    faults, ends, longest_s = 0, Counter[str](), 0.0
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as name:
        runs = runs_in(Path(name))
        for seed in range(first, first + copies):
            rng = random.Random(seed)  # noqa: S311 - no secret is made of it
            copy = Path(name) / "copy"
            shutil.copytree(rng.choice(runs), copy)
            how = mutate(copy, rng)
            try:
                said, took_s = use(copy)
            except Exception:  # noqa: BLE001 - whatever it is, it is told
                faults += 1
                print(f"seed {seed}, {how}: {traceback.format_exc(limit=-3)}")
            else:
                ends["refused" if said else "used"] += 1
                longest_s = max(longest_s, took_s)
            shutil.rmtree(copy)
    print(f"{dict(ends)}, {faults} faults, the longest took {longest_s:.1f} s")
    return 1 if faults or longest_s > MOST_S else 0


if __name__ == "__main__":
    sys.exit(main())
