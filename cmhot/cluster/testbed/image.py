"""The container image of the testbed, made on the spot from a static busybox.

The same image serves as sandbox ("pause") and as probe.
It is an OCI archive: a tar of `oci-layout`, `index.json` and blobs
(https://github.com/opencontainers/image-spec/blob/main/image-layout.md),
so no registry and no image builder are needed.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import struct
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cmhot.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


IMAGE_NAME = "cmhot.dev/testbed/busybox:local"
"""Reference of the image on every node; use it with ``imagePullPolicy: Never``."""
_PT_INTERP = 3
_ELF64_PHOFF = 32
_ELF64_PHENTSIZE = 54
_KIND = "application/vnd.oci.image"
_CHUNK = 1 << 20


def find_busybox() -> Path:
    """Find the static busybox of this machine."""
    found = shutil.which("busybox")
    if found and is_static(Path(found)):
        return Path(found)
    what = f"{found} needs shared libraries" if found else "there is no busybox here"
    msg = (
        f"the probe's image needs a static busybox, and {what}: "
        "run `apt-get install -y busybox-static` (or your distribution's package)"
    )
    raise HostError(msg)


def is_static(program: Path) -> bool:
    """Report whether an ELF program needs no loader, so that it runs in an empty image.

    A dynamically linked program has a PT_INTERP segment (elf(5)).
    """
    data = program.read_bytes()
    if data[:5] != b"\x7fELF\x02":
        return False
    (offset,) = struct.unpack_from("<Q", data, _ELF64_PHOFF)
    size, count = struct.unpack_from("<HH", data, _ELF64_PHENTSIZE)
    types = [
        struct.unpack_from("<I", data, offset + size * index)[0]
        for index in range(count)
    ]
    return _PT_INTERP not in types


def oci_archive(busybox: Path, *, architecture: str) -> bytes:
    """Make the image of a static busybox; the same one gives the same bytes."""
    out = io.BytesIO()
    image = Image(
        name=IMAGE_NAME,
        architecture=architecture,
        # what a sandbox runs; busybox's sleep takes "infinity"
        command=["/bin/sleep", "infinity"],
        environment={"PATH": "/bin"},
    )
    write_archive(out, io.BytesIO(_layer(busybox)), image)
    return out.getvalue()


def _layer(busybox: Path) -> bytes:
    """Make the root file system: busybox, a link per applet, a user's /tmp."""
    applets = subprocess.run(
        [busybox, "--list"], check=True, capture_output=True, text=True
    ).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder, mode in [("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)]:
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        files = {
            "bin/busybox": (busybox.read_bytes(), 0o755),
            "etc/passwd": (b"root:x:0:0::/:/bin/sh\nprobe:x:65532:65532::/:\n", 0o644),
        }
        for name, (data, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
        for applet in sorted(set(applets) - {"busybox"}):
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The metadata of an image."""

    name: str  # the reference by which nodes know it
    architecture: str  # as Go names it: ``amd64`` or ``arm64``
    command: Sequence[str]  # of a container, unless its pod says otherwise
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an image: a tar of files."""

    digest: str  # SHA-256 of `content`, in hexadecimal
    size: int  # bytes
    content: IO[bytes]  # seekable
    compression: str = ""  # as a media type ends: ``+gzip``; empty: none


def write_archive(out: IO[bytes], layer: IO[bytes], image: Image) -> None:
    """Write an archive that ``ctr images import`` reads, of an image with one layer.

    `layer` is an uncompressed tar of the root file system; since it may be large,
    it is read twice and never held. The same layer gives the same bytes.
    """
    digest, size = measure(layer)
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
    write_layers(out, config, [Layer(digest, size, layer)], names=[image.name])


def write_layers(
    out: IO[bytes], config: bytes, layers: Sequence[Layer], *, names: Sequence[str]
) -> None:
    """Write an archive of an image's configuration and layers, under some names."""
    manifest = _as_json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_KIND}.manifest.v1+json",
            "config": _described("config.v1+json", config),
            "layers": [
                {
                    "mediaType": f"{_KIND}.layer.v1.tar{layer.compression}",
                    "digest": f"sha256:{layer.digest}",
                    "size": layer.size,
                }
                for layer in layers
            ],
        }
    )
    entry = _described("manifest.v1+json", manifest)
    entries = [
        {**entry, "annotations": {"io.containerd.image.name": name}} for name in names
    ]
    with tarfile.open(fileobj=out, mode="w|", bufsize=_CHUNK) as tar:
        for name, data in {
            "oci-layout": _as_json({"imageLayoutVersion": "1.0.0"}),
            "index.json": _as_json({"schemaVersion": 2, "manifests": entries}),
            _path(config): config,
            _path(manifest): manifest,
        }.items():
            _add(tar, name, io.BytesIO(data), size=len(data))
        for layer in {layer.digest: layer for layer in layers}.values():
            layer.content.seek(
                0
            )  # it was read before: for its digest, for another node
            _add(tar, f"blobs/sha256/{layer.digest}", layer.content, size=layer.size)


def measure(layer: IO[bytes]) -> tuple[str, int]:
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
