"""Kubeconfigs as people have them, and as they are after a mistake."""

from __future__ import annotations

import base64
import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from cmhot.cluster.testbed.certificates import Authority

API = "client.authentication.k8s.io/v1"
CONTEXT = "c"


@dataclass(frozen=True, slots=True)
class Material:
    """What kubeconfigs refer to: an API server, an authority, certificates.

    Attributes
    ----------
    folder
        Where the certificates and tokens are.
    port
        Of the API server on this machine, which speaks TLS.
    proxy_port
        Of an HTTP proxy.
    secret
        A part of whatever is secret.
    """

    folder: Path
    port: int
    proxy_port: int
    secret: str

    def write(self, authority: Authority) -> None:
        """Write the files that are referred to."""
        (self.folder / "ca.crt").write_bytes(authority.certificate)
        for name in ("jane", "joe"):
            pair = authority.issue(name, organisation="team")
            (self.folder / f"{name}.crt").write_bytes(pair.certificate)
            (self.folder / f"{name}.key").write_bytes(pair.key)
        (self.folder / "token").write_text(f"{self.secret}-of-file\n")
        (self.folder / "empty").write_text("")

    def data(self, name: str) -> str:
        """Give a file's content in base64."""
        return base64.b64encode((self.folder / name).read_bytes()).decode()


def _claims(secret: str, **content: Any) -> str:  # noqa: ANN401 - of a token
    parts = [json.dumps(one).encode() for one in ({"alg": "none"}, content)]
    head, body = (base64.urlsafe_b64encode(part).decode().strip("=") for part in parts)
    return f"{head}.{body}.{secret}"


class Chances:
    """Chances of oddities: none in some kubeconfigs, in others one beside the other.

    Parameters
    ----------
    rng
        Where chance comes from.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._calm = rng.choice([1.0, 3.0, 3.0, 10.0])
        self.choice, self.randrange = rng.choice, rng.randrange

    def odd(self, probability: float) -> bool:
        """Tell whether something odd is due."""
        return self._rng.random() * self._calm < probability


def write_kubeconfigs(where: Path, material: Material, rng: random.Random) -> str:
    """Write one or some files; return what KUBECONFIG has to be."""
    return _write(where, material, Chances(rng))


def _write(where: Path, material: Material, rng: Chances) -> str:
    cluster, user = _cluster(material, rng), _user(where, material, rng)
    context: dict[str, Any] = {"cluster": "k", "user": "u"}
    if rng.odd(0.2):
        context["namespace"] = rng.choice(["shop", "", None, "Shop_1", 7, "a" * 64])
    if rng.odd(0.1):
        key = rng.choice(["cluster", "user"])
        context[key] = rng.choice(["other", "", None, "K", 3, ["k"]])
    if rng.odd(0.05):
        del context[rng.choice(list(context))]
    parts: dict[str, Any] = {
        "clusters": [{"name": "k", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": CONTEXT, "context": context}],
    }
    if rng.odd(0.15):
        parts["current-context"] = rng.choice(["c", "x", "", None])
    if rng.odd(0.12):
        _spoil(parts, rng)
    files = _spread(parts, rng)
    paths = []
    for number, content in enumerate(files):
        folder = where / f"d{number}"
        folder.mkdir()
        _link_material(folder, material)
        (folder / "config").write_bytes(_text(content, rng))
        paths.append(str(folder / "config"))
    if rng.odd(0.1):
        (where / "void").write_text(rng.choice(["", "\n", "# nothing\n", "---\n"]))
        paths.insert(rng.randrange(len(paths) + 1), str(where / "void"))
    if rng.odd(0.1):
        paths.insert(rng.randrange(len(paths) + 1), str(where / "nowhere"))
    if rng.odd(0.05):
        paths.insert(rng.randrange(len(paths) + 1), "")
    return ":".join(paths)


def _link_material(folder: Path, material: Material) -> None:
    """Have the files of the material beside a kubeconfig, for relative paths."""
    for path in material.folder.iterdir():
        if path.is_file():
            (folder / path.name).symlink_to(path)


def _cluster(material: Material, rng: Chances) -> Any:  # noqa: ANN401
    place = f"127.0.0.1:{material.port}"
    cluster: dict[str, Any] = {"server": f"https://{place}"}
    if rng.odd(0.15):
        cluster["server"] = rng.choice(
            [
                *(f"https://{place}/", f"https://{place}/sub/path", f"HTTPS://{place}"),
                *(f"https://localhost:{material.port}", place, "", None, 6443),
                *(f"http://{place}", "https://", "https://h:x", f"ftp://{place}"),
                *(f" https://{place}", f"https://{place} ", f"https://{place}/?a=b#c"),
                f"https://me:{material.secret}@{place}",
            ]
        )
    how = rng.randrange(7) + rng.odd(0.2)
    if how < 3:
        cluster["certificate-authority"] = rng.choice(
            ["ca.crt", str(material.folder / "ca.crt"), "./ca.crt"]
        )
    elif how < 6:
        cluster["certificate-authority-data"] = material.data("ca.crt")
    elif how < 7:
        cluster["insecure-skip-tls-verify"] = True
    if rng.odd(0.12):
        one: list[tuple[str, list[Any]]] = [
            ("certificate-authority", ["gone.crt", "", None, "jane.key", "..", 1]),
            (
                "certificate-authority-data",
                ["", None, "QQ==", "!", "DATA+OMITTED", "QQ", 7],
            ),
            ("insecure-skip-tls-verify", [True, False, None, "true", "yes", 1]),
            ("server", [None]),
        ]
        key, values = rng.choice(one)
        cluster[key] = rng.choice(values)
    if rng.odd(0.15):
        names = ["localhost", "127.0.0.1", "other.example", "", None, 1]
        cluster["tls-server-name"] = rng.choice(names)
    if rng.odd(0.15):
        cluster["proxy-url"] = _proxy(material, rng)
    if rng.odd(0.05):
        cluster["disable-compression"] = rng.choice([True, False, None, "x"])
    if rng.odd(0.08):
        name = f"{API.rpartition('/')[0]}/exec"
        extension = {"name": name, "extension": {"audience": material.secret}}
        cluster["extensions"] = rng.choice([[extension], [], None, "x", [{}]])
    odd: list[Any] = [None, {}, [], "x", {"servr": cluster["server"]}]
    return rng.choice(odd) if rng.odd(0.04) else cluster


def _proxy(material: Material, rng: Chances) -> Any:  # noqa: ANN401
    proxy = f"127.0.0.1:{material.proxy_port}"
    odd: list[Any] = [
        *(f"http://{proxy}", f"http://me:{material.secret}@{proxy}", proxy),
        *("", None, f"http://{proxy}/", "ftp://h", f"http://me@{proxy}", 1),
        *(f"http://a%40b:{material.secret}%2F@{proxy}", "http://h:x"),
        f"http://%E5%BB%B6:{material.secret}@{proxy}",
    ]
    return rng.choice(odd)


def _user(where: Path, material: Material, rng: Chances) -> Any:  # noqa: ANN401
    secret = material.secret
    user: dict[str, Any] = {}
    for _ in range(1 + rng.odd(0.4)):
        user |= rng.choice([_token, _token_file, _pair, _basic, _plugin, _provider])(
            where, material, rng
        )
    if rng.odd(0.12):
        user |= rng.choice(
            [
                {"as": "viewer"},
                {"as": "system:serviceaccount:a:b", "as-groups": ["x", "y z"]},
                {"as": "viewer", "as-uid": "7-8", "as-user-extra": {"Scope/a": ["b"]}},
                {"as-groups": ["x"]},
                {"as-uid": "7"},
                {"as-user-extra": {"a": ["b"]}},
                {"as": ""},
                {"as": None, "as-groups": None},
                {"as": 7},
                {"as": "viewer", "as-groups": "x"},
                {"as": "viewer", "as-user-extra": {"a": "b"}},
                {"as": "Jürgen"},
            ]
        )
    if rng.odd(0.06):
        odd: list[Any] = [None, {}, [], secret, {"tokn": secret}, {"Token": secret}]
        return rng.choice([*odd, {"extensions": []}, {"users": {"token": secret}}])
    return user


def _token(_where: Path, material: Material, rng: Chances) -> dict[str, Any]:
    good = f"{material.secret}-in-place"
    if not rng.odd(0.4):
        return {"token": good}
    odd = [None, "", 12, True, f"{good}\n", f"{good}é", f" {good}", f"{good} x", [good]]
    return {"token": rng.choice([*odd, f"{good}\x00", "2026-01-01", 1.5, "=", "~"])}


def _token_file(_where: Path, material: Material, rng: Chances) -> dict[str, Any]:
    if not rng.odd(0.4):
        return {"tokenFile": rng.choice(["token", str(material.folder / "token")])}
    return {"tokenFile": rng.choice(["gone", "empty", "", None, ".", 7, "jane.key"])}


def _pair(_where: Path, material: Material, rng: Chances) -> dict[str, Any]:
    name = rng.choice(["jane", "joe"])
    if rng.randrange(2):
        pair: dict[str, Any] = {
            "client-certificate": f"{name}.crt",
            "client-key": f"{name}.key",
        }
    else:
        pair = {
            "client-certificate-data": material.data(f"{name}.crt"),
            "client-key-data": material.data(f"{name}.key"),
        }
    if rng.odd(0.3):
        del pair[rng.choice(list(pair))]
    if rng.odd(0.3):
        key = rng.choice(["client-certificate", "client-key"])
        if rng.randrange(2):
            odd: list[Any] = [
                "gone",
                "",
                None,
                "jane.key",
                "joe.crt",
                "joe.key",
                "ca.crt",
                1,
            ]
            pair[key] = rng.choice(odd)
        else:
            odd = ["", None, "QQ==", "!", "REDACTED", material.data("joe.key")]
            pair[f"{key}-data"] = rng.choice(odd)
    return pair


def _basic(_where: Path, material: Material, rng: Chances) -> dict[str, Any]:
    pair: dict[str, Any] = {"username": "me", "password": material.secret}
    if rng.odd(0.4):
        key = rng.choice(list(pair))
        pair[key] = rng.choice(["", None, "ü:x", 7, "a\nb"])
    if rng.odd(0.15):
        del pair[rng.choice(list(pair))]
    return pair


def _plugin(where: Path, material: Material, rng: Chances) -> dict[str, Any]:
    version = rng.choice([API, API, f"{API}beta1"])
    status: Any = {"token": f"{material.secret}-of-plugin"}
    if rng.odd(0.3):
        status = rng.choice(
            [
                *(None, {}, {"token": None}, {"token": ""}, "x", {"token": 7}),
                {
                    "clientCertificateData": (material.folder / "jane.crt").read_text(),
                    "clientKeyData": (material.folder / "jane.key").read_text(),
                },
                {"clientKeyData": (material.folder / "jane.key").read_text()},
                {"token": material.secret, "expirationTimestamp": "soon"},
                {
                    "token": material.secret,
                    "expirationTimestamp": "2099-01-01T00:00:00Z",
                },
            ]
        )
    answer: Any = {"apiVersion": version, "kind": "ExecCredential", "status": status}
    if rng.odd(0.1):
        del answer[rng.choice(list(answer))]
    script = where / "plugin"
    code = 3 if rng.odd(0.15) else 0
    printed = shlex.quote(json.dumps(answer))
    if rng.odd(0.05):
        printed = rng.choice(["''", "nonsense", "'[]'", "null"])
    script.write_text(f"#!/bin/sh\necho {printed}\nexit {code}\n")
    script.chmod(0o755)
    command: Any = rng.choice([str(script), "../plugin"])
    if rng.odd(0.2):
        command = rng.choice(["no-such", "", None])
    exec_: dict[str, Any] = {
        "apiVersion": version,
        "command": command,
        "interactiveMode": rng.choice(["IfAvailable", "Never"]),
    }
    if rng.odd(0.2):
        exec_["interactiveMode"] = rng.choice(["Always", "Sometimes", "", None, 1])
    elif rng.odd(0.2):
        del exec_["interactiveMode"]
    if rng.odd(0.3):
        ways: list[tuple[str, list[Any]]] = [
            ("args", [["a"], [], None, [1], "x", [material.secret]]),
            (
                "env",
                [
                    *([{"name": "A", "value": material.secret}], [], None, "x"),
                    *(
                        [{"name": "A"}],
                        [{"value": "b"}],
                        [{"name": "", "value": ""}],
                    ),
                ],
            ),
            ("provideClusterInfo", [True, False, None, "x"]),
            ("apiVersion", ["", None, f"{API}alpha1", "v1", 1]),
            ("installHint", ["get it", None, 1]),
        ]
        key, values = rng.choice(ways)
        exec_[key] = rng.choice(values)
    odd: list[Any] = [None, {}, [], "x"]
    return {"exec": rng.choice(odd) if rng.odd(0.1) else exec_}


def _provider(_where: Path, material: Material, rng: Chances) -> dict[str, Any]:
    secret = material.secret
    token = _claims(secret, exp=4_000_000_000)
    config: Any = {
        "idp-issuer-url": "https://127.0.0.1:9",
        "client-id": "x",
        "client-secret": secret,
        "refresh-token": secret,
        "id-token": token,
    }
    if rng.odd(0.3):
        config[rng.choice(list(config))] = rng.choice(
            ["", None, 7, "x.y.z", _claims(secret, exp=1), _claims(secret)]
        )
    if rng.odd(0.2):
        del config[rng.choice(list(config))]
    if rng.odd(0.1):
        config = rng.choice([None, {}, [], secret])
    name = rng.choice(["gcp", "azure", "odd", "", None]) if rng.odd(0.4) else "oidc"
    return {"auth-provider": {"name": name, "config": config}}


def _spoil(parts: dict[str, Any], rng: Chances) -> None:
    """Put a mistake into the lists."""
    key = rng.choice(["clusters", "users", "contexts"])
    listed = parts[key]
    one = listed[0]
    way = rng.randrange(8)
    if way == 0:
        listed.append(dict(one))
    elif way == 1:
        parts[key] = rng.choice([None, {}, [], "x", [None], [7], [{}]])
    elif way == 2:
        one["name"] = rng.choice([None, "", 7, "other"])
    elif way == 3:
        one[f"{key[:-1]}s"] = one.pop(key[:-1])
    elif way == 4:
        one["more"] = {"a": 1}
    elif way == 5:
        parts["kind"] = rng.choice(["Config", "config", "Pod", None, 1])
    elif way == 6:
        parts["apiVersion"] = rng.choice(["v1", "v2", None, "", "apps/v1"])
    else:
        listed.append(
            {"name": "unused", key[:-1]: rng.choice([{}, None, {"token": 1}])}
        )


def _spread(parts: dict[str, Any], rng: Chances) -> list[dict[str, Any]]:
    """Put the parts into one file, or each into one of some."""
    head = {"apiVersion": "v1", "kind": "Config"}
    if rng.odd(0.15):
        head = rng.choice([{}, {"kind": "Config"}, {"apiVersion": "v1"}])
    if not rng.odd(0.4):
        return [head | parts]
    files: list[dict[str, Any]] = [dict(head) for _ in range(rng.choice([2, 3]))]
    for key, value in parts.items():
        rng.choice(files)[key] = value
    if rng.odd(0.3):
        # of two with one name the first counts
        other = {"name": "u", "user": {"token": "other"}}
        rng.choice(files).setdefault("users", [other])
    return files


def _text(content: dict[str, Any], rng: Chances) -> bytes:
    """Write a file as YAML or JSON, with the oddities that either may have."""
    text = rng.choice(
        [
            *(json.dumps(content), json.dumps(content, indent="\t")),
            *(yaml.safe_dump(content), yaml.safe_dump(content, allow_unicode=True)),
        ]
    )
    odd = [
        *(f"---\n{text}", f"{text}\n---\na: 1\n", text.replace("\n", "\r\n")),
        *(f"\ufeff{text}", f"{text}\nmore: [\n", text.replace("token", "token:", 1)),
        *(f"{text}\nkind: Config\n", f"# a comment\n\n{text}\n# another\n"),
    ]
    chosen = rng.choice(odd) if rng.odd(0.2) else text
    return chosen.encode(errors="surrogatepass")
