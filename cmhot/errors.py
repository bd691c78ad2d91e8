"""What can go wrong, by what the user can do about it.

Every error that `cmhot` raises on purpose descends from `CmhotError`.
Its message is one sentence saying what was found and what to try;
the command line prints it without a traceback
and ends with the class's exit code.
"""

from __future__ import annotations

from cmhot.display import one_line

MANY_REQUESTS, SERVER_ERROR = 429, 500
"""Answers of an API server that another one may follow."""


class CmhotError(Exception):
    """Base of all errors raised on purpose; the message carries the remedy.

    Attributes
    ----------
    exit_code
        What a command that ends with this error returns to the shell:
        1 when a check failed or a run is invalid, 2 for wrong use.
    """

    exit_code = 2

    def __str__(self) -> str:
        """Write the message in one line: it quotes servers, files and containers."""
        return one_line(super().__str__())


class UsageError(CmhotError):
    """The caller asked for something that cannot be: a wrong value, name or file."""


class HostError(CmhotError):
    """The machine lacks what a testbed or a figure needs; the message says what."""


class ProgramsError(CmhotError):
    """A program of the testbed could be had from none of its sources."""

    exit_code = 1


class TestbedError(CmhotError):
    """The testbed did not start, or is not in the state that the request needs."""

    __test__ = False  # the name starts with "Test", and pytest would collect it
    exit_code = 1


class ClusterError(CmhotError):
    """The API server refused, or could not be reached.

    Attributes
    ----------
    status
        HTTP status of the answer; None when there was no answer at all.
    said
        The API server's own words; empty: it gave none.
    """

    exit_code = 1

    def __init__(
        self, message: str, *, status: int | None = None, said: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.said = said

    @property
    def is_passing(self) -> bool:
        """Whether the same request may be answered when it is sent again."""
        status = self.status or 0
        return status == MANY_REQUESTS or status >= SERVER_ERROR


class NotFoundError(ClusterError):
    """The named object does not exist: a wrong name, as a rule."""

    exit_code = 2


class NotReadyError(ClusterError):
    """Pods were not all Ready in the time that is given to them."""


class ForbiddenError(ClusterError):
    """RBAC does not allow the request to the user of the kubeconfig."""

    exit_code = 2


class UnreachableError(ClusterError):
    """No API server answered at the address of the kubeconfig."""

    exit_code = 2

    @property
    def is_passing(self) -> bool:
        """Whether the same request may be answered when it is sent again: yes."""
        return True


class RunError(CmhotError):
    """A run directory is missing, damaged, or not fit for what was asked."""


class CheckError(CmhotError):
    """A threshold did not hold, or a notebook of a report failed."""

    exit_code = 1
