"""How would kubelets behave, in virtual time: for tests, studies, and no cluster.

`virtual_kubelet` models one kubelet, event by event; `api_server` puts several of them
behind the port, with the pods and Deployments of `workloads`; `simulate` makes a run
without either. Whatever comes from any of them must say "modelled".
"""

from __future__ import annotations

from cmhot.cluster.model.api_server import ModelCluster
from cmhot.cluster.model.simulate import simulate
from cmhot.cluster.model.virtual_kubelet import Kubelet

__all__ = ["Kubelet", "ModelCluster", "simulate"]
