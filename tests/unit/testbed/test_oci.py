"""An OCI archive is streamed: a large layer is neither held nor changed."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tracemalloc
from typing import TYPE_CHECKING

from cmhot.cluster.testbed.image import Image, write_archive

if TYPE_CHECKING:
    from pathlib import Path

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
