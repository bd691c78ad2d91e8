"""The probe's image is an OCI archive, the same bytes each time."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from cmhot.cluster.testbed.image import IMAGE_NAME, Image, oci_archive, write_archive

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def busybox(tmp_path: Path) -> Path:
    """Stand in for busybox: a script that lists three applets."""
    script = tmp_path / "busybox"
    script.write_text("#!/bin/sh\necho sh\necho busybox\necho stat\n")
    script.chmod(0o755)
    return script


def read(archive: bytes) -> dict[str, bytes]:
    """Return the files of a tar."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {
            member.name: file.read()
            for member in tar
            if (file := tar.extractfile(member)) is not None
        }


def test_every_digest_is_true(busybox: Path) -> None:
    """Blobs lie under their own SHA-256, from the index down to the layer."""
    files = read(oci_archive(busybox, architecture="amd64"))

    for name, data in files.items():
        if name.startswith("blobs/"):
            assert hashlib.sha256(data).hexdigest() == name.rpartition("/")[2]
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"] == {"io.containerd.image.name": IMAGE_NAME}
    manifest = json.loads(files[f"blobs/{entry['digest'].replace(':', '/')}"])
    config = json.loads(
        files[f"blobs/{manifest['config']['digest'].replace(':', '/')}"]
    )
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]
    assert config["architecture"] == "amd64"


def test_the_layer_has_every_applet_and_a_users_tmp(busybox: Path) -> None:
    """Applets are links to busybox; anybody may write to /tmp."""
    files = read(oci_archive(busybox, architecture="amd64"))
    (entry,) = json.loads(files["index.json"])["manifests"]
    manifest = json.loads(files[f"blobs/{entry['digest'].replace(':', '/')}"])
    layer = files[f"blobs/{manifest['layers'][0]['digest'].replace(':', '/')}"]

    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert tar.getmember("bin/stat").linkname == "busybox"
        assert tar.getmember("bin/busybox").mode == 0o755
        assert tar.getmember("tmp").mode == 0o1777


def test_the_same_busybox_gives_the_same_bytes(busybox: Path) -> None:
    """No time stamps, no order of a folder."""
    assert oci_archive(busybox, architecture="amd64") == oci_archive(
        busybox, architecture="amd64"
    )


IMAGE = Image(
    name="example.dev/large:local",
    architecture="arm64",
    command=["/bin/large", "--now"],
    environment={"PATH": "/bin", "LANG": "C.UTF-8"},
)


def test_a_large_layer_is_not_held(tmp_path: Path) -> None:
    """Of a layer of 64 MiB a few MiB at a time are in memory."""
    layer = tmp_path / "layer"
    with layer.open("wb") as sparse:
        sparse.truncate(64 << 20)

    tracemalloc.start()
    with layer.open("rb") as content, (tmp_path / "archive").open("wb") as out:
        write_archive(out, content, IMAGE)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 8 << 20
    with tarfile.open(tmp_path / "archive") as tar:
        assert max(member.size for member in tar) == 64 << 20


def test_the_image_is_described() -> None:
    """Name, architecture, command, environment, and the layer by its digest."""
    out = io.BytesIO()

    write_archive(out, io.BytesIO(b"layer"), IMAGE)

    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        files = {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr] # all are files
    digest = hashlib.sha256(b"layer").hexdigest()
    assert files[f"blobs/sha256/{digest}"] == b"layer"
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"] == {"io.containerd.image.name": IMAGE.name}
    manifest = json.loads(files[f"blobs/{entry['digest'].replace(':', '/')}"])
    config = json.loads(
        files[f"blobs/{manifest['config']['digest'].replace(':', '/')}"]
    )
    assert config["architecture"] == "arm64"
    assert config["config"] == {
        "Cmd": ["/bin/large", "--now"],
        "Env": ["PATH=/bin", "LANG=C.UTF-8"],
    }
    assert config["rootfs"]["diff_ids"] == [f"sha256:{digest}"]
    assert manifest["layers"][0]["size"] == 5
