"""Kill the testbed at random moments of its start, and see that it recovers.

``make soak`` runs twenty rounds; the tests run three.
Each round kills one of three in turn: the process that starts the testbed,
that process with all it has started in its group,
or the first process of the testbed's namespaces.
Then `up` must work, and `down` must leave nothing.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from benchmarks import traces
from benchmarks.common import CLOCK, wait_until
from cmhot.cluster.testbed import layout, lifecycle
from cmhot.cluster.testbed.status import first_process
from cmhot.kubelet.settings import parse_setting
from tests.testbed.command import start

if TYPE_CHECKING:
    from collections.abc import Iterator

VICTIMS = ("starter", "starter's group", "first process")
NODE = "sync=2s"
START_S = 4.5
"""A start with one node takes 4 s on two idle cores: kills fall into all of it."""
FAILED_START_S = 30.0
"""A start whose first process was killed notices at its next look; its own clearing up
may take ten seconds."""


@dataclass(frozen=True, slots=True)
class Round:
    """What became of one kill.

    Attributes
    ----------
    number
        From 1.
    victim
        One of `VICTIMS`.
    after_s
        When it was killed, seconds after the command.
    was_complete
        The start had been completed before the kill.
    said
        What the starter wrote to standard error.
    ready_s
        How long the next `up` took.
    left
        What was there after `down` and not before, by kind.
    """

    number: int
    victim: str
    after_s: float
    was_complete: bool
    said: str
    ready_s: float
    left: dict[str, list[str]]

    @property
    def has_traceback(self) -> bool:
        """Whether the starter ended in an error that was not foreseen."""
        return "Traceback" in self.said

    def __str__(self) -> str:
        """Say it in a line."""
        when = "after" if self.was_complete else "during"
        left = f"LEFT {self.left}" if self.left else "nothing left"
        left += "; TRACEBACK" if self.has_traceback else ""
        return (
            f"{self.number:3}: {self.victim} killed after {self.after_s:.2f} s, {when} "
            f"the start; up again in {self.ready_s:.1f} s; {left}"
        )


def rounds(name: str, *, count: int, seed: int) -> Iterator[Round]:
    """Kill, recover and take down, so many times.

    Parameters
    ----------
    name
        Of the testbed, which nobody else may use.
    seed
        Of the moments of the kills.

    Raises
    ------
    CmhotError
        When the testbed cannot be started or taken down after a kill.
    """
    rng = random.Random(seed)  # noqa: S311 - moments, no secrets
    wanted = layout.make_spec([parse_setting(NODE)], name=name)
    for number in range(1, count + 1):
        victim = VICTIMS[(number - 1) % len(VICTIMS)]
        before = traces.look(name)
        killed = _kill(name, victim, after_s=rng.uniform(0, START_S))
        began = CLOCK.monotonic()
        lifecycle.up(wanted)
        ready_s = CLOCK.monotonic() - began
        lifecycle.down(name)
        left = traces.look(name).added_since(before)
        yield Round(number, victim, *killed, ready_s, left)


def _kill(name: str, victim: str, *, after_s: float) -> tuple[float, bool, str]:
    """Start a testbed and kill: when, whether the start was complete, what it said."""
    home = layout.home(name)
    with start("testbed", "up", "--name", name, "--node", NODE) as starter:
        began = CLOCK.monotonic()
        CLOCK.sleep(after_s)
        if victim == "first process":
            # Before there is one, nothing can be killed; soon there is.
            wait_until(
                lambda: first_process(home) is not None,
                deadline_s=FAILED_START_S,
                poll_s=0.01,
            )
            first = first_process(home)
            was_complete = starter.process.poll() is not None
            if first is None:
                msg = f"testbed {name} never got a first process"
                raise TimeoutError(msg)
            os.kill(first, signal.SIGKILL)
        else:
            was_complete = starter.process.poll() is not None
            if victim == "starter":
                starter.process.kill()
            else:
                starter.kill_group()
        killed_s = CLOCK.monotonic() - began
        starter.wait(FAILED_START_S)
    return killed_s, was_complete, starter.messages


def main(arguments: list[str]) -> int:
    """Run so many rounds: ``soak.py [ROUNDS [SEED]]``."""
    count, seed = [int(text) for text in arguments] + [20, 1][len(arguments) :]
    click.echo(f"{count} rounds with seed {seed}")
    failed = 0
    for done in rounds("soak", count=count, seed=seed):
        click.echo(str(done))
        failed += bool(done.left) or done.has_traceback
    click.echo("all recovered" if not failed else f"{failed} rounds failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
