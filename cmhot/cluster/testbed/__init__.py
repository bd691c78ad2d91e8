"""The embedded Kubernetes: real programs, real kubelets, one machine."""
