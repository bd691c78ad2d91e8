"""Read one context from kubeconfigs, by the rules of `kubectl`.

Several files are merged: of entries with one name the first counts, and a relative path
is relative to its file. Types of all entries are checked, and of several credentials
those are taken that `kubectl` takes: the client library gets one complete context and
never has to guess. `make kubectl` compares what both send, or that both refuse.

Refused here, and not by `kubectl`:

* ``as`` and what belongs to it: cmhot acts as nobody else.
* A user without credentials at an address of https, where `kubectl` asks for some at
  a terminal, or goes on without if the entry has a lone key or password.
* Credentials for an address of http on another machine, which `kubectl` does not send.
  To this machine they are sent.
* A token with characters that RFC 6750 does not allow, an address with a user in it,
  a namespace that cannot be one, a SOCKS proxy, what follows the end of JSON, and a
  plugin's answer without its kind.

Refused by `kubectl` alone: a plugin of v1 that does not say its ``interactiveMode``.

No message quotes the content of a user's entry, but the command of a plugin: a misspelt
key may be beside a token, and the token may stand where a path should.
Sources: ``k8s.io/client-go/tools/clientcmd`` (`loader.go`, `validation.go`,
`client_config.go`), and the documentation "Organizing Cluster Access Using kubeconfig
Files".
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
import ssl
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import yaml

from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

DEFAULT_FILE = Path("~/.kube/config")
"""Where the kubeconfig is unless KUBECONFIG says otherwise, as for kubectl."""
LARGEST_FILE_BYTES = 16 * 2**20  # two hundred contexts with certificates take 2 MiB

_PLACEHOLDERS = ("DATA+OMITTED", "REDACTED")  # `kubectl config view` writes them
_REMOVED_PROVIDERS = {
    "gcp": "gke-gcloud-auth-plugin (`gcloud container clusters get-credentials`)",
    "azure": "kubelogin (`kubelogin convert-kubeconfig`)",
}
_LIST = (
    "`kubectl config get-contexts` lists those there are, KUBECONFIG names the files"
)
_POINT = "point KUBECONFIG at the file that kubectl uses"


@dataclass(frozen=True, slots=True)
class Access:
    """The address, credentials and proxy of one context, complete and checked.

    Attributes
    ----------
    context
        Its name.
    namespace
        The context's; None: it has none, which is ``default`` to `kubectl`.
    kubeconfig
        A kubeconfig of this context alone, its paths absolute, its proxy without
        credentials.
    proxy_credentials
        ``user:password`` for the proxy; None: it asks for none.
    plugin
        The command that gives the credentials; None: they stand in the file.
    """

    context: str
    namespace: str | None
    kubeconfig: Mapping[str, Any] = field(repr=False)
    proxy_credentials: str | None = field(default=None, repr=False)
    plugin: str | None = None

    @property
    def has_proxy(self) -> bool:
        """Whether the kubeconfig names a proxy."""
        return "proxy-url" in self.kubeconfig["clusters"][0]["cluster"]

    @property
    def provider(self) -> str | None:
        """The address of the identity provider; None: there is none to ask."""
        user = self.kubeconfig["users"][0]["user"]
        if "auth-provider" not in user:
            return None
        address: str = user["auth-provider"]["config"]["idp-issuer-url"]
        return address

    @property
    def insecure(self) -> bool:
        """Whether the API server's certificate is not to be checked."""
        cluster = self.kubeconfig["clusters"][0]["cluster"]
        return bool(cluster.get("insecure-skip-tls-verify"))


def read_access(
    context: str | None,
    *,
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Access:
    """Read how a context's API server is reached.

    Parameters
    ----------
    context
        Its name; None takes the current one of `path`.
    path
        The only file to read; None for those of ``KUBECONFIG`` or ``~/.kube/config``.
    environ
        The environment; None for that of this process.

    Raises
    ------
    UsageError
        There is no such context, or `kubectl` would not use it either.
    """
    merged = _Merged.of(_files(path, os.environ if environ is None else environ))
    name = context or merged.current
    if not name:
        msg = f"the kubeconfig {merged.where} has no current context: name one; {_LIST}"
        raise UsageError(msg)
    if name not in merged.contexts:
        why = f"{merged.hint(name)}{_LIST}"
        msg = f"the kubeconfig {merged.where} has no context {name!r}: {why}"
        raise UsageError(msg)
    entry = merged.contexts[name]
    about = f"context {name!r} in {entry.file}"
    cluster = merged.named("cluster", merged.clusters, entry, about)
    user = merged.named("user", merged.users, entry, about)
    namespace = _text(entry, "namespace")
    if namespace and not _LABEL.fullmatch(namespace):
        msg = f"`namespace` of {about} cannot name one: correct it"
        raise UsageError(msg)
    there, credentials = _checked_cluster(cluster)
    who = _checked_user(user)
    _check_way(cluster, there["server"], user, known=bool(who))
    plugin = who["exec"]["command"] if "exec" in who else None
    return Access(
        context=name,
        namespace=namespace or None,
        kubeconfig={
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": there}],
            "users": [{"name": "u", "user": who}],
        },
        proxy_credentials=credentials,
        plugin=plugin,
    )


_LABEL = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""Of a namespace: a DNS label of RFC 1123."""


def _check_way(cluster: _Entry, server: str, user: _Entry, *, known: bool) -> None:
    """Refuse to send credentials where others read them, and to go on without any.

    `kubectl` sends none to an address of http, and asks for some at a terminal where
    there are none for one of https.
    """
    parts = urlsplit(server)
    host = parts.hostname or ""
    here = host in {"localhost", "::1"} or host.startswith("127.")
    if known and parts.scheme == "http" and not here:
        msg = (
            f"`server` of {cluster} is reached by http, where others could read the "
            f"credentials of {user}: use https"
        )
        raise UsageError(msg)
    if not known and parts.scheme == "https":
        msg = f"{user} has no credentials that can be used: log in"
        raise UsageError(msg)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A named cluster, user or context, and the file that has it."""

    kind: str
    name: str
    file: Path
    value: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} in {self.file}"


@dataclass(slots=True)
class _Merged:
    """All files merged; of entries with one name, the first file's counts."""

    files: list[Path]
    clusters: dict[str, _Entry] = field(default_factory=dict)
    users: dict[str, _Entry] = field(default_factory=dict)
    contexts: dict[str, _Entry] = field(default_factory=dict)
    current: str = ""

    @classmethod
    def of(cls, files: Sequence[Path]) -> _Merged:
        merged = cls(list(files))
        for file in files:
            content = _load(file)
            for kind, known in (
                ("cluster", merged.clusters),
                ("user", merged.users),
                ("context", merged.contexts),
            ):
                for entry in _entries(content, kind, file):
                    known.setdefault(entry.name, entry)
            merged.current = merged.current or content.get("current-context") or ""
        return merged

    @property
    def where(self) -> str:
        return " and ".join(map(str, self.files))

    def hint(self, name: str) -> str:
        """Name a context that differs in case or by a slip of a finger."""
        import difflib  # noqa: PLC0415 - for a message only

        close = difflib.get_close_matches(name, self.contexts, 1)
        return f"did you mean {close[0]!r}? " if close else ""

    def named(
        self, kind: str, known: Mapping[str, _Entry], context: _Entry, about: str
    ) -> _Entry:
        """Return the cluster or user that a context names."""
        name = _text(context, kind)
        if not name:
            msg = f"{about} names no {kind}"
            raise UsageError(msg)
        if name not in known:
            msg = (
                f"{about} names the {kind} {name!r}, which is not in {self.where}: "
                f"add the file that has it to KUBECONFIG, or correct the name"
            )
            raise UsageError(msg)
        return known[name]


def _files(path: Path | None, environ: Mapping[str, str]) -> list[Path]:
    """List the files that exist, as `kubectl` finds them."""
    if path is not None:
        if not path.exists():
            msg = f"there is no kubeconfig at {path}"
            raise UsageError(msg)
        return [path]
    named = [part for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    wanted = list(dict.fromkeys(map(Path, named))) or [DEFAULT_FILE.expanduser()]
    there = [file for file in wanted if file.exists()]
    if not there:
        said = "KUBECONFIG names" if named else "the default is"
        msg = (
            f"there is no kubeconfig: {said} {' and '.join(map(str, wanted))}; {_POINT}"
        )
        raise UsageError(msg)
    return [file.absolute() for file in there]


class _Loader(yaml.SafeLoader):
    """YAML whose plain scalars are read by `_plain`."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as PyYAML has it
        "<": [("tag:yaml.org,2002:merge", re.compile("<<$"))],
        None: [("!plain", re.compile(""))],
    }

    def _read(self, node: yaml.Node) -> object:
        return _plain(str(node.value))

    def _binary(self, node: yaml.Node) -> str:
        """Read it as text, in which JSON has it: bytes that are none are replaced."""
        text = re.sub(r"[\r\n]", "", str(node.value))
        return base64.b64decode(text, validate=True).decode(errors="replace")

    def _untagged(self, node: yaml.Node) -> object:
        """Pass over a tag that nobody knows: a scalar with one is text."""
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        return str(node.value)

    def construct_mapping(
        self, node: yaml.MappingNode, *more: bool, **most: bool
    ) -> dict[Any, Any]:
        found: dict[Any, Any] = super().construct_mapping(node, *more, **most)
        if None in found:
            msg = "JSON, as which it is sent, has no null as a key"
            raise ValueError(msg)
        return found


_Loader.add_constructor("!plain", _Loader._read)  # noqa: SLF001 - its own
# what merges as a key is text as a value
_Loader.add_constructor("tag:yaml.org,2002:merge", _Loader._read)  # noqa: SLF001
_Loader.add_constructor("tag:yaml.org,2002:binary", _Loader._binary)  # noqa: SLF001
_Loader.add_constructor(None, _Loader._untagged)  # noqa: SLF001

_WORDS: dict[str, object] = {
    **dict.fromkeys(re.split(" ", "y Y yes Yes YES true True TRUE on On ON"), True),
    **dict.fromkeys(re.split(" ", "n N no No NO false False FALSE off Off OFF"), False),
    **dict.fromkeys(re.split(" ", " ~ null Null NULL"), None),
}
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INTEGER = re.compile(r"([-+]?)(0[bB][01]+|0[oO]?[0-7]+|0[xX][0-9a-fA-F]+|0|[1-9]\d*)")
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?", re.ASCII)


def _plain(text: str) -> object:
    """Read a plain scalar as ``resolve.go`` of sigs.k8s.io/yaml/goyaml.v2 does.

    Dates stay text there, and so does base 60, which it "purposefully" leaves out.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _NO_NUMBER.fullmatch(text):
        msg = "JSON, as which it is sent, has no such number"
        raise ValueError(msg)
    if text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "")
    if found := _INTEGER.fullmatch(digits):
        sign, digits_alone = found.groups()
        octal = re.match("0[0-7]", digits_alone)
        value = int(digits_alone, 8 if octal else 0) * (-1 if sign == "-" else 1)
        if -(2**63) <= value < 2**64:
            return value
    if not _FLOAT.fullmatch(digits) or math.isinf(number := float(digits)):
        return text
    return int(number) if number.is_integer() else number


def load_yaml(text: str) -> list[Any]:
    """Read documents of YAML as `kubectl` does.

    Raises
    ------
    yaml.YAMLError, ValueError, RecursionError
        It is none; the error's text quotes what is there, which may be secret.
    """
    # safe: a subclass of SafeLoader; kubectl reads by lines, and each one ends
    return list(yaml.load_all(text if text.endswith("\n") else f"{text}\n", _Loader))


def _load(file: Path) -> dict[str, Any]:
    """Parse a file, and check the types of all entries; an empty one has none."""
    try:
        with file.open("rb") as opened:
            data = opened.read(LARGEST_FILE_BYTES + 1)
        if len(data) > LARGEST_FILE_BYTES:
            msg = f"the kubeconfig {file} is larger than any: {_POINT}"
            raise UsageError(msg)
        text = data.decode("utf-8-sig")
        # JSON may have tabs where YAML may not
        is_json = text.lstrip().startswith("{")
        content = json.loads(text) if is_json else next(iter(load_yaml(text)), None)
    except OSError as error:
        msg = f"the kubeconfig {file} cannot be read: {error.strerror}; {_POINT}"
        raise UsageError(msg) from error
    except (yaml.YAMLError, ValueError, RecursionError):
        # the error's text would quote a line, which may hold a token
        msg = f"the kubeconfig {file} is neither YAML nor JSON: {_POINT}"
        raise UsageError(msg) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        msg = f"the kubeconfig {file} is no mapping: {_POINT}"
        raise UsageError(msg)
    wrong = _wrong(content, _FILE)
    for key, expected in (("apiVersion", "v1"), ("kind", "Config")):
        if not wrong and content.get(key) not in {None, "", expected}:
            wrong = key, f"is not {expected}"
    if wrong:
        where, what = wrong
        msg = f"`{where}` in the kubeconfig {file} {what}: {_POINT}"
        raise UsageError(msg)
    return content


def _entries(content: Mapping[str, Any], kind: str, file: Path) -> Iterator[_Entry]:
    """Give the named entries of one kind, their values of the types they must have."""
    seen = set()
    for one in content.get(f"{kind}s") or []:
        name, value = (one or {}).get("name") or "", (one or {}).get(kind)
        if name in seen:
            msg = f"{file} has two {kind}s of the name {name!r}: kubectl refuses it too"
            raise UsageError(msg)
        seen.add(name)
        entry = _Entry(kind, name, file, value or {})
        if value is None and set(one or {}) - {"name", kind}:
            msg = f"{entry} has no `{kind}:`, but keys of other names"
            raise UsageError(msg)
        if wrong := _wrong(value, _TYPES[kind]):
            what = f"`{wrong[0]}` of {entry}" if wrong[0] else str(entry)
            msg = f"{what} {wrong[1]}"
            raise UsageError(msg)
        yield entry


_TEXT, _FLAG, _BYTES, _ANYTHING = "text", "flag", "bytes", "anything"
_FILE = {
    **dict.fromkeys(("apiVersion", "kind", "current-context"), _TEXT),
    **{f"{one}s": [{"name": _TEXT}] for one in ("cluster", "user", "context")},
}
_TOKENS = ("id-token", "refresh-token")
_EXTENSIONS = [{"name": _TEXT, "extension": _ANYTHING}]
_TYPES: Mapping[str, Any] = {
    "cluster": {
        **dict.fromkeys(("server", "tls-server-name", "proxy-url"), _TEXT),
        **dict.fromkeys(("insecure-skip-tls-verify", "disable-compression"), _FLAG),
        "certificate-authority": _TEXT,
        "certificate-authority-data": _BYTES,
        "extensions": _EXTENSIONS,
    },
    "context": {
        **dict.fromkeys(("cluster", "user", "namespace"), _TEXT),
        "extensions": _EXTENSIONS,
    },
    "user": {
        **dict.fromkeys(("client-certificate", "client-key", "token"), _TEXT),
        **dict.fromkeys(("tokenFile", "username", "password"), _TEXT),
        **dict.fromkeys(("client-certificate-data", "client-key-data"), _BYTES),
        **dict.fromkeys(("as", "as-uid"), _TEXT),
        "as-groups": [_TEXT],
        "as-user-extra": {"": [_TEXT]},
        "auth-provider": {
            "name": _TEXT,
            "config": dict.fromkeys(
                ("idp-issuer-url", "client-id", "client-secret", *_TOKENS, ""), _TEXT
            ),
        },
        "exec": {
            **dict.fromkeys(("command", "apiVersion", "installHint"), _TEXT),
            "interactiveMode": _TEXT,
            "args": [_TEXT],
            "env": [{"name": _TEXT, "value": _TEXT}],
            "provideClusterInfo": _FLAG,
        },
        "extensions": _EXTENSIONS,
    },
}
"""Types of the keys that there are; "" stands for any key.

Source: ``k8s.io/client-go/tools/clientcmd/api/v1/types.go``.
"""


def _wrong(value: Any, shape: Any) -> tuple[str, str] | None:  # noqa: ANN401
    """Say which value first is not of its type, and what is wrong; null is of each."""
    if value is None or shape == _ANYTHING:
        return None
    if isinstance(shape, str):
        what = _SCALARS[shape](value)
        return None if what is None else ("", what)
    if not isinstance(value, type(shape)):
        return "", "is no list" if isinstance(shape, list) else "is no mapping"
    for key, one in enumerate(value) if isinstance(shape, list) else value.items():
        inner = shape[0] if isinstance(shape, list) else shape.get(key, shape.get(""))
        found = None if inner is None else _wrong(one, inner)
        if found:
            # other keys of an open mapping are the user's own words
            name = key if key in shape else "…"
            place = f"[{key}]" if isinstance(shape, list) else name
            return f"{place}.{found[0]}".replace(".[", "[").rstrip("."), found[1]
    return None


def _no_text(value: object) -> str | None:
    is_text = isinstance(value, str)
    return None if is_text else "is no text: put it in quotation marks"


def _no_flag(value: object) -> str | None:
    return None if isinstance(value, bool) else "is neither true nor false"


def _no_bytes(value: object) -> str | None:
    if not isinstance(value, str):
        return _no_text(value)
    if value.strip() in _PLACEHOLDERS:
        return (
            "is a placeholder of `kubectl config view`: write the file with "
            "`kubectl config view --raw`"
        )
    try:
        base64.b64decode(re.sub("[\r\n]", "", value), validate=True)
    except ValueError:
        return "is not base64: was it cut short?"
    return None


_SCALARS: Mapping[str, Callable[[object], str | None]] = {
    _TEXT: _no_text,
    _FLAG: _no_flag,
    _BYTES: _no_bytes,
}


def _text(entry: _Entry, key: str) -> str:
    """Return the text at a key of an entry; empty: the key is not there."""
    return str(entry.value.get(key) or "")


def _file_of(entry: _Entry, key: str) -> Path | None:
    """Return an absolute path; a relative one is relative to the entry's file."""
    text = _text(entry, key)
    return entry.file.absolute().parent / text if text else None


def _content(entry: _Entry, key: str) -> bytes | None:
    """Return the content of ``KEY-data``, or of the file that ``KEY`` names."""
    data, file = _text(entry, f"{key}-data"), _file_of(entry, key)
    if data and file:
        msg = f"{entry} has both {key} and {key}-data: kubectl refuses it too"
        raise UsageError(msg)
    if data:
        return base64.b64decode(data)
    if file is None:
        return None
    return _read(entry, key, file)


def _read(entry: _Entry, key: str, file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(LARGEST_FILE_BYTES)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no name of a file"
        # what stands there may be the key itself, by mistake
        where = "" if entry.kind == "user" else f": {file}"
        msg = f"`{key}` of {entry} cannot be read: {why}{where}"
        raise UsageError(msg) from error


def _checked_cluster(entry: _Entry) -> tuple[dict[str, Any], str | None]:
    """Return a cluster's entry for the client, and credentials for its proxy."""
    there: dict[str, Any] = {"server": _checked_server(entry)}
    insecure = entry.value.get("insecure-skip-tls-verify")
    authority = _content(entry, "certificate-authority")
    if insecure and authority is not None:
        msg = (
            f"{entry} has a certificate-authority and insecure-skip-tls-verify: "
            "take one of them away, as kubectl asks for too"
        )
        raise UsageError(msg)
    if insecure:
        there["insecure-skip-tls-verify"] = True
    if authority is not None:
        _check_authority(entry, authority)
        there["certificate-authority-data"] = base64.b64encode(authority).decode()
    if name := _text(entry, "tls-server-name"):
        there["tls-server-name"] = name
    credentials = None
    if proxy := _text(entry, "proxy-url"):
        there["proxy-url"], credentials = split_proxy(f"the {entry}'s", proxy)
    if extensions := entry.value.get("extensions"):
        there["extensions"] = extensions  # a plugin may get the cluster's entry
    return there, credentials


def _checked_server(entry: _Entry) -> str:
    """Return the API server's address, without what is not sent to it."""
    server = _text(entry, "server")
    try:
        parts = urlsplit(server)
        known = parts.scheme in {"http", "https"} and parts.hostname
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        known = None
    if not known or server != server.strip():
        said = (
            f"`server` of {entry} is no address" if server else f"{entry} has no server"
        )
        msg = f"{said}: it is like https://10.0.0.1:6443"
        raise UsageError(msg)
    if "@" in parts.netloc:
        msg = f"`server` of {entry} has a user in it, which belongs into a user's entry"
        raise UsageError(msg)
    return urlunsplit(parts._replace(query="", fragment=""))  # the scheme in lower case


def _check_authority(entry: _Entry, authority: bytes) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            cadata=authority.decode("ascii")
        )
    except (ssl.SSLError, ValueError):
        msg = f"the certificate-authority of {entry} is no certificate in PEM"
        raise UsageError(msg) from None


def split_proxy(whose: str, text: str) -> tuple[str, str | None]:
    """Return a proxy's address without credentials, and these, ``user:password``.

    Raises
    ------
    UsageError
        It is no address of an HTTP proxy; the message names `whose` alone.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    else:
        if parts.scheme.startswith("socks"):
            msg = (
                f"{whose} proxy is a SOCKS proxy, which cmhot does not use: put an "
                "HTTP proxy before it, or except the API server by NO_PROXY"
            )
            raise UsageError(msg)
    if not host or parts.scheme not in {"http", "https"}:
        msg = f"{whose} proxy has no address like http://10.0.0.1:3128"
        raise UsageError(msg)
    place = f"[{host}]" if ":" in host else host
    bare = urlunsplit(parts._replace(netloc=f"{place}:{port}" if port else place))
    if parts.username is None:
        return bare, None
    return bare, f"{unquote(parts.username)}:{unquote(parts.password or '')}"


def _checked_user(entry: _Entry) -> dict[str, Any]:
    """Return a user's entry for the client, or say why it cannot be used.

    Of several credentials those are taken that `kubectl` takes: a plugin is not asked
    beside others, nor an identity provider beside a token or a password.
    """
    who = _certificate_of(entry) | _token_of(entry)
    if name := _text(entry, "username"):
        if who.keys() & {"token", "tokenFile"}:
            msg = f"{entry} has a token and a username: kubectl refuses it too"
            raise UsageError(msg)
        who |= {"username": name, "password": _text(entry, "password")}
    elif _text(entry, "password") and _text(entry, "token"):
        msg = f"{entry} has a token and a password: kubectl refuses it too"
        raise UsageError(msg)
    plugin, provider = entry.value.get("exec"), entry.value.get("auth-provider")
    if plugin is not None and provider is not None:
        msg = f"{entry} has exec and auth-provider: kubectl refuses it too"
        raise UsageError(msg)
    if plugin is not None:
        checked = _checked_plugin(entry, plugin)
        who = who or {"exec": checked}
    if provider is not None:
        settings = _provider_of(entry, provider)
        if not who.keys() & {"token", "tokenFile", "username"}:
            who["auth-provider"] = _checked_provider(settings)
    acting = [key for key in _ACTING if entry.value.get(key)]
    if acting:
        msg = (
            f"{entry} has `{acting[0]}`, and cmhot acts as nobody else: name a context "
            "of that user itself"
        )
        raise UsageError(msg)
    return who


_ACTING = ("as", "as-uid", "as-groups", "as-user-extra")


def _certificate_of(entry: _Entry) -> dict[str, Any]:
    certificate = _content(entry, "client-certificate")
    if certificate is None:
        return {}  # a key alone says nobody's name
    key = _content(entry, "client-key")
    if key is None:
        msg = f"{entry} has no client-key, but what belongs to it"
        raise UsageError(msg)
    _check_pair(entry, certificate, key)
    return {
        "client-certificate-data": base64.b64encode(certificate).decode(),
        "client-key-data": base64.b64encode(key).decode(),
    }


def _token_of(entry: _Entry) -> dict[str, Any]:
    """Return the token in an entry, or in the file that it names, which wins."""
    token, file = _text(entry, "token"), _file_of(entry, "tokenFile")
    if file is not None:
        try:
            _read_token(file)
        except ValueError as error:
            why = str(error)
        except OSError as error:
            why = f"cannot be read: {error.strerror}"
        else:
            return {"tokenFile": str(file)}
        if not token:
            msg = f"`tokenFile` of {entry} {why}"
            raise UsageError(msg)
    if not token:
        return {}
    if not _TOKEN.fullmatch(token):
        msg = f"`token` of {entry} has characters that no token has: log in again"
        raise UsageError(msg)
    return {"token": token}


_TOKEN = re.compile("[!-~]+")
"""What a token is made of, and can be sent in an HTTP header."""


def _read_token(file: Path) -> None:
    """Read a token from a file of its own, to see whether it is one.

    Raises
    ------
    OSError, ValueError
        It cannot be read, or holds no token.
    """
    with file.open("rb") as opened:
        token = opened.read(LARGEST_FILE_BYTES).decode(errors="replace").strip()
    if not _TOKEN.fullmatch(token):
        msg = "has characters that no token has" if token else "is empty"
        raise ValueError(f"{msg}: log in again")


def load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Have connections show a certificate.

    The library reads it from a file alone: where there is such a thing, from one in
    memory, so that no key comes to a disk.

    Raises
    ------
    ssl.SSLError
        They are none, or do not belong to each other.
    """
    content = certificate + b"\n" + key
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("cmhot"), "wb") as file:
            file.write(content)
            file.flush()
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password="")
        return
    import tempfile  # noqa: PLC0415 - elsewhere than on Linux

    with tempfile.NamedTemporaryFile(prefix="cmhot-") as file:
        file.write(content)
        file.flush()
        context.load_cert_chain(file.name, password="")


def _is_pair(certificate: bytes, key: bytes) -> bool:
    """Report whether the library for TLS takes them."""
    try:
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, key)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _check_pair(entry: _Entry, certificate: bytes, key: bytes) -> None:
    """Refuse a client certificate that is invalid or does not belong to the key."""
    if _is_pair(certificate, key):
        return
    from cryptography import x509  # noqa: PLC0415 - it says what is wrong
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    try:
        first = x509.load_pem_x509_certificates(certificate)[0]
    except (ValueError, IndexError):
        msg = f"the client-certificate of {entry} is no certificate in PEM"
        raise UsageError(msg) from None
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError):
        msg = f"the client-key of {entry} is no key in PEM, or has a password"
        raise UsageError(msg) from None
    form = (
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo,
    )
    if first.public_key().public_bytes(*form) != private.public_key().public_bytes(
        *form
    ):
        msg = f"the client-key of {entry} does not belong to its client-certificate"
        raise UsageError(msg)


def _checked_plugin(entry: _Entry, plugin: Mapping[str, Any]) -> dict[str, Any]:
    """Return an exec plugin's entry; a relative command is relative to the file."""
    inner = _Entry("exec of user", entry.name, entry.file, plugin)
    command, version = _text(inner, "command"), _text(inner, "apiVersion")
    if not command or not version:
        msg = f"{inner} names no {'apiVersion' if command else 'command'}"
        raise UsageError(msg)
    mode = _text(inner, "interactiveMode") or "IfAvailable"
    if version not in _PLUGIN_VERSIONS:
        msg = f"`apiVersion` of {inner} is none of {' and '.join(_PLUGIN_VERSIONS)}"
        raise UsageError(msg)
    if mode not in _MODES:
        msg = f"`interactiveMode` of {inner} is none of {', '.join(_MODES)}"
        raise UsageError(msg)
    if mode == "Always" and not sys.stdin.isatty():
        msg = f"{inner} wants to ask at a terminal, and this is none: log in by hand"
        raise UsageError(msg)
    env = [one or {} for one in plugin.get("env") or []]
    if not all(one.get("name") for one in env):
        msg = f"`env` of {inner} has a value without a name"
        raise UsageError(msg)
    # one without a slash is found in PATH
    where = entry.file.absolute().parent / command if os.sep in command else command
    return {
        "apiVersion": version,
        "command": str(where),
        "args": [one or "" for one in plugin.get("args") or []],
        "env": [{"name": one["name"], "value": one.get("value") or ""} for one in env],
        "provideClusterInfo": bool(plugin.get("provideClusterInfo")),
    }


_PLUGIN_VERSIONS = (
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
)
_MODES = ("Never", "IfAvailable", "Always")
"""Of a plugin that may ask something; `kubectl` wants v1 to say which."""


def _provider_of(entry: _Entry, provider: Mapping[str, Any]) -> _Entry:
    """Return the settings of OpenID Connect; `kubectl` knows no other provider."""
    name = _text(_Entry("auth-provider", "", entry.file, provider), "name")
    if name != "oidc":
        instead = _REMOVED_PROVIDERS.get(name)
        msg = (
            f"the auth-provider {name!r} of {entry} was removed from Kubernetes: "
            f"use the exec plugin {instead}"
            if instead
            else f"{entry} has an auth-provider that kubectl does not know: log in "
            "again"
        )
        raise UsageError(msg)
    given = provider.get("config") or {}
    settings = _Entry("OpenID Connect of user", entry.name, entry.file, given)
    for key in ("idp-issuer-url", "client-id"):
        if not given.get(key):
            msg = f"{settings} has no {key}: log in again"
            raise UsageError(msg)
    return settings


def _checked_provider(settings: _Entry) -> dict[str, Any]:
    """Return an OpenID Connect provider's entry for the client."""
    keys = ("idp-issuer-url", "client-id", "client-secret", "refresh-token")
    config = {key: _text(settings, key) for key in (*keys, "id-token")}
    if not _is_jwt(config["id-token"]):
        what = "is no token of OpenID Connect" if config["id-token"] else "is missing"
        msg = f"`id-token` of {settings} {what}: log in again"
        raise UsageError(msg)
    authority = _content(settings, "idp-certificate-authority")
    if authority is None:  # the client would check none, kubectl takes the public ones
        import certifi  # noqa: PLC0415 - for this alone

        authority = Path(certifi.where()).read_bytes()
    else:
        _check_authority(settings, authority)
    encoded = base64.b64encode(authority).decode()
    config["idp-certificate-authority-data"] = encoded
    return {"name": "oidc", "config": config}


def _is_jwt(token: str) -> bool:
    """Report whether a token is a JWT, from which its expiry can be read."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature: RFC 7519
        return False
    claims = parts[1] + "=" * (-len(parts[1]) % 4)
    try:
        return isinstance(json.loads(base64.urlsafe_b64decode(claims)), dict)
    except (ValueError, RecursionError):
        return False
