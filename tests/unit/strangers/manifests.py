"""Manifests as people write them, and as they are after a mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

SCALARS = (
    *(
        "x",
        "'it''s'",
        '"a\\tb"',
        "é",
        "\U0001f600",
        "a b",
        "a: b",
        "x#y",
        "x # y",
        "- x",
    ),
    *("2026-03-01", "2026-03-01T12:00:00Z", "12:30:00", "1:20", "1082:21", "=", "<<"),
    *("yes", "NO", "on", "Off", "y", "True", "~", "null", "Null", "", "''", "none"),
    *("1", "01", "014", "0o14", "0x1F", "0b11", "1_000", "+1", "-1", "1.0", "1.50"),
    *("1e3", "1E400", ".5", "5.", "-.5", "12e03", "_1", "1_", "0x", "1.2.3", "--1"),
    *(".inf", "-.Inf", ".nan", "123456789012345678901234567890", "9223372036854775808"),
    *(
        "18446744073709551615",
        "-9223372036854775809",
        "0.1",
        "1e-7",
        "1e21",
        "100000.0",
    ),
    *("!!str 1", "!!int '3'", "!!float 3", "!!bool 'true'", "!!binary aGk=", "!x y"),
    *("|\n    a\n    b", ">-\n    a\n    b", "|+\n    a\n\n", "|2\n      a", "[a, b]"),
    *(
        "{a: 1}",
        "&a x",
        "*a",
        "&b\n    c: d",
        "@x",
        "`x`",
        "%x",
        "? x",
        "x:",
        '"\\x41"',
    ),
    *(
        '"\\u0041\\/"',
        '"\\',
        "'",
        '"',
        "[",
        "}",
        "\ta",
        "a\tb",
        "\x07",
        "\u2028",
        "\ufeff",
    ),
)
"""What stands after a key, as YAML has it."""
LINES = (
    *("---", "...", "# comment", "--- # x", "", "\t", "kind: Secret", "data:", "{}"),
    *(
        "%YAML 1.1",
        "a",
        "- a",
        "? a",
        "metadata: {name: m2}",
        "<<: *a",
        "'",
        "[",
        ": x",
    ),
    *("data: {a: 1, a: 2}", "--- |\n a", "kind: ConfigMap", "apiVersion: v2", "\ufeff"),
)
"""What may stand between the lines of a manifest."""


def manifest_text(rng: random.Random, secret: str) -> str:
    """Write some documents; all values that are quoted hold the secret."""
    separator = rng.choice(["---\n", "---\n", "--- \n", "---\n---\n", "\n---\n# x\n"])
    documents = [_document(rng, secret) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
    text = rng.choice(["", "", "", "---\n", "# x\n"]) + separator.join(documents)
    lines = text.split("\n")
    for _ in range(rng.choice([0, 0, 0, 0, 0, 1, 2])):
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(LINES))
    text = "\n".join(lines)
    ends = [
        text,
        text,
        text,
        text.replace("\n", "\r\n"),
        f"\ufeff{text}",
        text.rstrip(),
    ]
    return rng.choice(ends)


def _document(rng: random.Random, secret: str) -> str:
    kind = rng.choice(
        ["ConfigMap"] * 20 + ["Secret", "Pod", "Odd"] * 2 + ["configmap", ""]
    )
    data = _data(rng, secret)
    meta = rng.choice(
        [
            *(
                ["{name: m}"] * 5
                + ["{name: m, namespace: default}", "{}", "", "{name: }"]
            ),
            *(
                "{name: m, labels: {a: b}}",
                "{generateName: m}",
                "{name: 7}",
                "[m]",
                "m",
            ),
        ]
    )
    whole = f"apiVersion: v1\nkind: {kind}\nmetadata: {meta}\n{data}"
    way = rng.randrange(12)
    if way == 0:
        inner = "\n".join(f"  {line}" for line in whole.splitlines())
        listed = rng.choice(["List", "ConfigMapList", "SecretList", "OddList"])
        return f"apiVersion: v1\nkind: {listed}\nitems:\n-{inner[1:]}\n"
    if way == 1:
        listed = rng.choice(["List", "ConfigMapList"])
        items = rng.choice(
            ["[]", "", "{}", "[{metadata: {name: m}, data: {a: b}}]", "x"]
        )
        return f"apiVersion: v1\nkind: {listed}\nitems: {items}\n"
    if way == 2:
        tabs = rng.choice(["", "\t", " "])
        value = rng.choice(
            ['"b"', "1", "1.0", "1e2", "null", f'"{secret}"', "tr", "01"]
        )
        return (
            f'{{"apiVersion": "v1",\n{tabs}"kind": "{kind}",\n{tabs}"metadata": '
            f'{{"name": "m"}},\n{tabs}"data": {{"a": {value}}}}}\n'
        )
    return whole


def _data(rng: random.Random, secret: str) -> str:
    """Write the data of an object."""
    keys = ["2026-03-01", "1", "1.5", "yes", "'q'", "a.b", "? x", "null", "<<", "0x1"]
    values = [secret, repr(secret), *SCALARS]
    lines = [
        f"  {rng.choice(['a', 'b', 'c', rng.choice(keys)])}: {rng.choice(values)}\n"
        for _ in range(rng.choice([1, 1, 2]))
    ]
    if rng.randrange(8) == 0:
        return f"base: &base {{p: q}}\ndata:\n  <<: *base\n{''.join(lines)}"
    return "data:\n" + "".join(lines)
