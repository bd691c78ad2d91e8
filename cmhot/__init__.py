"""When do pods see a changed ConfigMap? Measured on real kubelets."""
