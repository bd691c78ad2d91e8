"""The one container image of the testbed, made on the spot from a static busybox.

The same image serves as sandbox ("pause") and as probe.
"""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path

from cmhot.errors import HostError
from cmhot.testbed.oci import Image, write_archive

IMAGE_NAME = "cmhot.dev/testbed/busybox:local"
"""Reference of the image on every node; use it with ``imagePullPolicy: Never``."""

_PT_INTERP = 3
_ELF64_PHOFF = 32
_ELF64_PHENTSIZE = 54


def is_static(program: Path) -> bool:
    """Tell whether an ELF program needs no loader, so that it runs in an empty image.

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


def find_busybox() -> Path:
    """Find the static busybox of this machine.

    Raises
    ------
    HostError
        When there is none, or only one that needs the host's libraries.
    """
    found = shutil.which("busybox")
    if found and is_static(Path(found)):
        return Path(found)
    what = f"{found} needs shared libraries" if found else "there is no busybox here"
    msg = (
        f"the probe's image needs a static busybox, and {what}: "
        "run `apt-get install -y busybox-static` (or your distribution's package)"
    )
    raise HostError(msg)


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


def oci_archive(busybox: Path, *, architecture: str) -> bytes:
    """Make the image; the same busybox gives the same bytes.

    Parameters
    ----------
    busybox
        A static busybox.
    architecture
        As Go names it: ``amd64`` or ``arm64``.

    Returns
    -------
    bytes
        A tar that ``ctr images import`` reads.
    """
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
