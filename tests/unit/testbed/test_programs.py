"""Each program comes from the first source that has it, and says so."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import threading
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cmhot
from cmhot.cluster.testbed.programs import ensure_programs
from cmhot.cluster.testbed.programs.ensure import Search, find_all, look_ahead
from cmhot.cluster.testbed.versions import (
    KUBERNETES_VERSION,
    Archive,
    Build,
    Component,
    Program,
)
from cmhot.errors import ProgramsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PINNED = "v1.4.2"


def program_text(name: str, *, version: str = PINNED) -> bytes:
    """Return a program that says its version."""
    return f"#!/bin/sh\necho {name} of pair {version}\n".encode()


def put(folder: Path, name: str, *, version: str = PINNED) -> Path:
    """Install such a program."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(program_text(name, version=version))
    (folder / name).chmod(0o755)
    return folder / name


@dataclass
class Bench:
    """A component ``pair`` of programs ``left`` and ``right``, and its mirror."""

    component: Component
    cache: Path
    asked: list[str]
    environ: dict[str, str]
    modules: Path
    said: list[str] = field(default_factory=list)

    def search(self, *, bin_dir: Path | None = None, **environ: str) -> Search:
        """Begin a search on this bench."""
        return Search(
            components=[self.component],
            arch="amd64",
            cache=self.cache,
            bin_dir=bin_dir,
            environ=self.environ | environ,
            report=self.said.append,
            modules=self.modules,
        )

    def steps(self, *, bin_dir: Path | None = None, **environ: str) -> dict[str, str]:
        """Carry a search through; return which source served each program."""
        found = find_all(self.search(bin_dir=bin_dir, **environ))
        return {name: source.step for name, source in found.sources.items()}


@pytest.fixture
def gate() -> threading.Event:
    """Return what the mirror waits for before it answers; open as a rule."""
    event = threading.Event()
    event.set()
    return event


@pytest.fixture
def bench(
    tmp_path: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """Serve the pair's archive on the loopback address for one test."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    mirror = tmp_path / "mirror" / PINNED
    mirror.mkdir(parents=True)
    with tarfile.open(mirror / "pair-1.4.2-amd64.tgz", "w:gz") as tar:
        for name in ("left", "right"):
            info = tarfile.TarInfo(f"pair-{PINNED}/{name}")
            info.size = len(program_text(name))
            tar.addfile(info, io.BytesIO(program_text(name)))
    digest = hashlib.sha256((mirror / "pair-1.4.2-amd64.tgz").read_bytes()).hexdigest()
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            gate.wait(30)
            super().do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay quiet."""

    handler = partial(Handler, directory=str(tmp_path / "mirror"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    component = Component(
        name="pair",
        version=PINNED,
        programs=tuple(
            Program(name, f"example.org/{name}", f"pair-{{version}}/{name}")
            for name in ("left", "right")
        ),
        lowest="1.2",
        below="2",
        version_pattern=r"of pair (v\S+)",
        archive=Archive(
            "http://upstream.invalid/releases",
            "CMHOT_MIRROR_PAIR",
            "{version}/pair-{number}-{arch}.tgz",
            {"amd64": f"sha256:{digest}"},
        ),
        build=Build("pair"),
    )
    environ = {
        "PATH": str(tmp_path / "path"),
        "CMHOT_MIRROR_PAIR": f"http://127.0.0.1:{server.server_port}/",
    }
    module = tmp_path / "modules" / "pair"
    module.mkdir(parents=True)
    (module / "go.mod").write_text("module example.org\n\ngo 1.24\n")
    yield Bench(component, tmp_path / "cache", asked, environ, tmp_path / "modules")
    server.shutdown()
    thread.join()
    server.server_close()


def test_mirror_is_used(bench: Bench) -> None:
    """The archive comes from the mirror in the environment, at upstream's path."""
    assert bench.steps() == {"left": "archive", "right": "archive"}
    assert bench.asked == ["/v1.4.2/pair-1.4.2-amd64.tgz"]


def test_cache_serves_the_second_time(bench: Bench) -> None:
    """What was fetched once comes from the cache, with its origin."""
    bench.steps()
    found = find_all(bench.search())

    assert {source.step for source in found.sources.values()} == {"cache"}
    assert {source.origin for source in found.sources.values()} == {"archive"}
    assert found["left"].read_bytes() == program_text("left")
    assert len(bench.asked) == 1


def test_recorded_sha256(bench: Bench) -> None:
    """The provenance has the SHA-256 of the file that is used."""
    found = find_all(bench.search()).to_dict()

    assert found["left"] == {
        "part": "pair",
        "step": "archive",
        "origin": "archive",
        "version": PINNED,
        "path": str(bench.cache / "left"),
        "sha256": hashlib.sha256(program_text("left")).hexdigest(),
        "why": "path: no left; cache: not there",
    }


def test_the_failure_of_one_part_stops_the_others(
    bench: Bench, gate: threading.Event
) -> None:
    """A download that goes on beside a build that cannot be is not waited for."""
    quick = replace(
        bench.component,
        name="quick",
        programs=(Program("quick", "example.dev/quick", None),),
        archive=replace(bench.component.archive, checksums={}),
        build=Build("nowhere", seconds=1),
    )
    search = bench.search()
    search.components = [bench.component, quick]
    stopped = search.work.stop

    def stop() -> None:
        stopped()
        gate.set()  # the download goes on, and sees that it should not

    gate.clear()
    search.work.stop = stop  # type: ignore[method-assign]

    with pytest.raises((ProgramsError, FileNotFoundError), match=r"quick|nowhere"):
        find_all(search)
    assert not (bench.cache / "left").exists()


def test_changed_file_is_fetched_again(bench: Bench) -> None:
    """A cached file that changed is removed, said, and alone fetched again."""
    bench.steps()
    with (bench.cache / "left").open("ab") as file:
        file.write(b"exit 1\n")

    assert bench.steps() == {"left": "archive", "right": "cache"}
    assert "removed left from the cache" in " ".join(bench.said)
    assert (bench.cache / "left").read_bytes() == program_text("left")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(
            lambda cache: (cache / "manifest.json").unlink(), id="no-manifest"
        ),
        pytest.param(
            lambda cache: (cache / "manifest.json").write_text("{"),
            id="half-a-manifest",
        ),
        pytest.param(
            lambda cache: (cache / "manifest.json").write_text('{"left": []}'),
            id="another-manifest",
        ),
        pytest.param(lambda cache: (cache / "left").unlink(), id="no-program"),
        pytest.param(
            lambda cache: put(cache / ".new-killed", "left"), id="work-of-a-killed-run"
        ),
    ],
)
def test_damaged_cache_heals(bench: Bench, damage: Callable[[Path], object]) -> None:
    """Whatever is missing or half there, the next search makes the cache whole."""
    bench.steps()
    damage(bench.cache)
    bench.steps()

    assert set(bench.steps().values()) == {"cache"}
    written = json.loads((bench.cache / "manifest.json").read_text())
    assert sorted(written) == ["left", "right"]


def test_new_pin_is_fetched(bench: Bench) -> None:
    """A cached program of another version than the pinned one is not used."""
    bench.steps()
    bench.component = replace(bench.component, version="v1.4.9")

    remarks = [known.remark for known in look_ahead(bench.search())]
    assert all("cache: there as v1.4.2" in remark for remark in remarks)


def test_wrong_archive(bench: Bench) -> None:
    """An archive that is not the pinned one is never unpacked; the build comes next."""
    archive = replace(bench.component.archive, checksums={"amd64": "sha256:00"})
    bench.component = replace(bench.component, archive=archive)

    with pytest.raises(ProgramsError) as raised:
        bench.steps(CMHOT_SOURCES="archive")

    assert "no source has left, right v1.4.2" in str(raised.value)
    assert "expected sha256:00" in str(raised.value)
    assert sorted(path.name for path in bench.cache.iterdir()) == [".lock"]


def test_unpinned_archive(bench: Bench) -> None:
    """An archive whose checksum is not known is not asked for, nor promised."""
    archive = replace(bench.component.archive, checksums={})
    bench.component = replace(bench.component, archive=archive)

    remarks = [known.remark for known in look_ahead(bench.search())]
    with pytest.raises(ProgramsError, match=r"no checksum of pair v1\.4\.2 is pinned"):
        bench.steps(CMHOT_SOURCES="archive")

    assert not any("would be downloaded" in remark for remark in remarks)
    assert bench.asked == []


def test_asked_as_it_answers(bench: Bench, tmp_path: Path) -> None:
    """A program that knows no --version is asked as its component says."""
    for name in ("left", "right"):
        put(tmp_path / "path", name).write_text(
            f'#!/bin/sh\n[ "$1" = -v ] && echo {name} of pair {PINNED}\n'
        )
    before = bench.steps(CMHOT_SOURCES="path,archive")
    bench.component = replace(bench.component, version_flag="-v")

    assert set(before.values()) == {"archive"}
    assert set(bench.steps(CMHOT_SOURCES="path").values()) == {"path"}


def test_program_that_does_not_answer(bench: Bench) -> None:
    """A fetched program must say the pinned version before it enters the cache."""
    bench.component = replace(bench.component, version_pattern=r"of trio (v\S+)")

    with pytest.raises(
        ProgramsError, match=r"left does not answer that it is v1\.4\.2"
    ):
        bench.steps(CMHOT_SOURCES="archive")

    assert not (bench.cache / "left").exists()


def test_bin_dir_first(bench: Bench, tmp_path: Path) -> None:
    """The folder that the user gives comes before PATH, and nothing is fetched."""
    for folder in ("given", "path"):
        for name in ("left", "right"):
            put(tmp_path / folder, name, version="v1.3.0")
    found = find_all(bench.search(bin_dir=tmp_path / "given"))

    assert {source.step for source in found.sources.values()} == {"bin-dir"}
    assert found["left"] == tmp_path / "given" / "left"
    assert found.sources["left"].version == "v1.3.0"
    assert bench.asked == []
    assert not bench.cache.exists()


def test_path_too_old(bench: Bench, tmp_path: Path) -> None:
    """A program that is too old is passed over, and the reason is kept."""
    old = put(tmp_path / "path", "left", version="v1.1.9")
    put(tmp_path / "path", "right", version="v1.1.9")
    found = find_all(bench.search())

    assert found.sources["left"].step == "archive"
    reason = f"path: {old} is v1.1.9, needed is 1.2 or newer, below 2"
    assert found.sources["left"].why.startswith(reason)
    assert any(reason in sentence for sentence in bench.said)


def test_other_program_of_that_name(bench: Bench, tmp_path: Path) -> None:
    """A namesake, as iproute2's bridge is of CNI's, is looked past on PATH."""
    put(tmp_path / "path", "left").write_text("#!/bin/sh\necho left 5.2\n")
    put(tmp_path / "opt", "left")
    put(tmp_path / "opt", "right")
    path = f"{tmp_path / 'path'}:{tmp_path / 'opt'}"

    assert find_all(bench.search(PATH=path))["left"] == tmp_path / "opt" / "left"


def test_incomplete_set_of_the_pinned_version(bench: Bench, tmp_path: Path) -> None:
    """A lone program of the pinned version is used; the rest is fetched."""
    put(tmp_path / "given", "left")

    steps = bench.steps(bin_dir=tmp_path / "given")
    assert steps == {"left": "bin-dir", "right": "archive"}


def test_incomplete_set_of_another_version(bench: Bench, tmp_path: Path) -> None:
    """A component is not mixed of two versions: a lone other one is passed over."""
    path = put(tmp_path / "given", "left", version="v1.3.0")

    steps = bench.steps(bin_dir=tmp_path / "given")
    assert steps == {"left": "archive", "right": "archive"}
    reason = f"not taken from --bin-dir: {path} is v1.3.0, but others of pair"
    assert bench.said[0].startswith(reason)


def test_sources_restricted(bench: Bench) -> None:
    """CMHOT_SOURCES leaves sources out; with none left, the error goes through them."""
    with pytest.raises(
        ProgramsError,
        match=r"no source has left, right v1\.4\.2: path: no left, no right",
    ):
        bench.steps(CMHOT_SOURCES="path, cache")
    assert bench.asked == []


def test_unknown_source(bench: Bench) -> None:
    """A misspelt source is an error that lists them all."""
    with pytest.raises(
        UsageError, match="'archives': choose from bin-dir, path, cache"
    ):
        bench.steps(CMHOT_SOURCES="archives")


def test_unreachable_leads_to_build(bench: Bench, tmp_path: Path) -> None:
    """Without the archive the component is built; each step says why it was taken."""
    # The fake `go` lists one package, and "compiles" programs that say their version.
    go = put(tmp_path / "path", "go")
    go.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        "env) echo go1.99.0 ;;\n"
        'list) echo "go: downloading example.org/pair v1.4.2"; echo "stale left" ;;\n'
        "build) echo left\n"
        'while [ "$1" != -o ]; do shift; done\n'
        "for name in left right; do\n"
        'printf "#!/bin/sh\\necho of pair v1.4.2\\n" > "$2/$name"\n'
        'chmod 755 "$2/$name"; done ;;\n'
        "esac\n"
    )
    found = find_all(
        bench.search(
            CMHOT_MIRROR_PAIR="http://127.0.0.1:9/",
            PATH=f"{tmp_path}/path:{os.environ['PATH']}",
        )
    )

    assert {source.step for source in found.sources.values()} == {"build"}
    assert "archive: 127.0.0.1:9 is unreachable" in found.sources["left"].why
    assert bench.said[-1].startswith("building pair v1.4.2 from its Go modules")
    assert set(bench.steps().values()) == {"cache"}


def test_two_at_once(bench: Bench, gate: threading.Event, tmp_path: Path) -> None:
    """Of two processes on one cache one fetches, the other says that it waits."""
    gate.clear()  # the mirror answers only once the second process waits
    plan = tmp_path / "plan.pickle"
    plan.write_bytes(pickle.dumps((bench.component, bench.cache, bench.environ)))
    program = (
        "import pathlib, pickle, sys\n"
        "from functools import partial\n"
        "from cmhot.cluster.testbed.programs.ensure import Search, find_all\n"
        "plan = pathlib.Path(sys.argv[1]).read_bytes()\n"
        "component, cache, environ = pickle.loads(plan)\n"
        "search = Search([component], 'amd64', cache, environ=environ,\n"
        "                report=partial(print, flush=True))\n"
        "print(*sorted(find_all(search).paths))\n"
    )
    environ = os.environ | {"PYTHONPATH": str(Path(cmhot.__file__).parents[1])}
    start = partial(
        subprocess.Popen,
        [sys.executable, "-c", program, str(plan)],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    with start() as one, start() as two:
        assert one.stdout is not None
        assert two.stdout is not None
        first, second = one.stdout.readline(), two.stdout.readline()
        gate.set()
        said = [first + one.stdout.read(), second + two.stdout.read()]

    assert sorted("waiting: another cmhot" in text for text in said) == [False, True]
    assert all(text.endswith("left right\n") for text in said)
    assert len(bench.asked) == 1


def test_availability(bench: Bench, tmp_path: Path) -> None:
    """What would happen is known without a request or a file being made."""
    put(tmp_path / "given", "left")
    left, right = look_ahead(bench.search(bin_dir=tmp_path / "given"))

    assert left.source is not None
    assert left.source.step == "bin-dir"
    assert right.source is None
    assert right.remark.startswith(
        "bin-dir: no right; path: no right; cache: not there; "
        f"would be downloaded from {bench.environ['CMHOT_MIRROR_PAIR']}v1.4.2/pair-"
    )
    assert bench.asked == []
    assert not bench.cache.exists()


def test_unwritable_cache(bench: Bench, tmp_path: Path) -> None:
    """A cache that cannot be made is an error with a remedy."""
    (tmp_path / "cache").write_text("a file in the way")

    with pytest.raises(ProgramsError, match=r"cannot be filled: .*XDG_CACHE_HOME"):
        bench.steps()


def test_wrong_bin_dir(tmp_path: Path) -> None:
    """A folder that does not exist is not silently passed over."""
    with pytest.raises(UsageError, match=r"--bin-dir .*nowhere is no folder"):
        ensure_programs(
            kubernetes_version=KUBERNETES_VERSION, bin_dir=tmp_path / "nowhere"
        )


def test_unknown_kubernetes() -> None:
    """A version that is not pinned is an error that names the pinned ones."""
    with pytest.raises(
        UsageError, match=r"'v1\.2\.3' is not pinned here: .* v1\.37\.1"
    ):
        ensure_programs(kubernetes_version="v1.2.3")
