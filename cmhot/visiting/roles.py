"""Roles that hold just the rights of a collection, and how they are printed.

Whoever may grant rights reads them before granting them:
each rule has its reason above it, as a YAML comment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from cmhot.port import rights

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cmhot.port.rights import Configz, Right, Verb

API = "rbac.authorization.k8s.io"
ACCOUNT = "cmhot"
"""Of the service account, unless another name is given."""
LABELS = {"app.kubernetes.io/name": "cmhot"}
"""Not the label of what a run creates: `cmhot clean` leaves these alone."""


def roles(
    *,
    namespace: str,
    account: str = ACCOUNT,
    create_namespace: bool = False,
    nodes: bool = False,
    configz: Configz | None = None,
    clean: bool = False,
    verb: Verb | None = None,
    ephemeral: bool = False,
) -> list[dict[str, Any]]:
    """Make the account, and the least roles for a whole collection, or for a command.

    Parameters
    ----------
    namespace
        Where the account lives, and, unless it may create namespaces, where the
        collection works. It must exist.
    account
        Name of the service account.
    create_namespace
        Collections may make namespaces of their own.
        What they need in there must then be granted in every namespace.
    nodes
        They may list nodes.
    configz
        They may read the kubelets' settings, by this way; includes `nodes`.
    clean
        `cmhot clean` may look for what was left.
    verb
        Not for a collection, but for ``explain``, ``wait`` or ``refresh`` of what is
        in the namespace.
    ephemeral
        `cmhot wait` may start ephemeral containers.

    Returns
    -------
    list of dict
        Manifests, in the order in which they can be applied.
        What is granted in the whole cluster has a ClusterRole for each purpose.
    """
    manifests: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account, "namespace": namespace, "labels": LABELS},
        }
    ]
    wide: dict[str, Sequence[Right]] = {}
    cleaning = rights.CLEAN if clean else ()
    if verb is not None:
        local = (*rights.FOR_VERB[verb], *(rights.EPHEMERAL if ephemeral else ()))
        manifests += _bound(local, name=account, namespace=namespace, account=account)
    elif create_namespace:
        more = rights.CLEAN_EVERYWHERE if clean else ()
        wide["run"] = (*rights.OWN_NAMESPACE, *more, *rights.RUN, *cleaning)
    else:
        local = (*rights.in_namespace(namespace), *cleaning)
        manifests += _bound(local, name=account, namespace=namespace, account=account)
    if nodes or configz is not None:
        wide["nodes"] = rights.NODES
    if configz is not None:
        wide[f"configz-{configz}"] = rights.CONFIGZ[configz]
    for purpose, wanted in wide.items():
        # names of ClusterRoles are the whole cluster's
        name = f"cmhot-{namespace}-{account}-{purpose}"
        manifests += _bound(wanted, name=name, namespace=namespace, account=account)
    return manifests


def _bound(
    wanted: Iterable[Right], *, name: str, namespace: str, account: str
) -> list[dict[str, Any]]:
    """Make a role and its binding; one that is cluster-wide if a right of it is."""
    listed = list(wanted)
    cluster = any(right.cluster_wide for right in listed)
    kind = "ClusterRole" if cluster else "Role"
    meta = {"name": name, "labels": LABELS}
    if not cluster:
        meta["namespace"] = namespace
    return [
        {
            "apiVersion": f"{API}/v1",
            "kind": kind,
            "metadata": meta,
            "rules": rights.rules(listed),
        },
        {
            "apiVersion": f"{API}/v1",
            "kind": f"{kind}Binding",
            "metadata": meta,
            "roleRef": {"apiGroup": API, "kind": kind, "name": name},
            "subjects": [
                {"kind": "ServiceAccount", "name": account, "namespace": namespace}
            ],
        },
    ]


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice: an alias would be hard to read."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def to_yaml(manifests: Sequence[dict[str, Any]], *, verb: Verb | None = None) -> str:
    """Write manifests as `kubectl apply` reads them, rules of roles with reasons.

    Parameters
    ----------
    manifests
        From `roles`.
    verb
        As of `roles`.
    """
    return "---\n".join(_document(manifest, verb) for manifest in manifests)


def _document(manifest: dict[str, Any], verb: Verb | None) -> str:
    granted = manifest.get("rules")
    if granted is None:
        return _dump(manifest)
    text = _dump({key: value for key, value in manifest.items() if key != "rules"})
    text += "rules:\n"
    for rule in granted:
        text += "".join(
            f"# {reason}\n" for reason in rights.reasons(rule, command=verb)
        )
        text += _dump([rule], short=True)
    return text


def _dump(content: object, *, short: bool = False) -> str:
    return yaml.dump(
        content,
        Dumper=_Dumper,
        sort_keys=False,
        width=88,
        default_flow_style=None if short else False,
    )
