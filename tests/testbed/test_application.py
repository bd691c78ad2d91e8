"""A stranger brings an application to a testbed by the words of the guide alone."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cmhot.cluster.testbed import host, image
from tests.testbed.command import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = ROOT / "docs" / "guide" / "application.md"
LONGEST_S = 180.0
"""It takes under a minute on two idle cores: a start, a sync of 10 s, and a rollout."""


def blocks(kind: str) -> list[str]:
    """Return what stands in the guide's blocks of a kind, in their order."""
    fence = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
    found = fence.findall(PAGE.read_text(encoding="utf-8"))
    return [text for name, text in found if name == kind]


def tar(files: Mapping[str, bytes]) -> bytes:
    """Pack files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def unpacked(archive: bytes) -> dict[str, bytes]:
    """Return the files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        return {
            entry.name: content.read()
            for entry in packed
            if (content := packed.extractfile(entry)) is not None
        }


def as_docker_saves(archive: bytes, name: str) -> bytes:
    """Write an OCI archive as docker does: a manifest, and a folder for each layer."""
    files = unpacked(archive)

    def blob(described: Mapping[str, str]) -> bytes:
        return files[f"blobs/{described['digest'].replace(':', '/')}"]

    (entry,) = json.loads(files["index.json"])["manifests"]
    manifest = json.loads(blob(entry))
    about = {"Config": "about.json", "RepoTags": [name], "Layers": ["1/layer.tar"]}
    return tar(
        {
            "about.json": blob(manifest["config"]),
            "1/layer.tar": blob(manifest["layers"][0]),
            "manifest.json": json.dumps([about]).encode(),
        }
    )


@pytest.fixture
def application(tmp_path: Path) -> Path:
    """Make what the stranger has: two images as archives, and a manifest."""
    busybox = image.oci_archive(image.find_busybox(), architecture=host.architecture())
    (tmp_path / "web.tar").write_bytes(as_docker_saves(busybox, "shop/web:1"))
    renamed = unpacked(busybox)
    index = renamed["index.json"].decode().replace(image.IMAGE_NAME, "shop/worker:1")
    worker = tar(renamed | {"index.json": index.encode()})
    (tmp_path / "worker.tar").write_bytes(gzip.compress(worker, 1))
    (manifest,) = blocks("yaml")
    (tmp_path / "shop.yaml").write_text(manifest)
    return tmp_path


@pytest.mark.usefixtures("kubectl")
def test_the_guide_brings_an_application(application: Path, own_name: str) -> None:
    """Its commands, as they stand there: up, load, apply, explain, wait, refresh."""
    commands = "".join(blocks(""))
    commands = commands.replace("--name shop", f"--name {own_name}")
    commands = commands.replace("testbed:shop", f"testbed:{own_name}")
    look = "kubectl get events --output=jsonpath='{.items[*].reason}'"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    done = subprocess.run(
        ["sh", "-eux", "-c", f"{commands}\n{look}"],
        cwd=application,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "docker.io/shop/web:1\n" in done.stdout
    assert "docker.io/shop/worker:1\n" in done.stdout
    explained, _, waited = done.stdout.partition("configmap/shop patched")
    assert "worker" in explained
    assert "landed" in waited
    # no pod is warned that there is no DNS, and none looked for an image elsewhere
    reasons = set(done.stdout.splitlines()[-1].split())
    assert "Started" in reasons
    assert not {"MissingClusterDNS", "ErrImagePull", "Failed"} & reasons
