"""An image of one layer as an OCI archive, streamed, so that it may be large.

An OCI archive is a tar of `oci-layout`, `index.json` and blobs
(https://github.com/opencontainers/image-spec/blob/main/image-layout.md),
so no registry and no image builder are needed.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KIND = "application/vnd.oci.image"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What an image is, beside its files.

    Attributes
    ----------
    name
        Reference by which nodes know it.
    architecture
        As Go names it: ``amd64`` or ``arm64``.
    command
        What a container runs unless told otherwise.
    environment
        Of a container.
    """

    name: str
    architecture: str
    command: Sequence[str]
    environment: Mapping[str, str]


def write_archive(out: IO[bytes], layer: IO[bytes], image: Image) -> None:
    """Write an archive that ``ctr images import`` reads.

    Parameters
    ----------
    out
        Where to.
    layer
        An uncompressed tar of the root file system, from its beginning.
        It is read twice, and never held.
    image
        What it is; the same layer gives the same bytes.
    """
    digest, size = _measure(layer)
    config = _as_json(
        {
            "architecture": image.architecture,
            "os": "linux",
            "config": {
                "Env": [f"{name}={value}" for name, value in image.environment.items()],
                "Cmd": list(image.command),
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    )
    manifest = _as_json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_KIND}.manifest.v1+json",
            "config": _described("config.v1+json", config),
            "layers": [
                {
                    "mediaType": f"{_KIND}.layer.v1.tar",
                    "digest": f"sha256:{digest}",
                    "size": size,
                }
            ],
        }
    )
    entry = _described("manifest.v1+json", manifest)
    entry["annotations"] = {"io.containerd.image.name": image.name}
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in {
            "oci-layout": _as_json({"imageLayoutVersion": "1.0.0"}),
            "index.json": _as_json({"schemaVersion": 2, "manifests": [entry]}),
            _path(config): config,
            _path(manifest): manifest,
        }.items():
            _add(tar, name, io.BytesIO(data), size=len(data))
        _add(tar, f"blobs/sha256/{digest}", layer, size=size)


def _measure(layer: IO[bytes]) -> tuple[str, int]:
    """Give digest and length of a file, and go back to its beginning."""
    found, size = hashlib.sha256(), 0
    while chunk := layer.read(_CHUNK):
        found.update(chunk)
        size += len(chunk)
    layer.seek(0)
    return found.hexdigest(), size


def _as_json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _path(blob: bytes) -> str:
    return f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}"


def _described(kind: str, blob: bytes) -> dict[str, Any]:
    return {
        "mediaType": f"{_KIND}.{kind}",
        "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}",
        "size": len(blob),
    }


def _add(tar: tarfile.TarFile, name: str, data: IO[bytes], *, size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    tar.addfile(entry, data)
