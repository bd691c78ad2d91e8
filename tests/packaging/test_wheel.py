"""The wheel is complete: it works in an empty environment outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.packaging


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [
            *(sys.executable, "-m", "build", "--wheel", "--no-isolation"),
            *("--outdir", folder, ROOT),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_it_holds_what_the_package_reads(wheel: Path) -> None:
    """Notebooks, probe, page template and the programs' Go modules are inside."""
    names = set(zipfile.ZipFile(wheel).namelist())

    parts = ("kubernetes", "etcd", "containerd", "runc", "cni")
    assert {
        "cmhot/port/probe.sh",
        "cmhot/_notebooks/02-collect.ipynb",
        "cmhot/_notebooks/03-delay-distribution.ipynb",
        *(f"cmhot/testbed/modules/{part}/go.mod" for part in parts),
        *(f"cmhot/testbed/modules/{part}/go.sum" for part in parts),
    } <= names
    assert not [name for name in names if name.startswith("tests/")]


def test_a_report_can_be_made_from_it(wheel: Path, tmp_path: Path) -> None:
    """Installed elsewhere, `cmhot report --target model` ends 0 and says modelled."""
    environment = tmp_path / "env"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    quietly = ["--disable-pip-version-check", "--quiet"]
    pip: list[str | Path] = [python, "-m", "pip", "install", *quietly]
    lock = ROOT / "requirements.lock"
    subprocess.run([*pip, "--require-hashes", "-r", lock], check=True)
    subprocess.run([*pip, "--no-deps", wheel], check=True)

    done = subprocess.run(
        [
            *(environment / "bin" / "cmhot", "report", "--target", "model"),
            *("--pods", "3", "--duration", "30", "--out", "reports"),
        ],
        cwd=tmp_path,
        env={"PATH": os.defpath, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    page = Path(done.stdout.splitlines()[-1])
    assert "modelled" in (tmp_path / page).read_text()
