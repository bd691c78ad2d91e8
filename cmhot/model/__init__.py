"""Virtual kubelets: for tests, for studies, and where no testbed can run.

`kubelet` is the model of one kubelet, event by event, in virtual time;
`cluster` puts several of them behind the cluster port, with Deployments whose pods
start and end (`world`) and containers to look into (`running`); `simulate` makes a run
of them without port and logs, and `sampler` draws the instants of many syncs at once.
Whatever is made from any of them must say "modelled".
"""

from cmhot.model.cluster import ModelCluster
from cmhot.model.kubelet import Kubelet
from cmhot.model.sampler import delays_at, sync_instants
from cmhot.model.simulate import simulate

__all__ = ["Kubelet", "ModelCluster", "delays_at", "simulate", "sync_instants"]
