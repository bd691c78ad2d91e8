"""Changes of a run directory, as carelessness or malice might make them."""

from __future__ import annotations

import functools
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cmhot.runs import schema

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

DEEP = "[" * 100_000 + "]" * 100_000
NAMES = (
    *("../../x", "/etc/passwd", "a/b", "..", "-rf", "~", "x\0y", "y" * 5000, ""),
    *("\u001b[2J", "\u001b]52;c;eA==\u0007", "a\rb", "a\nb", "\u009b31m", "\u202ex"),
    *("\ud800", "e\u0301\u200d", "\U0001f600", "延迟", "<b>&amp;", "$x^2$", "{{x}}"),
)
"""Texts that mean something to a path, a terminal, a page, a figure or nobody."""
NUMBERS = (
    *(0, -1, 1, 2**31, 2**62, 2**63 - 1, 2**63, -(2**63), 2**64, 10**40),
    *(0.0, -0.0, -0.5, 1e-300, 1e300, float("nan"), float("inf"), -float("inf")),
)
STRANGE: tuple[Any, ...] = (
    *(None, True, False, *NUMBERS, *NAMES, "x", "volume", "gap", "testbed"),
    *([], [1], {}, {"a": {"b": [None]}}, [[[[]]]], {"": 0}, [None] * 1000),
)
"""Values that hardly anything expects."""
TOKENS = (
    *(DEEP, "9" * 5000, "1e999", "-", "NaN", "-Infinity", "0x10", "01", '"\\ud800"'),
    *('{"a":1,"a":2}', '"\t"', "'x'", "null", "tr", "[1,]", "\ufeff1"),
)
"""What may stand in JSON where a value does, much of which is none."""


def flip_bytes(run: Path, rng: random.Random) -> None:
    """Change some bytes of a file."""
    file = _file(run, rng)
    content = bytearray(file.read_bytes())
    for _ in range(rng.randint(1, 8)):
        if content:
            content[rng.randrange(len(content))] = rng.randrange(256)
    file.write_bytes(content)


def cut(run: Path, rng: random.Random) -> None:
    """Leave only the beginning of a file."""
    file = _file(run, rng)
    content = file.read_bytes()
    file.write_bytes(content[: rng.randrange(len(content) + 1)])


def change_lines(run: Path, rng: random.Random) -> None:
    """Drop a line, have it twice, or put it elsewhere."""
    file = _file(run, rng, ".jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    if not lines:
        return
    line = lines.pop(rng.randrange(len(lines)))
    for _ in range(rng.randrange(3)):
        lines.insert(rng.randrange(len(lines) + 1), line)
    file.write_bytes(b"".join(lines))


def change_rows(run: Path, rng: random.Random) -> None:
    """Put a strange value into some rows."""
    file = _file(run, rng, ".jsonl")
    lines = file.read_text(errors="replace").splitlines()
    for _ in range(min(rng.randint(1, 3), len(lines))):
        at = rng.randrange(len(lines))
        lines[at] = _strange(lines[at], rng)
    _write(file, "".join(f"{line}\n" for line in lines))


def change_meta(run: Path, rng: random.Random) -> None:
    """Put a strange value somewhere into run.json."""
    file = run / schema.RUN_FILE
    if _is_plain(file):
        _write(file, _strange(file.read_text(errors="replace"), rng))


def change_token(run: Path, rng: random.Random) -> None:
    """Put something in place of a number or a text of JSON."""
    file = _file(run, rng, rng.choice([".jsonl", ".json"]))
    text = file.read_text(errors="replace")
    begins = [at + 1 for at, sign in enumerate(text) if sign == ":"]
    if not begins:
        return
    begin = rng.choice(begins)
    ends = [at for at in (text.find(sign, begin) for sign in ",}\n") if at > 0]
    _write(file, text[:begin] + rng.choice(TOKENS) + text[min(ends, default=begin) :])


def repeat_key(run: Path, rng: random.Random) -> None:
    """Have a key of an object twice, with another value."""
    file = _file(run, rng, rng.choice([".jsonl", ".json"]))
    text = file.read_text(errors="replace")
    keys = sorted({part.split('"')[-1] for part in text.split('":')[:-1]})
    if keys:
        again = json.dumps(rng.choice(keys)) + ":" + rng.choice(TOKENS)
        _write(file, text.replace("{", "{" + again + ",", 1))


def change_end(run: Path, rng: random.Random) -> None:
    """Have line ends or a mark of another system, or a byte without meaning."""
    file = _file(run, rng, rng.choice([".jsonl", ".json"]))
    content = file.read_bytes()
    ways = [content.replace(b"\n", b"\r\n"), content.replace(b"\n", b"\r")]
    ways += [b"\xef\xbb\xbf" + content, content.decode("latin-1").encode("utf-16")]
    file.write_bytes(rng.choice([*ways, content + b"\0" * 100, content + b"\n\n\n"]))


def change_table(run: Path, rng: random.Random) -> None:
    """Put strange values, a column of another kind, or another number of columns."""
    file = _file(run, rng, ".parquet")
    try:
        table = pq.read_table(file)
    except (OSError, ValueError, pa.ArrowException):
        return
    if not table.num_columns:
        return
    place = rng.randrange(table.num_columns)
    name, size = table.schema.names[place], len(table)
    plain = table.column(place).to_pylist()
    way = rng.randrange(4)
    if way == 0:
        table = table.drop_columns([name])
    elif way == 1:
        table = table.append_column(rng.choice([name, "more"]), table.column(place))
    elif way == 2:
        table = table.set_column(place, name, pa.array([rng.choice(KINDS)] * size))
    elif size:
        plain[rng.randrange(size)] = rng.choice(STRANGE)
        try:
            table = table.set_column(
                place, name, pa.array(plain, table.field(name).type)
            )
        except (ValueError, TypeError, OverflowError, pa.ArrowException):
            return
    pq.write_table(table, file)


KINDS: tuple[Any, ...] = (
    *(1, 1.5, float("nan"), True, None, "x", b"\xff\x00", [1], [[None]], {"a": 1}),
    *(np.datetime64("2026-01-01", "ns"), np.timedelta64(1, "s"), np.uint64(2**63)),
)
"""A value of each kind that Arrow has a type for."""


def put_bomb(run: Path, rng: random.Random) -> None:
    """Put a small Parquet file of many rows, or of long texts, in place of a table."""
    table = rng.choice(schema.RAW_TABLES)
    file = run / f"{table.file.removesuffix('.jsonl')}.parquet"
    if not file.is_dir():
        file.unlink(missing_ok=True)
        file.write_bytes(_bomb(table, long=rng.random() < 0.5))


def put_other(run: Path, rng: random.Random) -> None:
    """Put a link, a pipe, a socket, a device or a folder in place of a file."""
    file = _file(run, rng)
    file.unlink()
    key = run.parent / "private" / "key"
    kind = rng.randrange(7)
    if kind == 0:
        os.mkfifo(file)
    elif kind == 1:
        file.mkdir()
        (file / "more").symlink_to(run)
    elif kind == 2:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(os.path.relpath(file))
    elif kind == 3 and os.geteuid() == 0:
        os.mknod(file, 0o020666, os.makedev(1, 5))  # as /dev/zero
    else:
        places: list[Path | str] = [
            *("/dev/zero", "/dev/stdin", file.name, "/proc/self/environ", "none"),
            *(key, key, key.parent, run.parent),
        ]
        file.symlink_to(rng.choice(places))


def put_beside(run: Path, rng: random.Random) -> None:
    """Put something beside the records that a reader might follow, keep or believe."""
    key = run.parent / "private" / "key"
    name = rng.choice(
        [
            *("run.html", "delays.parquet", "delays.parquet.part", "run.json.part"),
            *("refresh.parquet.part", "index.html", "notes.txt", ".cache", "summary"),
            *(f"summary-{'0' * 64}.json", f"made-{'0' * 64}", "figures", "x\ny"),
        ]
    )
    if (run / name).exists() or (run / name).is_symlink():
        return
    if rng.random() < 0.6:
        (run / name).symlink_to(rng.choice([key, key.parent, run, Path("/dev/zero")]))
    else:
        (run / name).write_text('{"runs": ["../../../outside"]}')


def lengthen(run: Path, rng: random.Random) -> None:
    """Have a line of megabytes, many lines, or a file with a hole of gigabytes."""
    file = _file(run, rng, rng.choice([".jsonl", ".json"]))
    kind = rng.randrange(3)
    with file.open("ab") as handle:
        if kind == 0:
            handle.write(b'{"x": "' + b"y" * (2 << 20) + b'"}\n')
        elif kind == 1:
            handle.write((file.read_bytes() or b"{}\n") * rng.randint(2, 40))
        else:
            handle.truncate(rng.choice([1 << 22, 20 << 30]))


def multiply(run: Path, rng: random.Random) -> None:
    """Have thousands of updates, or of pods."""
    files = [run / schema.RUN_FILE, run / schema.UPDATES.file]
    if not all(map(_is_plain, files)):
        return
    many = rng.choice([100, 1000, 3000])
    try:
        meta = json.loads(files[0].read_text())
        if rng.random() < 0.5:
            pod = meta["pods"][0]
            meta["pods"] = [pod | {"pod": f"p{number}"} for number in range(many)]
            files[0].write_text(json.dumps(meta))
        else:
            row = json.loads(files[1].read_text().splitlines()[0])
            rows = [row | {"seq": seq} for seq in range(1, many)]
            files[1].write_text("".join(json.dumps(one) + "\n" for one in rows))
    except (ValueError, TypeError, LookupError):
        return


def remove(run: Path, rng: random.Random) -> None:
    """Leave out a file."""
    _file(run, rng).unlink()


def forbid(run: Path, rng: random.Random) -> None:
    """Let nobody but root read a file."""
    _file(run, rng).chmod(0)


MUTATIONS: tuple[Callable[[Path, random.Random], None], ...] = (
    *(flip_bytes, cut, change_lines, change_rows, change_rows, change_rows),
    *(change_meta, change_meta, change_meta, change_token, repeat_key, change_end),
    *(change_table, change_table, put_other, put_beside, put_bomb, lengthen),
    *(multiply, remove, forbid),
)


def mutate(run: Path, rng: random.Random) -> list[str]:
    """Change a run once or a few times; say how."""
    chosen = [rng.choice(MUTATIONS) for _ in range(rng.choice([1, 1, 2, 3]))]
    for change in chosen:
        change(run, rng)
    return [change.__name__ for change in chosen]


def _file(run: Path, rng: random.Random, end: str = "") -> Path:
    """Choose a file of the run; one that is none any more is left alone."""
    files = [
        path
        for path in sorted(run.iterdir())
        if path.name.endswith(end) and _is_plain(path)
    ]
    if files:
        return rng.choice(files)
    spare = run / f"spare{end}"
    spare.unlink(missing_ok=True)
    spare.write_bytes(b"")
    return spare


def _is_plain(path: Path) -> bool:
    """Tell whether a file is one that can be read whole."""
    return not path.is_symlink() and path.is_file() and path.stat().st_size < 1 << 25


def _write(file: Path, text: str) -> None:
    """Write a text, of which half a pair of surrogates is what it is in WTF-8."""
    file.write_bytes(text.encode(errors="surrogatepass"))


def _strange(text: str, rng: random.Random) -> str:
    """Put a strange value somewhere into JSON, or under a strange key."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return text
    places: list[tuple[Any, Any]] = []
    level = [content]
    while level:
        one = level.pop()
        if not isinstance(one, dict | list):
            continue
        keys = list(one) if isinstance(one, dict) else range(len(one))
        places += [(one, key) for key in keys]
        level += [one[key] for key in keys]
    if places:
        where, key = rng.choice(places)
        if isinstance(where, dict) and rng.random() < 0.15:
            where[rng.choice(NAMES)] = where.pop(key)
        else:
            where[key] = rng.choice(STRANGE)
    return json.dumps(content, ensure_ascii=rng.random() < 0.5)


@functools.cache
def _bomb(table: schema.Table, *, long: bool) -> bytes:
    """Make a table of millions of rows, or of gigabytes of text, in few bytes."""
    rows = 100_000 if long else 3_000_000
    kinds = {"int64": pa.int64(), "Int64": pa.int64()}
    columns = {}
    for column in table.columns:
        kind = kinds.get(column.dtype, pa.string())
        value = 1 if kind == pa.int64() else "x" * (100_000 if long else 1)
        one = pa.array([value], kind)
        if kind == pa.string():
            places = pa.array(np.zeros(rows, dtype=np.int32))
            columns[column.name] = pa.DictionaryArray.from_arrays(places, one)
        else:
            columns[column.name] = one.take(pa.array(np.zeros(rows, dtype=np.int64)))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content
