"""Read one context from kubeconfigs, by the rules of `kubectl`.

Several files are merged: of entries with one name the first counts, and a relative path
is relative to its file. Beyond that, whatever `kubectl` would refuse is refused here:
the client library gets one complete context and never has to guess, and no API server
is asked without credentials because a name was misspelt.

No message quotes the content of a user's entry: a misspelt key may be beside a token.
Sources: ``k8s.io/client-go/tools/clientcmd`` (`loader.go`, `validation.go`,
`client_config.go`), and the documentation "Organizing Cluster Access Using kubeconfig
Files".
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import certifi
import yaml

from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    there, credentials = _checked_cluster(cluster)
    who = _checked_user(user)
    plugin = who["exec"]["command"] if "exec" in who else None
    namespace = _text(entry, "namespace")
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
            merged.current = merged.current or str(content.get("current-context") or "")
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
    """YAML without dates: a token that looks like one is text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in rules if not tag.endswith(":timestamp")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _load(file: Path) -> dict[str, Any]:
    """Parse a file; an empty one has no entries."""
    try:
        with file.open("rb") as opened:
            data = opened.read(LARGEST_FILE_BYTES + 1)
        if len(data) > LARGEST_FILE_BYTES:
            msg = f"the kubeconfig {file} is larger than any: {_POINT}"
            raise UsageError(msg)
        # safe: a subclass of SafeLoader
        content = yaml.load(data.decode("utf-8-sig"), _Loader)  # noqa: S506
    except OSError as error:
        msg = f"the kubeconfig {file} cannot be read: {error.strerror}; {_POINT}"
        raise UsageError(msg) from error
    except (yaml.YAMLError, ValueError, RecursionError):
        # the error's text would quote a line, which may hold a token
        msg = f"the kubeconfig {file} is no YAML: {_POINT}"
        raise UsageError(msg) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        msg = f"the kubeconfig {file} is no mapping: {_POINT}"
        raise UsageError(msg)
    return content


def _entries(content: Mapping[str, Any], kind: str, file: Path) -> Iterator[_Entry]:
    """Give the named entries of one kind."""
    listed = content.get(f"{kind}s")
    if listed is None:
        return
    bad = (
        f"the kubeconfig {file} has {kind}s that are no list of a name and a {kind}: "
        f"{_POINT}"
    )
    if not isinstance(listed, list):
        raise UsageError(bad)
    seen = set()
    for one in listed:
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise UsageError(bad)
        name, value = one["name"], one.get(kind)
        if name in seen:
            msg = f"{file} has two {kind}s of the name {name!r}: kubectl refuses it too"
            raise UsageError(msg)
        seen.add(name)
        if value is None and set(one) - {"name", kind}:
            msg = f"{kind} {name!r} in {file} has no `{kind}:`, but keys of other names"
            raise UsageError(msg)
        if value is not None and not isinstance(value, dict):
            raise UsageError(bad)
        yield _Entry(kind, name, file, value or {})


def _text(entry: _Entry, key: str) -> str:
    """Return the text at a key of an entry; empty: the key is not there."""
    value = entry.value.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        msg = f"`{key}` of {entry} is no text: put it in quotation marks"
        raise UsageError(msg)
    return value


def _flag(entry: _Entry, key: str) -> bool:
    value = entry.value.get(key)
    if value is None or isinstance(value, bool):
        return bool(value)
    msg = f"`{key}` of {entry} is neither true nor false"
    raise UsageError(msg)


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
        return _decoded(entry, f"{key}-data", data)
    if file is None:
        return None
    return _read(entry, key, file)


def _read(entry: _Entry, key: str, file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(LARGEST_FILE_BYTES)
    except OSError as error:
        msg = f"`{key}` of {entry} cannot be read: {error.strerror}: {file}"
        raise UsageError(msg) from error


def _decoded(entry: _Entry, key: str, text: str) -> bytes:
    if text.strip() in _PLACEHOLDERS:
        msg = (
            f"`{key}` of {entry} is a placeholder of `kubectl config view`: "
            "write the file with `kubectl config view --raw`"
        )
        raise UsageError(msg)
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        msg = f"`{key}` of {entry} is not base64: was it cut short?"
        raise UsageError(msg) from None


def _checked_cluster(entry: _Entry) -> tuple[dict[str, Any], str | None]:
    """Return a cluster's entry for the client, and credentials for its proxy."""
    server = _text(entry, "server")
    try:
        parts = urlsplit(server)
        known = parts.scheme in {"http", "https"} and parts.hostname
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        known = None
    if not known:
        said = (
            f"`server` of {entry} is no address" if server else f"{entry} has no server"
        )
        msg = f"{said}: it is like https://10.0.0.1:6443"
        raise UsageError(msg)
    there: dict[str, Any] = {"server": server}
    insecure = _flag(entry, "insecure-skip-tls-verify")
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
    """Return a user's entry for the client, or say why it cannot be used."""
    who = _certificate_of(entry) | _token_of(entry)
    if name := _text(entry, "username"):
        if "token" in who or "tokenFile" in who:
            msg = f"{entry} has a token and a username: kubectl refuses it too"
            raise UsageError(msg)
        who |= {"username": name, "password": _text(entry, "password")}
    plugin, provider = entry.value.get("exec"), entry.value.get("auth-provider")
    if plugin is not None and provider is not None:
        msg = f"{entry} has exec and auth-provider: kubectl refuses it too"
        raise UsageError(msg)
    if plugin is not None:
        who["exec"] = _checked_plugin(entry, plugin)
    if provider is not None:
        who["auth-provider"] = _checked_provider(entry, provider)
    if not who and set(entry.value) - _USER_KEYS:
        msg = f"{entry} has no credentials, but keys that kubectl does not know"
        raise UsageError(msg)
    return who


def _certificate_of(entry: _Entry) -> dict[str, Any]:
    certificate = _content(entry, "client-certificate")
    key = _content(entry, "client-key")
    if certificate is None and key is None:
        return {}
    if certificate is None or key is None:
        missing = "client-key" if key is None else "client-certificate"
        msg = f"{entry} has no {missing}, but what belongs to it"
        raise UsageError(msg)
    _check_pair(entry, certificate, key)
    return {
        "client-certificate-data": base64.b64encode(certificate).decode(),
        "client-key-data": base64.b64encode(key).decode(),
    }


def _token_of(entry: _Entry) -> dict[str, Any]:
    token, file = _text(entry, "token"), _file_of(entry, "tokenFile")
    if file is not None:  # it wins over `token`, and may be renewed
        _check_token(entry, "tokenFile", _read(entry, "tokenFile", file).strip())
        return {"tokenFile": str(file)}
    if token:
        _check_token(entry, "token", token.encode())
        return {"token": token}
    return {}


_USER_KEYS = {
    "act-as",
    "as",
    "as-groups",
    "as-uid",
    "as-user-extra",
    "auth-provider",
    "client-certificate",
    "client-certificate-data",
    "client-key",
    "client-key-data",
    "exec",
    "extensions",
    "password",
    "token",
    "tokenFile",
    "username",
}


def _is_pair(certificate: bytes, key: bytes) -> bool:
    """Report whether the TLS library takes them, which reads files alone."""
    with tempfile.NamedTemporaryFile(prefix="cmhot-") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_cert_chain(file.name, password="")
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


def _check_token(entry: _Entry, key: str, value: bytes) -> None:
    """Refuse a token that cannot be sent in an HTTP header, without quoting it."""
    if not re.fullmatch(rb"[!-~]+", value):
        what = "has characters that no token has" if value else "is empty"
        msg = f"`{key}` of {entry} {what}: log in again"
        raise UsageError(msg)


def _checked_plugin(entry: _Entry, plugin: object) -> dict[str, Any]:
    """Return an exec plugin's entry; a relative command is relative to the file."""
    if not isinstance(plugin, dict):
        msg = f"`exec` of {entry} is no mapping"
        raise UsageError(msg)
    inner = _Entry("exec of user", entry.name, entry.file, plugin)
    command, version = _text(inner, "command"), _text(inner, "apiVersion")
    if not command or not version:
        msg = f"{inner} names no {'apiVersion' if command else 'command'}"
        raise UsageError(msg)
    args, env = plugin.get("args") or [], plugin.get("env") or []
    if not isinstance(args, list) or not all(isinstance(one, str) for one in args):
        msg = f"`args` of {inner} are no list of texts: put them in quotation marks"
        raise UsageError(msg)
    if not isinstance(env, list) or not all(
        isinstance(one, dict)
        and isinstance(one.get("name"), str)
        and isinstance(one.get("value"), str)
        for one in env
    ):
        msg = f"`env` of {inner} is no list of a name and a value"
        raise UsageError(msg)
    # one without a slash is found in PATH
    where = entry.file.absolute().parent / command if os.sep in command else command
    return {
        "apiVersion": version,
        "command": str(where),
        "args": args,
        "env": [{"name": one["name"], "value": one["value"]} for one in env],
        "provideClusterInfo": _flag(inner, "provideClusterInfo"),
    }


def _checked_provider(entry: _Entry, provider: object) -> dict[str, Any]:
    """Return an OpenID Connect provider's entry; `kubectl` knows no other provider."""
    if not isinstance(provider, dict):
        msg = f"`auth-provider` of {entry} is no mapping"
        raise UsageError(msg)
    inner = _Entry("auth-provider of user", entry.name, entry.file, provider)
    name = _text(inner, "name")
    if name != "oidc":
        instead = _REMOVED_PROVIDERS.get(name)
        msg = (
            f"the auth-provider {name!r} of {entry} was removed from Kubernetes: "
            f"use the exec plugin {instead}"
            if instead
            else f"{entry} has the auth-provider {name!r}, which kubectl does not know"
        )
        raise UsageError(msg)
    given = provider.get("config")
    if not isinstance(given, dict):
        msg = f"{inner} has no config: log in again"
        raise UsageError(msg)
    settings = _Entry("OpenID Connect of user", entry.name, entry.file, given)
    keys = ("idp-issuer-url", "client-id", "client-secret", "refresh-token")
    config = {key: _text(settings, key) for key in (*keys, "id-token")}
    for key in ("idp-issuer-url", "client-id", "id-token"):
        if not config[key]:
            msg = f"{settings} has no {key}: log in again"
            raise UsageError(msg)
    if not _is_jwt(config["id-token"]):
        msg = f"`id-token` of {settings} is no token of OpenID Connect: log in again"
        raise UsageError(msg)
    authority = _content(settings, "idp-certificate-authority")
    if authority is None:  # the client would check none, kubectl takes the public ones
        authority = Path(certifi.where()).read_bytes()
    else:
        _check_authority(settings, authority)
    encoded = base64.b64encode(authority).decode()
    config["idp-certificate-authority-data"] = encoded
    return {"name": name, "config": config}


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
