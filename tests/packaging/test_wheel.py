"""The wheel is complete: it works in an empty environment outside the checkout."""

from __future__ import annotations

import json
import os
import resource
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
        "cmhot/cluster/probe.sh",
        "cmhot/_notebooks/02-collect.ipynb",
        "cmhot/_notebooks/03-delay-distribution.ipynb",
        *(f"cmhot/cluster/testbed/modules/{part}/go.mod" for part in parts),
        *(f"cmhot/cluster/testbed/modules/{part}/go.sum" for part in parts),
        "cmhot/law/price.json",
        "cmhot/plots/shipped/costs.json",
        "cmhot/plots/shipped/limits.json",
        "cmhot/plots/shipped/remedies.json",
        "cmhot/plots/shipped/consumers.json",
        "cmhot/plots/shipped/environment-or-volume.json",
    } <= names
    assert [name for name in names if name.startswith("cmhot/plots/shipped/runs/")]
    assert not [name for name in names if name.startswith("tests/")]


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an empty environment, and give its command."""
    environment = tmp_path_factory.mktemp("elsewhere") / "env"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    quietly = ["--disable-pip-version-check", "--quiet"]
    pip: list[str | Path] = [python, "-m", "pip", "install", *quietly]
    lock = ROOT / "requirements.lock"
    subprocess.run([*pip, "--require-hashes", "-r", lock], check=True)
    subprocess.run([*pip, "--no-deps", wheel], check=True)
    return environment / "bin" / "cmhot"


def run(
    command: Path, folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a folder, with an empty home."""
    return subprocess.run(
        [command, *arguments],
        cwd=folder,
        env={"PATH": os.defpath, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_figure_can_be_drawn_from_it(command: Path, tmp_path: Path) -> None:
    """`cmhot figure headline` draws what was measured, within 10 s, without a run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    done = run(command, tmp_path, "figure", "headline")

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    files = ["headline.svg", "headline.json", "headline.md"]
    assert done.stdout.split() == files
    assert "study of 2026-11" in (tmp_path / "headline.md").read_text()
    assert json.loads((tmp_path / "headline.json").read_text())["modelled"] is False
    # seconds of work, not of waiting for other tests to yield the processor;
    # this is the first start, which compiles the package and finds the fonts
    took_s = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    assert took_s < 10


def test_a_report_can_be_made_from_it(command: Path, tmp_path: Path) -> None:
    """Installed elsewhere, `cmhot report --target model` ends 0 and says modelled."""
    done = run(
        command,
        tmp_path,
        *("report", "--target", "model"),
        *("--pods", "3", "--duration", "30", "--out", "reports"),
    )

    assert done.returncode == 0, done.stderr
    page = Path(done.stdout.splitlines()[-1])
    assert "modelled" in (tmp_path / page).read_text()
