"""Prove the testbed on cgroup v2 with systemd, in a virtual machine: `make vm-test`.

Most users have cgroup v2 with systemd; the machines that run the tests often have not.
A Debian with systemd is made by debootstrap, gets the testbed's cached programs
and this checkout, and is booted by QEMU; `inside.py` does the proving.
Emulated it takes five minutes, the first time eight;
the verdict is a line on the serial console.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from cmhot.cluster.testbed.owner import cache_dir
from cmhot.cluster.testbed.programs import ensure_programs
from cmhot.cluster.testbed.versions import KUBERNETES_VERSION
from cmhot.errors import CmhotError, HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[2]
WORK = CHECKOUT / "build" / "vm"
ROOT, STAMP = WORK / "root", WORK / "root.stamp"
IMAGE, SERIAL = WORK / "disk.img", WORK / "serial.log"

SUITE = "bookworm"
"""Debian 12: systemd 252, Linux 6.1, Python 3.11, the oldest that cmhot runs on."""
SUITE_PYTHON = "3.11"
PACKAGES = (
    *("systemd-sysv", "dbus", "udev", "kmod", "linux-image-cloud-amd64"),
    *("python3", "iproute2", "util-linux", "mount", "busybox-static"),
    "libseccomp2",  # of a runc that was built here; the official one is static
)
LIBRARIES = (
    *("click", "cryptography", "kubernetes", "numpy", "pandas"),
    *("platformdirs", "pyyaml", "tqdm"),
)
"""What starting, patching and reading logs import of cmhot's dependencies."""
PLATFORMS = tuple(f"manylinux_2_{minor}_x86_64" for minor in (34, 28, 27, 24, 17, 5))
"""Wheels that Debian 12's glibc 2.36 can load."""
MASKED = (
    "serial-getty@ttyS0.service",  # the console is the test's
    "timers.target",  # nothing else shall come and go between the two looks
)
TOOLS = ("debootstrap", "qemu-system-x86_64", "mke2fs", "unshare")

CPUS, MEMORY_MIB = 2, 4096
FREE_BYTES = 1 << 30
"""Room in the image for etcd, images and logs."""
DEADLINE_S = 30 * 60
"""Seven times an emulated run on two busy cores (four minutes)."""
PASSED, FAILED = "VM-TEST PASSED", "VM-TEST FAILED"

UNIT = """\
[Unit]
Description=The proof that the testbed runs here
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=exec
ExecStart=/usr/bin/python3 /opt/cmhot/inside.py
Environment=PYTHONPATH=/opt/cmhot/checkout:/opt/cmhot/packages
Environment=HOME=/root PYTHONUNBUFFERED=1
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
"""


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def require_host() -> None:
    """Refuse what cannot work; install missing tools where that is allowed.

    Raises
    ------
    HostError
        With the remedy.
    """
    if platform.machine() != "x86_64":
        msg = f"the virtual machine is made for x86_64, this is {platform.machine()}"
        raise HostError(msg)
    if os.geteuid() != 0:
        msg = "a Debian root folder is made by root: run `sudo make vm-test`"
        raise HostError(msg)
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        say(f"missing: {', '.join(missing)}")
        subprocess.run([CHECKOUT / "tools" / "system-packages", "vm"], check=True)


def debian_mirror() -> list[str]:
    """Return the mirror of this machine's apt, if it is a Debian's."""
    if shutil.which("apt-get") is None:
        return []
    query = ["apt-get", "indextargets", "Identifier: Packages"]
    query += ["--format", "$(ORIGIN) $(COMPONENT) $(RELEASE) $(REPO_URI)"]
    answer = subprocess.run(query, check=False, capture_output=True, text=True)
    for line in answer.stdout.splitlines():
        origin, component, release, address = line.split(maxsplit=3)
        if (origin, component) == ("Debian", "main") and "-" not in release:
            return [address]
    return []  # debootstrap knows the default


def pinned_versions() -> list[str]:
    """Read the lock file's pins for the Debian's Python, as constraints for pip.

    Without hashes, which pip refuses there; the markers are decided here,
    since pip would ask them of the Python that it runs on.
    """
    lock = (CHECKOUT / "requirements.lock").read_text()
    lines = re.findall(r"^[\w.-]+==[^\\\n]+", lock, flags=re.MULTILINE)
    pins = [Requirement(line) for line in lines]
    python = {"python_version": SUITE_PYTHON, "python_full_version": SUITE_PYTHON}
    return [
        f"{pin.name}{pin.specifier}"
        for pin in pins
        if pin.marker is None or pin.marker.evaluate(dict(python))
    ]


def make_root() -> None:
    """Make the Debian, unless the same one was made before."""
    pins = pinned_versions()
    recipe = "\n".join([SUITE, *PACKAGES, *LIBRARIES, *PLATFORMS, *pins])
    if STAMP.exists() and STAMP.read_text() == recipe:
        say("the Debian is there already")
        return
    STAMP.unlink(missing_ok=True)
    if ROOT.exists():
        shutil.rmtree(ROOT)
    WORK.mkdir(parents=True, exist_ok=True)
    say(f"making a Debian {SUITE} (two minutes)")
    # In a mount namespace: an interrupted debootstrap leaves no /proc in the folder.
    isolate = ["unshare", "--mount", "--fork", "--kill-child"]
    bootstrap = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    run_logged([*isolate, *bootstrap, SUITE, str(ROOT), *debian_mirror()])
    say("installing cmhot's dependencies into it")
    constraints = WORK / "constraints.txt"
    constraints.write_text("\n".join(pins))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"]
    install += ["--only-binary=:all:", "--implementation=cp"]
    install += ["--python-version", SUITE_PYTHON, "--constraint", str(constraints)]
    for name in PLATFORMS:
        install += ["--platform", name]
    packages = ROOT / "opt" / "cmhot" / "packages"
    run_logged([*install, "--target", str(packages), *LIBRARIES])
    # Compiled here: emulated, the first import would take a minute.
    compile_all = [
        "python3",
        "-m",
        "compileall",
        "-q",
        "/opt/cmhot",
        "/usr/lib/python3",
    ]
    run_logged(["chroot", str(ROOT), *compile_all])
    STAMP.write_text(recipe)


def run_logged(command: list[str]) -> None:
    """Run a command whose output matters only when it fails.

    Raises
    ------
    HostError
        With the end of what it said.
    """
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        tail = "\n  ".join(done.stdout.splitlines()[-10:])
        msg = f"{command[0]} ended with {done.returncode}:\n  {tail}"
        raise HostError(msg)


def fill_root() -> None:
    """Put in what is tested: the checkout, the programs, the proof and its unit."""
    # Programs of this machine's PATH may need libraries that the Debian has not.
    os.environ["CMHOT_SOURCES"] = "cache,archive,build"
    found = ensure_programs(kubernetes_version=KUBERNETES_VERSION, report=say)
    folder = found["kubelet"].parent
    inner_cache = ROOT / "root" / ".cache" / "cmhot"
    shutil.rmtree(inner_cache, ignore_errors=True)
    shutil.copytree(folder, inner_cache / folder.relative_to(cache_dir()))
    package = ROOT / "opt" / "cmhot" / "checkout" / "cmhot"
    shutil.rmtree(package, ignore_errors=True)
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "cmhot", package, ignore=unwanted)
    shutil.copy(Path(__file__).with_name("inside.py"), ROOT / "opt" / "cmhot")
    # debootstrap makes none, an installed Debian has one; containerd reads the host's
    (ROOT / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    units = ROOT / "etc" / "systemd" / "system"
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (units / "vm-test.service").write_text(UNIT)
    links = {wants / "vm-test.service": "../vm-test.service"}
    links |= {units / name: "/dev/null" for name in MASKED}
    for link, target in links.items():
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def make_image() -> None:
    """Make the disk: the folder as an ext4 file system, without mounting anything."""
    usage = subprocess.run(
        ["du", "--summarize", "--block-size=1", ROOT],
        check=True,
        capture_output=True,
        text=True,
    )
    size = int(usage.stdout.split()[0]) + FREE_BYTES
    say(f"making a disk of {size >> 20} MiB")
    IMAGE.unlink(missing_ok=True)
    blocks = f"{size >> 10}k"
    run_logged(["mke2fs", "-q", "-t", "ext4", "-d", str(ROOT), str(IMAGE), blocks])


def accelerator() -> str:
    """Choose KVM where the processor has it.

    The device alone says little: a virtual machine may offer one that hangs.
    """
    flags = set(Path("/proc/cpuinfo").read_text().split())
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK) and flags & {"vmx", "svm"}
    return "kvm" if usable else "tcg"


def qemu() -> list[str]:
    """Return the command that boots it."""
    kernel = max(ROOT.glob("boot/vmlinuz-*"))
    initrd = max(ROOT.glob("boot/initrd.img-*"))
    append = "root=/dev/vda rw console=ttyS0 quiet panic=-1 systemd.show_status=false"
    return [
        # an emulator takes what it gets: others may be measuring on this machine
        *("nice", "-n", "19", "qemu-system-x86_64"),
        # numpy asks for more than the default processor has
        *("-accel", accelerator(), "-cpu", "max"),
        *("-smp", str(CPUS), "-m", str(MEMORY_MIB)),
        *("-nographic", "-no-reboot", "-nic", "none"),
        *("-drive", f"file={IMAGE},format=raw,if=virtio,cache=unsafe"),
        *("-kernel", str(kernel), "-initrd", str(initrd), "-append", append),
    ]


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield the console's lines, kept in a file too, without control characters."""
    assert process.stdout is not None
    with SERIAL.open("w") as log:
        for raw in process.stdout:
            line = re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[c78=>])|\r", "", raw).rstrip()
            log.write(f"{line}\n")
            log.flush()
            if line:
                yield line


def boot() -> str | None:
    """Boot the machine and show its console; return the verdict's line."""
    minutes = DEADLINE_S // 60
    say(f"booting by {accelerator()} ({minutes} minutes at most; console: {SERIAL})")
    began = time.monotonic()
    verdict = None
    with subprocess.Popen(
        qemu(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        guard = threading.Timer(DEADLINE_S, process.kill)
        guard.start()
        try:
            for line in lines_of(process):
                say(f"[{time.monotonic() - began:6.1f}] {line}")
                if line.startswith((PASSED, FAILED)):
                    verdict = line
                    break  # nothing that comes after it is worth waiting for
        finally:
            guard.cancel()
            process.kill()
    return verdict


def main() -> int:
    """Make the machine, boot it, and return the exit code."""
    try:
        require_host()
        make_root()
        fill_root()
        make_image()
        verdict = boot()
    except CmhotError as error:
        say(f"{FAILED}: {error}")
        return 1
    if verdict is None:
        say(f"{FAILED}: the machine ended, or was ended, without a verdict")
        return 1
    IMAGE.unlink()
    say(verdict)
    return 0 if verdict == PASSED else 1


if __name__ == "__main__":
    sys.exit(main())
