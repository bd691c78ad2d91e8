"""Bring an image that somebody made to the nodes of a testbed, without a registry.

Understood is what docker, podman, skopeo and buildah write: a docker archive or an OCI
image layout, the latter as a folder too, plain or compressed
(https://github.com/opencontainers/image-spec/blob/main/image-layout.md).
Every digest is checked here, and what a node gets is written anew:
the image of its architecture under the name by which a pod asks for it.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
import lzma
import os
import re
import shlex
import subprocess
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from cmhot.cluster.testbed import host, layout
from cmhot.cluster.testbed.configuration import kubelet_features
from cmhot.cluster.testbed.image import Layer, measure, write_layers
from cmhot.cluster.testbed.owner import as_root
from cmhot.cluster.testbed.programs.download import progress_display
from cmhot.cluster.testbed.status import first_process, not_running, status
from cmhot.errors import HostError, TestbedError, UsageError

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from cmhot.cluster.testbed.programs.download import Report
    from cmhot.cluster.testbed.status import Status


MOST_BYTES = 32 << 30
"""An archive that unpacks to more is no image, but a mistake or a bomb."""
MOST_JSON_BYTES = 8 << 20
MOST_NESTED = 4
"""Indexes within indexes: one is usual."""
_CHUNK = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_OPENERS: dict[bytes, Callable[[IO[bytes]], io.BufferedIOBase]] = {
    _GZIP: lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_NAME = re.compile(
    r"(?=.{1,255}$)(?:[\w.-]+(?::\d+)?/)?[a-z0-9._-]+(?:/[a-z0-9._-]+)*(?::[\w.-]{1,128})?"
)
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
"""Annotations with an image's name, the better one first."""
_CUT = "it is cut short; copy it again"
_HOW = "`docker save --output FILE NAME:TAG` writes one that will do"


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image of an archive, checked and readable while the archive is open."""

    names: tuple[str, ...]  # as a node knows them: ``docker.io/library/web:1``
    config: bytes
    layers: tuple[Layer, ...]

    @property
    def size(self) -> int:
        """Return the bytes of its layers."""
        return sum(layer.size for layer in self.layers)


def load(
    path: Path,
    *,
    name: str = "default",
    nodes: Sequence[str] = (),
    image_name: str | None = None,
    report: Report = lambda _: None,
) -> list[str]:
    """Put the images of an archive or an image layout on nodes of a running testbed.

    Parameters
    ----------
    path
        A docker or OCI archive, or the folder of an OCI image layout.
    name
        Of the testbed.
    nodes
        Names of nodes; none: all.
    image_name
        Instead of the name in the archive, which then must hold one image.
    report
        Is called with sentences about what is going on.

    Returns
    -------
    list of str
        The names of the images, as pods may ask for them.

    Raises
    ------
    UsageError
        The file is not what can be loaded, or there is no such node or testbed.
    HostError
        Only root may write to the nodes.
    TestbedError
        A node did not take an image.
    """
    asked = ["load", "--name", name]
    asked += [option for node in nodes for option in ("--node", node)]
    asked += ["--as", image_name] if image_name else []
    asked += [str(path.absolute())]
    found = status(name, asked=asked)
    if not found.running:
        raise not_running(name)
    chosen = _chosen(found, nodes)
    if os.geteuid() != 0:
        again = as_root("testbed", *asked)
        msg = f"the nodes of testbed {name!r} are root's: run `{again}`"
        raise HostError(msg)
    loaded: list[str] = []
    with opened_images(path, image_name=image_name) as images:
        for image in images:
            for node in chosen:
                _put(image, name=name, node=node, kubelet=chosen[node], report=report)
            loaded += image.names
    return loaded


def _chosen(found: Status, nodes: Sequence[str]) -> dict[str, str]:
    """Return the versions of the kubelets of nodes, by their names."""
    known = {node.name: node.kubelet for node in found.nodes}
    for node in nodes:
        if node not in known:
            names = ", ".join(known)
            msg = f"testbed {found.name!r} has no node {node!r}: choose {names}"
            raise UsageError(msg)
    return {node: known[node] for node in nodes or known}


def _put(
    image: FoundImage, *, name: str, node: str, kubelet: str, report: Report
) -> None:
    """Write the image to the node's containerd."""
    folder = layout.BIN
    if not kubelet_features(kubelet).has_cri_v1:
        folder /= kubelet
    command = [
        *("nsenter", "--target", str(first_process(layout.home(name)) or 0)),
        *("--mount", "--net", "--pid"),
        str(folder / "ctr"),
        *("--address", str(layout.STATE / node / "containerd.sock")),
        # without --local: "no unpack platforms defined"
        *("--namespace", "k8s.io", "images", "import", "--local", "-"),
    ]
    what = f"loading {image.names[0]} to {node}"
    with (
        progress_display(report)(what, unit="B") as advance,
        tempfile.TemporaryFile() as said,
    ):
        # a terminal's Ctrl-C is for us alone: the pipe then ends before the image does
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        ) as process:
            out = _Counting(process.stdin, lambda done: advance(done, total=image.size))
            with contextlib.suppress(BrokenPipeError):  # it says why
                write_layers(out, image.config, image.layers, names=image.names)  # type: ignore[arg-type] # tarfile only writes to it
        said.seek(0)
        words = " ".join(said.read().decode(errors="replace").split())
    if process.returncode != 0:
        msg = (
            f"{node} did not take {image.names[0]}: {words or process.returncode}; "
            f"`cmhot testbed logs {node}.containerd --name {name}` may say more"
        )
        raise TestbedError(msg)
    report(f"{image.names[0]} is on {node}")


class _Counting:
    """Passes on what is written to it, and tells how much that was."""

    def __init__(self, out: IO[bytes] | None, advance: Callable[[int], None]) -> None:
        self._out, self._advance, self._done = out, advance, 0

    def write(self, data: bytes) -> int:
        """Pass it on."""
        if self._out is not None:
            self._out.write(data)
        self._done += len(data)
        self._advance(self._done)
        return len(data)


def full_name(name: str) -> str:
    """Return an image's name as a node spells it.

    ``web`` is ``docker.io/library/web:latest``, by the rules of docker and of the
    kubelet (distribution/reference).
    """
    if not _NAME.fullmatch(name):
        msg = f"{name!r} is no name of an image: write one such as shop/web:1"
        raise UsageError(msg)
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not ("." in first or ":" in first or first == "localhost"):
        name = f"docker.io/{name}"
    tagged = ":" in name.rpartition("/")[2]
    return name if tagged else f"{name}:latest"


@contextlib.contextmanager
def opened_images(
    path: Path, *, image_name: str | None = None, architecture: str | None = None
) -> Iterator[list[FoundImage]]:
    """Open an archive or an image layout, and check all images in it.

    `architecture` is this machine's unless given.
    """
    architecture = architecture or host.architecture()
    with contextlib.ExitStack() as held:
        try:
            files = _Folder(path, held) if path.is_dir() else _Tar(path, held)
            images = _images(files, image_name=image_name, architecture=architecture)
        except OSError as error:
            msg = f"{path} cannot be read: {error.strerror or error}"
            raise UsageError(msg) from error
        yield images


class _Files:
    """The files of an image layout, by their relative names."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def refuse(self, why: str) -> UsageError:
        """Make the error that this cannot be loaded."""
        return UsageError(f"{self.path} cannot be loaded: {why}")

    def has(self, name: str) -> bool:
        """Report whether there is such a file."""
        raise NotImplementedError

    def open(self, name: str) -> tuple[IO[bytes], int]:
        """Open a file; return its size too."""
        raise NotImplementedError

    def read(self, name: str) -> bytes:
        """Return the content of a small file."""
        content, size = self.open(name)
        if size > MOST_JSON_BYTES:
            raise self.refuse(f"its {name} has {size} bytes, which no description has")
        return content.read()

    def read_json(self, name: str, kind: type) -> Any:  # noqa: ANN401 - as it comes
        """Return what a small file says."""
        try:
            value = json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            raise self.refuse(f"its {name} is no JSON") from error
        if not isinstance(value, kind):
            raise self.refuse(f"its {name} is not what an image has")
        return value


class _Folder(_Files):
    """A folder."""

    def __init__(self, path: Path, held: contextlib.ExitStack) -> None:
        super().__init__(path)
        self._held = held

    def has(self, name: str) -> bool:
        """Report whether there is such a file."""
        return (self.path / name).is_file()

    def open(self, name: str) -> tuple[IO[bytes], int]:
        """Open a file; return its size too."""
        content = self._held.enter_context((self.path / name).open("rb"))
        return content, os.fstat(content.fileno()).st_size


class _Tar(_Files):
    """A tar archive, unpacked into a temporary file where it is compressed."""

    def __init__(self, path: Path, held: contextlib.ExitStack) -> None:
        super().__init__(path)
        if not path.is_file():
            raise self.refuse("it is no file" if path.exists() else "there is none")
        file: IO[bytes] = held.enter_context(path.open("rb"))
        start = file.read(8)
        file.seek(0)
        if start.startswith(_ZSTD):
            unpack = shlex.join(["zstd", "--decompress", str(path)])
            raise self.refuse(f"it is compressed by zstd; run `{unpack}` first")
        for magic, opener in _OPENERS.items():
            if start.startswith(magic):
                file = self._unpacked(opener(file), held)
                break
        try:
            self._tar = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - as its file
            members = self._tar.getmembers()
            file.seek(-tarfile.BLOCKSIZE, os.SEEK_END)
            if file.read().strip(b"\0"):
                raise self.refuse(_CUT)  # an archive ends with empty blocks
        except tarfile.TarError as error:
            if "unexpected end" in str(error):
                raise self.refuse(_CUT) from error
            raise self.refuse(f"it is no archive of an image; {_HOW}") from error
        # "./index.json" is written by `tar -C layout -cf FILE .`
        self._members = {str(PurePosixPath(member.name)): member for member in members}

    def _unpacked(
        self, packed: io.BufferedIOBase, held: contextlib.ExitStack
    ) -> IO[bytes]:
        file: IO[bytes] = held.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        try:
            while chunk := packed.read(_CHUNK):
                if file.tell() > MOST_BYTES:
                    raise self.refuse(f"it unpacks to more than {MOST_BYTES >> 30} GiB")
                file.write(chunk)
        except EOFError as error:
            raise self.refuse(_CUT) from error
        except (gzip.BadGzipFile, lzma.LZMAError, zlib.error, ValueError) as error:
            raise self.refuse(f"it is damaged ({error}); copy it again") from error
        file.seek(0)
        return file

    def has(self, name: str) -> bool:
        """Report whether there is such a file."""
        return name in self._members

    def open(self, name: str) -> tuple[IO[bytes], int]:
        """Open a file; return its size too."""
        content = None
        with contextlib.suppress(KeyError, RecursionError):  # a link to nowhere
            content = self._tar.extractfile(self._members[name])
        if content is None:
            raise self.refuse(f"its {name} is no file")
        size = content.seek(0, os.SEEK_END)
        content.seek(0)
        return content, size


def _images(
    files: _Files, *, image_name: str | None, architecture: str
) -> list[FoundImage]:
    """Read all images that a node of this architecture can run."""
    # docker writes both descriptions today, and names in the first
    if files.has("manifest.json"):
        found = list(_docker_images(files, architecture))
    elif files.has("index.json"):
        found = list(_oci_images(files, architecture))
    else:
        raise files.refuse(f"it has neither manifest.json nor index.json; {_HOW}")
    if not found:
        raise files.refuse("its list of images is empty")
    if image_name is not None:
        if len(found) > 1:
            raise files.refuse(f"it has {len(found)} images, and --as names one")
        ((_, config, layers),) = found
        found = [([image_name], config, layers)]
    if any(not names for names, _, _ in found):
        raise files.refuse("its image has no name; give it one with --as shop/web:1")
    return [
        FoundImage(
            names=tuple(dict.fromkeys(full_name(name) for name in names)),
            config=config,
            layers=layers,
        )
        for names, config, layers in found
    ]


def _docker_images(
    files: _Files, architecture: str
) -> Iterator[tuple[list[str], bytes, tuple[Layer, ...]]]:
    for entry in files.read_json("manifest.json", list):
        try:
            tags, places = entry.get("RepoTags") or [], entry["Layers"]
            tags, places = [str(tag) for tag in tags], [str(place) for place in places]
            config_name = str(PurePosixPath(entry["Config"]))
        except (AttributeError, KeyError, TypeError) as error:
            raise files.refuse("its manifest.json is not what docker writes") from error
        config = files.read(_present(files, config_name))
        ids = _layer_ids(files, config_name, architecture=architecture)
        if len(ids) != len(places):
            raise files.refuse(f"its manifest.json and {config_name} differ in layers")
        layers = []
        for place, identity in zip(places, ids, strict=True):
            layer = _layer(files, str(PurePosixPath(place)))
            if not layer.compression and f"sha256:{layer.digest}" != identity:
                raise files.refuse(f"its {place} is damaged; copy it again")
            layers.append(layer)
        yield tags, config, tuple(layers)


def _oci_images(
    files: _Files, architecture: str
) -> Iterator[tuple[list[str], bytes, tuple[Layer, ...]]]:
    entries = files.read_json("index.json", dict).get("manifests")
    others: set[str] = set()
    had = 0
    for entry in _entries(files, entries, "index.json"):
        name = next(
            (text for key in _NAMES if (text := _text(entry, "annotations", key))), None
        )
        for manifest, place in _manifests(files, entry):
            config_name = _blob(files, manifest.get("config"), place)
            platform = files.read_json(config_name, dict).get("architecture")
            if platform != architecture:
                others.add(str(platform))
                continue
            config = files.read(config_name)
            ids = _layer_ids(files, config_name, architecture=architecture)
            layers = tuple(
                _layer(files, _blob(files, layer, place))
                for layer in _entries(files, manifest.get("layers"), place)
            )
            if len(ids) != len(layers):
                raise files.refuse(f"its {place} and {config_name} differ in layers")
            had += 1
            yield [name] if name else [], config, layers
    if others and not had:
        raise files.refuse(_foreign(", ".join(sorted(others)), architecture))


def _manifests(
    files: _Files, entry: dict[str, Any], depth: int = 0
) -> Iterator[tuple[dict[str, Any], str]]:
    """Find the images that an entry of an index leads to, through other indexes."""
    if _text(entry, "annotations", "vnd.docker.reference.type"):
        return  # an attestation
    place = _blob(files, entry, "index.json")
    manifest = files.read_json(place, dict)
    if "manifests" not in manifest:
        yield manifest, place
        return
    if depth == MOST_NESTED:
        raise files.refuse("its indexes lead to each other")
    for nested in _entries(files, manifest["manifests"], place):
        # of an image for many platforms, those that were not pulled are not there
        blob = _DIGEST.fullmatch(str(nested.get("digest")))
        if blob and files.has(f"blobs/sha256/{blob[1]}"):
            yield from _manifests(files, nested, depth + 1)


def _entries(files: _Files, value: object, place: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise files.refuse(f"its {place} is not what an image has")
    return value


def _text(entry: dict[str, Any], *keys: str) -> str | None:
    value: object = entry
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


def _present(files: _Files, name: str) -> str:
    if not files.has(name):
        raise files.refuse(f"{name} is named in it and not there; is it complete?")
    return name


def _blob(files: _Files, descriptor: object, place: str) -> str:
    """Return the name of a described blob, whose bytes are those of its digest."""
    digest = _text(descriptor, "digest") if isinstance(descriptor, dict) else None
    found = _DIGEST.fullmatch(digest or "")
    if not found:
        raise files.refuse(f"its {place} names {digest}, which is no SHA-256")
    name = _present(files, f"blobs/sha256/{found[1]}")
    content, _ = files.open(name)
    if measure(content)[0] != found[1]:
        raise files.refuse(f"its {name} is damaged; copy it again")
    return name


def _layer(files: _Files, name: str) -> Layer:
    content, _ = files.open(_present(files, name))
    digest, size = measure(content)
    start = content.read(4)
    content.seek(0)
    compression = "+gzip" if start.startswith(_GZIP) else ""
    compression = "+zstd" if start == _ZSTD else compression
    return Layer(digest, size, content, compression)


def _layer_ids(files: _Files, name: str, *, architecture: str) -> list[object]:
    """Return the layers' uncompressed digests, of an image that can run here."""
    found = files.read_json(name, dict)
    platform = f"{found.get('os')}/{found.get('architecture')}"
    if platform != f"linux/{architecture}":
        raise files.refuse(_foreign(platform, architecture))
    root = found.get("rootfs")
    ids = root.get("diff_ids") if isinstance(root, dict) else None
    if not isinstance(ids, list):
        raise files.refuse(f"its {name} names no layers")
    return ids


def _foreign(platform: str, architecture: str) -> str:
    return (
        f"it is for {platform}, and this machine is linux/{architecture}; "
        f"`docker build --platform linux/{architecture}` makes one for it"
    )
