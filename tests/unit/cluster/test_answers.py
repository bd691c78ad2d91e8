"""What the end of a command in a container means."""

from __future__ import annotations

import json

import pytest
import urllib3
from websocket import WebSocketProxyException

from cmhot.cluster.answers import (
    explain,
    how_it_ended,
    no_answer,
    refused_stream,
    shorten_to_cause,
)
from cmhot.errors import UnreachableError


@pytest.mark.parametrize(
    ("verdict", "code", "said"),
    [
        ({"status": "Success"}, 0, ""),
        (
            {
                "status": "Failure",
                "reason": "NonZeroExitCode",
                "message": "command terminated with exit code 1",
                "details": {"causes": [{"reason": "ExitCode", "message": "1"}]},
            },
            1,
            "command terminated with exit code 1",
        ),
        (
            {
                "status": "Failure",
                "reason": "InternalError",
                "message": 'exec: "cat": executable file not found in $PATH',
            },
            None,
            'exec: "cat": executable file not found in $PATH',
        ),
        ({"status": "Failure", "reason": "NonZeroExitCode"}, None, "without saying"),
        ([], None, "without saying"),
    ],
    ids=["success", "exit code", "no such program", "no cause", "no status"],
)
def test_how_a_command_ended(verdict: object, code: int | None, said: str) -> None:
    """An exit code, or why there is none."""
    found, why = how_it_ended(json.dumps(verdict).encode())

    assert found == code
    assert said in why


def test_a_stream_that_broke_off() -> None:
    """No exit code is not a success."""
    assert how_it_ended(b"") == (None, "it ended without saying how")


def test_the_cause_is_at_the_end_of_what_many_layers_say() -> None:
    """A runtime's reason comes last, behind what API server and kubelet put before."""
    layers = 'Internal error occurred: error executing command in container "x": ' * 6
    cause = 'exec: "cat": executable file not found in $PATH'

    said = shorten_to_cause(layers + cause)

    assert said.startswith("…")
    assert said.endswith(cause)
    assert len(said) <= 301
    assert shorten_to_cause(f" {cause}\n") == cause


def test_a_proxy_that_wants_a_password_is_told_so() -> None:
    """By a request, by one through a tunnel and by an exec, in one sentence."""
    tunnel = urllib3.exceptions.ProxyError(
        "Cannot connect to proxy.",
        OSError("Tunnel connection failed: 407 Proxy Authentication Required"),
    )
    stream = WebSocketProxyException("failed CONNECT via proxy status: 407")
    proxy = "http://me:S3CRET@proxy:8080"

    for error in (
        explain(407, "proxy password, please", "GET", "/version"),
        no_answer(tunnel, host="https://k", proxy=proxy),
        refused_stream(stream, "/api/v1/namespaces/n/pods/p/exec"),
    ):
        assert isinstance(error, UnreachableError)
        assert "wants a user and a password" in str(error)
        assert "http://USER:PASSWORD@HOST:PORT" in str(error)
        assert "S3CRET" not in str(error)
    assert "the proxy http://proxy:8080 wants" in str(
        no_answer(tunnel, host="https://k", proxy=proxy)
    )
