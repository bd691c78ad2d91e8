"""What strangers' tools make is read; what is no image is refused in one sentence."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import tarfile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.cluster.testbed import archives
from cmhot.cluster.testbed.archives import full_name, opened_images
from cmhot.cluster.testbed.image import write_layers
from cmhot.errors import HostError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LAYERS = (b"first layer", b"second layer")


def sha256(data: bytes) -> str:
    """Return a digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def as_json(value: object) -> bytes:
    """Write JSON."""
    return json.dumps(value).encode()


def config(architecture: str = "amd64", layers: tuple[bytes, ...] = LAYERS) -> bytes:
    """Describe an image."""
    ids = [f"sha256:{sha256(layer)}" for layer in layers]
    return as_json(
        {"architecture": architecture, "os": "linux", "rootfs": {"diff_ids": ids}}
    )


def docker(*names: str, architecture: str = "amd64") -> dict[str, bytes]:
    """Make what `docker save` has made for years: the layers have folders."""
    about = config(architecture)
    places = [f"{number}/layer.tar" for number, _ in enumerate(LAYERS)]
    entry = {"Config": f"{sha256(about)}.json", "RepoTags": names, "Layers": places}
    return {
        f"{sha256(about)}.json": about,
        **dict(zip(places, LAYERS, strict=True)),
        "manifest.json": as_json([entry]),
    }


def blobs(*data: bytes) -> dict[str, bytes]:
    """Place blobs by their digests."""
    return {f"blobs/sha256/{sha256(one)}": one for one in data}


def described(data: bytes, **more: object) -> dict[str, Any]:
    """Name a blob."""
    return {"digest": f"sha256:{sha256(data)}", "size": len(data), **more}


def oci(
    name: str | None, *, architecture: str = "amd64", packed: bool = False
) -> dict[str, bytes]:
    """Make an OCI image layout, as skopeo and buildah write it."""
    layers = [gzip.compress(layer) if packed else layer for layer in LAYERS]
    about = config(architecture)
    manifest = as_json(
        {"config": described(about), "layers": [described(layer) for layer in layers]}
    )
    key = "org.opencontainers.image.ref.name"
    entry = described(manifest, annotations={key: name} if name else {})
    return {
        "oci-layout": as_json({"imageLayoutVersion": "1.0.0"}),
        "index.json": as_json({"manifests": [entry]}),
        **blobs(about, manifest, *layers),
    }


def for_many(name: str) -> dict[str, bytes]:
    """Make an index of two platforms and an attestation, of which one was pulled."""
    here, there = oci(name), oci(name, architecture="arm64")
    (ours,) = json.loads(here["index.json"])["manifests"]
    (theirs,) = json.loads(there["index.json"])["manifests"]
    proof = described(b"{}", annotations={"vnd.docker.reference.type": "attestation"})
    index = as_json({"manifests": [theirs, ours, proof, described(b"not pulled")]})
    entry = described(index, annotations={"io.containerd.image.name": name})
    top = {"index.json": as_json({"manifests": [entry]})}
    return {**here, **there, **blobs(index, b"{}"), **top}


def archive(path: Path, files: Mapping[str, bytes], *, prefix: str = "") -> Path:
    """Write a tar."""
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(prefix + name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def folder(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write a folder."""
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize(
    "files",
    [
        docker("shop/web:1"),
        oci("docker.io/shop/web:1"),
        oci("docker.io/shop/web:1", packed=True),
        for_many("docker.io/shop/web:1"),
        # docker writes both today
        oci("1") | docker("shop/web:1"),
    ],
    ids=["docker", "oci", "oci-gzip", "oci-many", "both"],
)
@pytest.mark.parametrize("kind", ["tar", "dot", "folder", "gzip", "bzip2", "xz"])
def test_what_tools_write_is_read(
    files: dict[str, bytes], kind: str, tmp_path: Path
) -> None:
    """The image of this architecture is found, with its name and its layers."""
    path = tmp_path / "image"
    packers: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "bzip2": bz2.compress,
        "xz": lzma.compress,
    }
    if kind == "folder":
        folder(path, files)
    else:
        archive(path, files, prefix="./" if kind == "dot" else "")
    if kind in packers:
        path.write_bytes(packers[kind](path.read_bytes()))

    with opened_images(path, architecture="amd64") as images:
        (image,) = images
        assert image.names == ("docker.io/shop/web:1",)
        assert json.loads(image.config)["architecture"] == "amd64"
        contents = [layer.content.read() for layer in image.layers]
    packed = [layer.compression for layer in image.layers]
    assert packed in (["", ""], ["+gzip", "+gzip"])
    contents = [gzip.decompress(one) if packed[0] else one for one in contents]
    assert contents == list(LAYERS)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """A node gets an archive under all names; layers that are equal are in it once."""
    path = archive(tmp_path / "web.tar", docker("web:1", "shop/web:2"))
    out = tmp_path / "out"

    with opened_images(path, architecture="amd64") as (image,):
        for _ in ("one node", "another"):
            with out.open("wb") as file:
                write_layers(file, image.config, image.layers, names=image.names)
    with opened_images(out, architecture="amd64") as images:
        names = [image.names for image in images]

    assert names == [("docker.io/library/web:1",), ("docker.io/shop/web:2",)]


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("web", "docker.io/library/web:latest"),
        ("web:1", "docker.io/library/web:1"),
        ("shop/web:1", "docker.io/shop/web:1"),
        ("localhost/web", "localhost/web:latest"),
        ("example.dev/web:1", "example.dev/web:1"),
        ("host:5000/a/b", "host:5000/a/b:latest"),
    ],
)
def test_names_are_as_the_kubelet_spells_them(name: str, full: str) -> None:
    """A pod's ``image: web:1`` is looked for under its full name."""
    assert full_name(name) == full


@pytest.mark.parametrize("name", ["", "Web:1", "web:", "a b", "web@sha256:0", "/web"])
def test_what_is_no_name_is_refused(name: str) -> None:
    """A name that no pod could have is told beforehand."""
    with pytest.raises(UsageError, match="is no name of an image"):
        full_name(name)


def without(files: dict[str, bytes], start: str) -> dict[str, bytes]:
    """Leave files out."""
    return {name: data for name, data in files.items() if not name.startswith(start)}


def damaged(files: dict[str, bytes], data: bytes) -> dict[str, bytes]:
    """Change the content of files."""
    return {name: b"other" if one == data else one for name, one in files.items()}


WEB = docker("web:1")


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "no archive of an image|neither manifest.json nor"),
        ({"etc/passwd": b"root"}, r"neither manifest.json .*`docker save"),
        (
            docker("web:1", architecture="arm64"),
            r"for linux/arm64, .* --platform linux",
        ),
        (
            oci("web:1", architecture="s390x"),
            r"for s390x, and this machine is linux/amd",
        ),
        (docker(), r"no name; give it one with --as shop/web:1"),
        (oci(None), r"no name; give it one with --as"),
        (without(WEB, "1/"), r"1/layer.tar is named in it and not there"),
        (damaged(WEB, LAYERS[1]), r"1/layer.tar is damaged; copy it again"),
        (damaged(oci("web:1"), LAYERS[1]), r"blobs/sha256/\w+ is damaged"),
        (WEB | {"manifest.json": b"{"}, "manifest.json is no JSON"),
        (WEB | {"manifest.json": b"{}"}, "manifest.json is not what"),
        (WEB | {"manifest.json": b"[]"}, "list of images is empty"),
        (WEB | {"manifest.json": b"[7]"}, "not what docker writes"),
        (WEB | {"manifest.json": b"[" * 100_000}, "manifest.json is no JSON"),
        ({"index.json": b'{"manifests": [{}]}'}, "names None, which is no SHA-256"),
        (
            {"index.json": b'{"manifests": [{"digest": "sha256:../../etc/passwd"}]}'},
            "which is no SHA-256",
        ),
        ({"index.json": b"{}"}, "index.json is not what an image has"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(
    files: dict[str, bytes], why: str, tmp_path: Path
) -> None:
    """The file is named, with what is wrong and what would be right."""
    path = archive(tmp_path / "x.tar", files)

    with (
        pytest.raises(UsageError, match=rf"x\.tar cannot be loaded: .*(?:{why})"),
        opened_images(path, architecture="amd64"),
    ):
        pass


def cut(data: bytes) -> bytes:
    """Lose the end."""
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (cut, "cut short"),
        (lambda data: cut(gzip.compress(data)), "cut short"),
        (lambda data: cut(lzma.compress(data)), "cut short"),
        (lambda data: gzip.compress(data)[:40] + b"x" * 400, "damaged"),
        (
            lambda data: b"\x28\xb5\x2f\xfd" + data,
            r"`zstd --dec.*x\.tar` first",
        ),
        (lambda _: b"\x7fELF" + b"\0" * 2000, "no archive of an image"),
        (lambda _: b"", "no archive of an image"),
    ],
    ids=["cut", "cut-gzip", "cut-xz", "bad-gzip", "zstd", "program", "empty"],
)
def test_what_was_cut_or_is_something_else(
    change: Callable[[bytes], bytes], why: str, tmp_path: Path
) -> None:
    """A copy that ended early is told from what never was an archive."""
    path = archive(tmp_path / "x.tar", docker("web:1"))
    ends = path.read_bytes().rstrip(b"\0")
    path.write_bytes(change(ends + b"\0" * 2048))

    with (
        pytest.raises(UsageError, match=why),
        opened_images(path, architecture="amd64"),
    ):
        pass


def test_a_bomb_is_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What unpacks to more than an image has is not unpacked to its end."""
    monkeypatch.setattr(archives, "MOST_BYTES", 1 << 20)
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(b"\0" * (8 << 20)))

    with pytest.raises(UsageError, match="unpacks to more"), opened_images(path):
        pass


def test_other_kinds_of_files_are_not_waited_for(tmp_path: Path) -> None:
    """A FIFO has no end, and a file may not be there."""
    os.mkfifo(tmp_path / "fifo")

    for name, why in [("fifo", "it is no file"), ("absent", "there is none")]:
        with pytest.raises(UsageError, match=why), opened_images(tmp_path / name):
            pass


def test_a_name_is_for_one_image(tmp_path: Path) -> None:
    """``--as`` names an image that has no name, or another one."""
    two = json.loads(docker("a:1")["manifest.json"]) * 2
    files = docker("a:1") | {"manifest.json": as_json(two)}
    path = archive(tmp_path / "x.tar", files)
    nameless = archive(tmp_path / "y.tar", docker())

    with opened_images(nameless, image_name="b", architecture="amd64") as (image,):
        assert image.names == ("docker.io/library/b:latest",)
    with (
        pytest.raises(UsageError, match="has 2 images, and --as names one"),
        opened_images(path, image_name="b:1", architecture="amd64"),
    ):
        pass


def of_two_nodes(*, running: bool) -> SimpleNamespace:
    """Stand for a testbed of two nodes."""
    nodes = [SimpleNamespace(name=name, kubelet="v1.37.1") for name in ("a", "b")]
    return SimpleNamespace(name="x", running=running, nodes=nodes)


def test_load_needs_a_testbed_its_nodes_and_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that is missing is a sentence, and the last has the command to paste."""
    path = tmp_path / "my web.tar"
    monkeypatch.setattr(
        archives, "status", lambda *_, **__: of_two_nodes(running=False)
    )
    with pytest.raises(UsageError, match="not running: start it"):
        archives.load(path)
    monkeypatch.setattr(archives, "status", lambda *_, **__: of_two_nodes(running=True))
    with pytest.raises(UsageError, match="no node 'c': choose a, b"):
        archives.load(path, nodes=["c"])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(HostError) as refused:
        archives.load(path, name="x", nodes=["a"], image_name="web:1")
    assert str(refused.value).endswith(
        f"-m cmhot testbed load --name x --node a --as web:1 '{path}'`"
    )
