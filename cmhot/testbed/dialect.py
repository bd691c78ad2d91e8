"""How a kubelet of a given version wants to be told things.

The control plane of a testbed is of one version; a node may have an older kubelet,
so that what changed between versions can be measured side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

from cmhot.testbed.parts import numbers


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a version of the kubelet does not know yet, or still has to be told.

    Each follows from the minor version alone; an unknown field of its configuration
    file ends a kubelet at once.

    Attributes
    ----------
    names_runtime
        It has to be told that the container runtime is no Docker
        (``--container-runtime=remote``; before 1.24).
    speaks_cri_v1
        It speaks version 1 of the container runtime interface;
        before 1.23 only v1alpha2, which containerd 2 dropped.
    endpoint_in_file
        Its file may name the runtime's socket (from 1.27), before that a flag does.
    has_logs_folder
        Its file may name the folder of the pods' logs (from 1.29);
        before that it is ``/var/log/pods``, whichever kubelet of a machine it is.
    may_refuse_cgroup_v1
        It has to be told that cgroup v1 will do (the field is there from 1.31).
    """

    names_runtime: bool
    speaks_cri_v1: bool
    endpoint_in_file: bool
    has_logs_folder: bool
    may_refuse_cgroup_v1: bool


def dialect_of(version: str) -> Dialect:
    """Return the dialect of a kubelet's version, such as ``v1.26.15``.

    Examples
    --------
    >>> dialect_of("v1.26.15").endpoint_in_file
    False
    """
    minor = numbers(version)[1]
    return Dialect(
        names_runtime=minor < 24,  # noqa: PLR2004 - the versions are said above
        speaks_cri_v1=minor >= 23,  # noqa: PLR2004
        endpoint_in_file=minor >= 27,  # noqa: PLR2004
        has_logs_folder=minor >= 29,  # noqa: PLR2004
        may_refuse_cgroup_v1=minor >= 31,  # noqa: PLR2004
    )
