"""Kubeconfigs are read as kubectl reads them, and no message quotes a user's entry."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cmhot.cluster.kubeconfig import read_access, split_proxy
from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Write = Callable[..., Path]

SECRET = "S3CRET"  # noqa: S105 - planted, to be seen in no message


def claims(**content: Any) -> str:  # noqa: ANN401 - of a token
    """Make a token of the form that OpenID Connect has."""
    parts = [json.dumps(one).encode() for one in ({"alg": "none"}, content)]
    head, body = (base64.urlsafe_b64encode(part).decode().strip("=") for part in parts)
    return f"{head}.{body}.{SECRET}"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a kubeconfig of one context, `c`, with parts replaced."""

    def writing(
        *,
        user: Any = None,  # noqa: ANN401 - whatever somebody wrote
        cluster: dict[str, Any] | None = None,
        context: dict[str, Any] | None = None,
        name: str = "config",
        **whole: Any,  # noqa: ANN401
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        names = {"cluster": "k", "user": "u"}
        content = {
            "clusters": [
                {"name": "k", "cluster": {"server": "https://h:6443"} | (cluster or {})}
            ],
            "users": [{"name": "u", "user": user or {"token": SECRET}}],
            "contexts": [{"name": "c", "context": names | (context or {})}],
        }
        path.write_text(yaml.safe_dump(content | whole))
        return path

    return writing


def refusal(path: Path, context: str | None = "c") -> str:
    """Return the one sentence with which a file is refused."""
    with pytest.raises(UsageError) as raised:
        read_access(context, path=path)
    said = str(raised.value)
    assert SECRET not in said
    return said


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"token": f"{SECRET}\n"}, "has characters that no token has"),
        ({"token": f"{SECRET}é"}, "has characters that no token has"),
        ({"token": 12}, "`token` of user 'u' in .* is no text"),
        ({"tokenFile": "gone"}, "`tokenFile` of user 'u' in .* cannot be read"),
        ({"client-key-data": SECRET}, "`client-key-data` .* is not base64"),
        ({"client-certificate-data": "DATA+OMITTED"}, "kubectl config view --raw"),
        ({"client-certificate-data": "QQ=="}, "has no client-key"),
        ({"token": SECRET, "username": "me"}, "a token and a username"),
        ({"auth-provider": {"name": "gcp"}}, "gke-gcloud-auth-plugin"),
        ({"auth-provider": {"name": SECRET}}, "an auth-provider that kubectl does not"),
        ({"auth-provider": {"name": "oidc"}}, "has no idp-issuer-url"),
        (
            {"auth-provider": {"name": "oidc", "config": {"client-secret": SECRET}}},
            "has no idp-issuer-url",
        ),
        ({"exec": {"apiVersion": "v1"}}, "names no command"),
        (
            {"exec": {"command": "x", "apiVersion": "v1", "args": [1]}},
            r"`exec.args\[0\]` of user 'u' in .* is no text",
        ),
        ({"exec": {}, "auth-provider": {}}, "has exec and auth-provider"),
        ({"tokn": SECRET}, "no credentials that can be used"),
        (SECRET, "user 'u' in .* is no mapping"),
    ],
    ids=str,
)
def test_a_users_mistake_is_told_and_not_quoted(
    write: Write, user: object, said: str
) -> None:
    """Each in a sentence that names the file and the true reason."""
    assert re.search(said, refusal(write(user=user)))


def test_a_misspelt_user_key_is_not_quoted(write: Write) -> None:
    """`users:` for `user:` once printed the token."""
    path = write(users=[{"name": "u", "users": {"token": SECRET}}])

    assert "user 'u'" in refusal(path)


def test_a_user_in_no_file_is_refused(write: Write) -> None:
    """Nobody is asked without credentials because a name was misspelt."""
    assert "names the user 'v', which is not in" in refusal(
        write(context={"user": "v"})
    )


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ({"server": ""}, "has no server"),
        ({"server": "h:6443"}, "is no address"),
        ({"server": "https://h:x"}, "is no address"),
        ({"certificate-authority": "gone.crt"}, "cannot be read"),
        ({"certificate-authority-data": "QUJD"}, "no certificate in PEM"),
        (
            {"certificate-authority-data": "QUJD", "insecure-skip-tls-verify": True},
            "take one of them away",
        ),
        ({"insecure-skip-tls-verify": "yes"}, "neither true nor false"),
        ({"proxy-url": "socks5://h:1"}, "SOCKS"),
        ({"proxy-url": f"me:{SECRET}@h:1"}, "no address like"),
        ({"proxy-url": f"http://me:{SECRET}@h:x"}, "no address like"),
    ],
    ids=str,
)
def test_a_clusters_mistake_is_told(
    write: Write, cluster: dict[str, Any], said: str
) -> None:
    """Before anything is sent to anybody."""
    assert said in refusal(write(cluster=cluster))


def taken(path: Path) -> dict[str, Any]:
    """Return the user's entry that the client gets."""
    user: dict[str, Any] = read_access("c", path=path).kubeconfig["users"][0]["user"]
    return user


PLUGIN = {"apiVersion": "client.authentication.k8s.io/v1", "command": "x"}


def test_of_several_credentials_kubectls_choice_is_taken(write: Write) -> None:
    """A token before a plugin and a provider; a key alone is nothing."""
    token = {"token": SECRET}
    config = {
        "idp-issuer-url": "https://i",
        "client-id": "x",
        "id-token": claims(exp=1),
    }

    for more in (
        {"exec": PLUGIN},
        {"auth-provider": {"name": "oidc", "config": config}},
        {"auth-provider": {"name": "oidc", "config": config | {"id-token": "x"}}},
        {"client-key-data": "QQ=="},
    ):
        assert taken(write(user=token | more)) == token


def test_a_token_of_a_file_ends_where_the_line_ends(
    write: Write, tmp_path: Path
) -> None:
    """Editors end files with a line; without the file the token beside it counts."""
    (tmp_path / "token").write_text(f"{SECRET}\n")
    there, gone = {"tokenFile": "token"}, {"tokenFile": "gone"}

    assert taken(write(user=there)) == {"tokenFile": str(tmp_path / "token")}
    assert taken(write(user=gone | {"token": SECRET})) == {"token": SECRET}


def test_json_may_be_indented_by_tabs(write: Write) -> None:
    """YAML may not."""
    path = write()
    path.write_text(json.dumps(yaml.safe_load(path.read_text()), indent="\t"))

    assert taken(path) == {"token": SECRET}


def test_an_address_is_written_as_it_is_used(write: Write) -> None:
    """With the scheme in lower case, and nothing that is not sent."""
    path = write(cluster={"server": "HTTPS://h:6443/a?b=c#d"})

    cluster = read_access("c", path=path).kubeconfig["clusters"][0]["cluster"]
    assert cluster["server"] == "https://h:6443/a"


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"token": SECRET, "as": "viewer"}, "cmhot acts as nobody else"),
        ({"token": SECRET, "as-groups": SECRET}, "`as-groups` .* is no list"),
        ({"token": SECRET, "as-user-extra": {SECRET: 1}}, "`as-user-extra.…` .* list"),
        (
            {"auth-provider": {"name": "oidc", "config": {"client-secret": True}}},
            "`auth-provider.config.client-secret` .* is no text",
        ),
        ({"exec": PLUGIN | {"apiVersion": "v1"}}, "`apiVersion` of exec .* is none of"),
        ({"exec": PLUGIN | {"interactiveMode": "Odd"}}, "`interactiveMode` .* none of"),
        ({"exec": PLUGIN | {"interactiveMode": "Always"}}, "ask at a terminal"),
        ({"exec": PLUGIN | {"env": [{"value": SECRET}]}}, "value without a name"),
        ({"client-certificate": SECRET}, "`client-certificate` .* cannot be read"),
        ({"tokenFile": f"{SECRET}\x00"}, "`tokenFile` .* embedded null byte"),
        ({"password": SECRET}, "no credentials that can be used"),
    ],
    ids=str,
)
def test_what_kubectl_refuses_or_we_do_is_told(
    write: Write, user: dict[str, Any], said: str
) -> None:
    """The key is named, and no value."""
    assert re.search(said, refusal(write(user=user)))


def test_credentials_do_not_travel_in_the_clear(write: Write) -> None:
    """On this machine alone they may: a tunnel may end there."""
    refused = write(cluster={"server": "http://10.0.0.1:8080"})
    assert "others could read the credentials of user 'u'" in refusal(refused)

    for host in ("127.0.0.1", "localhost", "[::1]"):
        path = write(cluster={"server": f"http://{host}:8080"})
        assert taken(path) == {"token": SECRET}


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        ({"apiVersion": "apps/v1"}, "`apiVersion` .* is not v1"),
        ({"kind": "Pod"}, "`kind` .* is not Config"),
        ({"users": [{"name": 7}]}, r"`users\[0\].name` .* is no text"),
        ({"users": {}}, "`users` .* is no list"),
    ],
    ids=str,
)
def test_a_file_of_another_kind_is_told(
    write: Write, whole: dict[str, Any], said: str
) -> None:
    """Types are checked in the whole file."""
    assert re.search(said, refusal(write(**whole)))


@pytest.mark.parametrize(
    "content", ["[", "- a", "a: 1\na: [", "\x00", "clusters: {}", "users: [1]"]
)
def test_what_is_no_kubeconfig_is_told(tmp_path: Path, content: str) -> None:
    """One sentence that names the file."""
    (tmp_path / "config").write_text(content)

    assert str(tmp_path / "config") in refusal(tmp_path / "config")


def test_files_are_merged_each_with_its_own_folder(
    write: Write, tmp_path: Path
) -> None:
    """The first file with a name counts; its paths are relative to it; empty passes."""
    one = write(name="a/config", users=[], current_context="x")
    two = write(name="b/config", user={"tokenFile": "token"}, cluster={"server": "-"})
    (tmp_path / "b/token").write_text("T")
    (tmp_path / "empty").write_text("")
    listed = f"{tmp_path}/gone:{tmp_path}/empty:{one}:{two}"

    access = read_access("c", environ={"KUBECONFIG": listed})

    assert access.kubeconfig["users"][0]["user"] == {"tokenFile": f"{tmp_path}/b/token"}
    assert access.kubeconfig["clusters"][0]["cluster"]["server"] == "https://h:6443"


def test_the_contexts_namespace_is_read(write: Write) -> None:
    """It is the one that kubectl would take."""
    assert read_access("c", path=write()).namespace is None
    shop = write(context={"namespace": "shop"})
    assert read_access("c", path=shop).namespace == "shop"


def test_the_proxys_password_is_kept_apart(write: Write) -> None:
    """Its address goes into messages, its credentials into a header."""
    path = write(cluster={"proxy-url": f"http://me:{SECRET}%40@[::1]:3128"})

    access = read_access("c", path=path)

    assert access.proxy_credentials == f"me:{SECRET}@"
    cluster = access.kubeconfig["clusters"][0]["cluster"]
    assert cluster["proxy-url"] == "http://[::1]:3128"
    assert SECRET not in repr(access)
    assert split_proxy("a", "http://h") == ("http://h", None)


def test_a_login_by_openid_connect_is_taken_whole(write: Write) -> None:
    """The provider's certificate is checked, by public authorities if none is named."""
    config = {
        "idp-issuer-url": "https://i",
        "client-id": "x",
        "id-token": claims(exp=1),
    }
    path = write(user={"auth-provider": {"name": "oidc", "config": config}})

    access = read_access("c", path=path)

    (user,) = access.kubeconfig["users"]
    assert user["user"]["auth-provider"]["config"]["idp-certificate-authority-data"]
    assert access.provider == "https://i"
