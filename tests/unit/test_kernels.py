"""Kernels that notebooks are executed in: where they listen, what they load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cmhot.report.notebooks import Kernel

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "transport"),
    [("x" * 60, "ipc"), ("测" * 20, "ipc"), ("x" * 100, "tcp"), ("测" * 33, "tcp")],
    ids=["short", "short-in-bytes", "long", "long-in-bytes"],
)
def test_a_socket_has_a_path_of_few_bytes(name: str, transport: str) -> None:
    """A folder whose path has more bytes than Linux allows a socket has none."""
    manager = Kernel(f"/tmp/{name}").manager_class()()

    assert manager.transport == transport


def test_a_kernel_loads_nothing_of_the_working_directory(tmp_path: Path) -> None:
    """Neither Python nor IPython looks for modules or start-up files there."""
    manager = Kernel(str(tmp_path)).manager_class()()
    spec = manager.kernel_spec

    assert spec is not None
    assert spec.argv[1:4] == ["-P", "-m", "ipykernel_launcher"]
    assert "--IPKernelApp.ignore_cwd=True" in spec.argv
    assert "--IPKernelApp.exec_PYTHONSTARTUP=False" in spec.argv
