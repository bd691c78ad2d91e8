"""What the end of a command in a container means."""

from __future__ import annotations

import json

import pytest

from cmhot.cluster.answers import how_it_ended, shorten_to_cause


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
