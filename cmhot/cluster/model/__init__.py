"""Virtual kubelets: for tests, for studies, and where no testbed can run.

`kubelet` is the model of one kubelet, event by event, in virtual time;
`cluster` puts several of them behind the cluster port, with Deployments whose pods
start and end (`world`) and containers to look into (`running`); `simulate` makes a run
of them without port and logs, and `sampler` draws the instants of many syncs at once.
Whatever is made from any of them must say "modelled".
"""

from __future__ import annotations

from cmhot.cluster.model.api_server import ModelCluster
from cmhot.cluster.model.sampler import delays_at, sync_instants
from cmhot.cluster.model.simulate import simulate
from cmhot.cluster.model.virtual_kubelet import Kubelet

__all__ = ["Kubelet", "ModelCluster", "delays_at", "simulate", "sync_instants"]
