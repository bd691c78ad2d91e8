"""Pods that are not idle: readiness that changes, a container that crashes (H11).

``python -m studies.disturbed --target testbed:NAME --out DIR`` collects from such pods
as `cmhot collect` does from idle ones. What disturbs them begins after the probes
are Ready, as a fault in production would.
"""

from __future__ import annotations

import copy
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmhot.cluster.targets import connect
from cmhot.collector.begin import collect
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_meta

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmhot.cluster.port import Cluster

CALM_S = 180
"""Until it begins: pods are started and scrambled by then."""
FLIP_S = 20
"""Readiness is so long one way, then the other."""
_AGE = "$(( $(date +%s) - $(stat -c %Y /etc/hosts) ))"
"""Of a pod of one container, seconds: the kubelet writes this file at its start."""
_PHASE = "$(( 0x$(hostname | md5sum | cut -c 1-6) % {stagger_s} ))"
"""Of a pod, seconds: by its name, so that pods are not in step."""
_BEGUN = "/mark/begun"
"""Outlives a container, and ends with its pod."""
PODS, DURATION_S, SEED = 10, 600.0, 11


def _later(stagger_s: int) -> str:
    """Write how much later than the others a pod is disturbed, for its shell."""
    return _PHASE.format(stagger_s=stagger_s) if stagger_s else "0"


def flip_readiness(template: dict[str, Any], stagger_s: int) -> None:
    """Give the probe a readiness that changes every `FLIP_S` seconds."""
    age = f"n=$(( {_AGE} - {_later(stagger_s)} ))"
    test = f"{age}; [ $n -lt {CALM_S} ] || [ $((n / {FLIP_S} % 2)) = 0 ]"
    template["spec"]["containers"][0]["readinessProbe"] = {
        "exec": {"command": ["sh", "-c", test]},
        "periodSeconds": 10,
        "timeoutSeconds": 5,
        "failureThreshold": 1,
    }


def add_crashing(template: dict[str, Any], stagger_s: int) -> None:
    """Add a container that runs for `CALM_S`, and then fails whenever it is started."""
    probe = template["spec"]["containers"][0]
    kept = ("image", "imagePullPolicy", "securityContext", "resources")
    template["spec"]["volumes"].append({"name": "mark", "emptyDir": {}})
    first = f"touch {_BEGUN}; sleep $(( {CALM_S} + {_later(stagger_s)} ))"
    template["spec"]["containers"].append(
        {
            **{key: probe[key] for key in kept},
            "name": "crashing",
            "command": ["sh", "-c"],
            "args": [f"[ -e {_BEGUN} ] || {{ {first}; }}; exit 1"],
            "volumeMounts": [{"name": "mark", "mountPath": "/mark"}],
        }
    )


KINDS = {"readiness": flip_readiness, "crashing": add_crashing}


class Disturbing:
    """A cluster in which the pods of Deployments are altered on the way.

    Parameters
    ----------
    cluster
        The real one.
    kind
        One of `KINDS`.
    stagger_s
        Each pod is disturbed up to so many seconds later, by a hash of its name.
    """

    def __init__(self, cluster: Cluster, kind: str, *, stagger_s: int = 0) -> None:
        self._cluster = cluster
        self._alter = partial(KINDS[kind], stagger_s=stagger_s)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the real one has
        return getattr(self._cluster, name)

    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Apply an object, altered if it is a Deployment."""
        altered = copy.deepcopy(dict(manifest))
        if altered["kind"] == "Deployment":
            self._alter(altered["spec"]["template"])
        return self._cluster.apply(altered, namespace=namespace)


def collect_kind(target: str, kind: str, out: Path) -> str:
    """Collect from one kind of pods; its run is marked invalid, as it should be."""
    cluster: Any = Disturbing(connect(target), kind)
    plan = Plan(pods=PODS, duration_s=DURATION_S, seed=SEED)
    run = collect(cluster, plan, out=out, run_id=f"disturbed-{kind}")
    return f"{kind}: {read_meta(run)['status']}"


@click.command()
@click.option("--target", required=True, help="A testbed, such as testbed:NAME.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(target: str, out: Path) -> None:
    """Collect from both kinds at the same time."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(KINDS), mp_context=spawn) as pool:
        for end in pool.map(collect_kind, repeat(target), KINDS, repeat(out)):
            click.echo(end, err=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
