"""The one real testbed that the tests of this folder share.

Where it cannot start, its tests fail: with ``CI=true``, when they were asked for,
and wherever a testbed ought to be possible.
Only a plain ``pytest`` without root or without Linux skips them, and says so.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.common import fresh_namespace
from cmhot.cluster.targets import connect
from cmhot.cluster.testbed import host, layout, lifecycle
from cmhot.cluster.testbed.programs.ensure import ensure_programs
from cmhot.cluster.testbed.versions import KUBERNETES_VERSION
from cmhot.kubelet.settings import parse_setting
from cmhot.runs.rundir import read_run
from tests.testbed.command import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cmhot.cluster.port import Cluster
    from cmhot.cluster.testbed.status import Status
    from cmhot.runs.rundir import Run

HERE = Path(__file__).parent
NAME = f"test-{os.getpid()}"
"""Of the shared testbed: each session has its own, so that two may run at once."""
NAME_LENGTH = 32
"""Longest name of a testbed, as `cmhot.cluster.testbed.layout.check_name` has it."""
NODES = (
    "sync=2s,strategy=Watch",
    "sync=2s,strategy=Get",
    "sync=2s,strategy=Cache",
    "sync=10s,strategy=Watch",
)
PODS = 20
"""A setting; the default of `collect`."""


def is_asked_for(config: pytest.Config) -> bool:
    """Tell whether these tests were named on pytest's command line."""
    if "testbed" in str(config.option.markexpr).split():
        return "not" not in str(config.option.markexpr).split()
    given = [Path(str(argument).partition("::")[0]) for argument in config.args]
    return any(
        (config.invocation_params.dir / path).resolve().is_relative_to(HERE)
        for path in given
    )


def excuse(config: pytest.Config) -> str | None:
    """Return why the tests may be skipped; None: they must run, or fail."""
    if os.environ.get("CI") == "true" or is_asked_for(config):
        return None
    if not host.runs_linux():
        return "a testbed needs Linux"
    if os.geteuid() != 0:
        return "a testbed needs root: run pytest through sudo"
    return None


def left_behind(names: Iterable[str]) -> list[str]:
    """Return those that belong to a session of these tests which is no more."""
    found = [(name, re.match(r"test-(\d+)(?:-|$)", name)) for name in names]
    return [
        name for name, match in found if match and not Path("/proc", match[1]).exists()
    ]


@pytest.fixture(scope="session", autouse=True)
def _may_skip(request: pytest.FixtureRequest) -> None:
    """Skip where a testbed is not to be expected; elsewhere its failure is one."""
    reason = excuse(request.config)
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def _programs(_may_skip: None) -> None:
    """Have the programs before a test is timed: to build them takes ten minutes."""
    ensure_programs(kubernetes_version=KUBERNETES_VERSION, report=print)


@pytest.fixture(scope="session")
def kubectl(_may_skip: None) -> str:
    """Find kubectl, for tests that paste what people would."""
    found = shutil.which("kubectl")
    if found is None:
        pytest.fail("no kubectl here: `tools/system-packages kubectl` installs it")
    return found


@pytest.fixture(scope="session")
def _tidy(_may_skip: None) -> None:
    """Take away what interrupted sessions left."""
    homes = layout.all_homes()
    folders = homes.iterdir() if homes.is_dir() else ()
    # a start that was cut off has a lock, and may have no folder yet
    names = {path.name.removeprefix(".").removesuffix(".lock") for path in folders}
    for name in left_behind(names):
        lifecycle.down(name)


@pytest.fixture(scope="session")
def testbed(_tidy: None) -> Iterator[Status]:
    """Start the shared testbed, and take it down after the last test."""
    wanted = layout.make_spec([parse_setting(node) for node in NODES], name=NAME)
    try:
        yield lifecycle.up(wanted)
    finally:
        lifecycle.down(NAME)


@pytest.fixture
def own_name(request: pytest.FixtureRequest, _tidy: None) -> Iterator[str]:
    """Name a testbed for one test, and leave nothing of it, whatever happens."""
    name = f"{NAME}-{request.node.name.removeprefix('test_').split('[')[0]}"
    name = name.replace("_", "-")[:NAME_LENGTH].rstrip("-")
    try:
        yield name
    finally:
        lifecycle.down(name)


@pytest.fixture(scope="session")
def cluster(testbed: Status) -> Cluster:
    """Connect to the shared testbed as its user."""
    return connect(f"testbed:{testbed.name}")


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """Give a namespace of one's own; it goes away even if the test fails."""
    with fresh_namespace(cluster) as name:
        yield name


@dataclass(frozen=True, slots=True)
class Collected:
    """A collection from the command line.

    Attributes
    ----------
    run
        The run directory that it left.
    code
        Its exit code.
    output, messages
        Standard output and standard error.
    """

    run: Run
    code: int
    output: str
    messages: str


@pytest.fixture(scope="session")
def collected(testbed: Status, tmp_path_factory: pytest.TempPathFactory) -> Collected:
    """Collect once, on all nodes, for all tests that look at a collection."""
    out = tmp_path_factory.mktemp("collected")
    command = [
        *("collect", "--target", f"testbed:{testbed.name}", "--out", str(out)),
        # half a minute gives some 240 publications a node of 2 s;
        # the phases and the drain of the 10 s node come on top
        *("--pods", str(PODS), "--duration", "30s"),
    ]
    code, output, messages = run(*command)
    (path,) = out.iterdir()
    return Collected(
        run=read_run(path),
        code=code,
        output=output,
        messages=messages,
    )
