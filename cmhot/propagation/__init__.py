"""One change under way: apply, patch, explain, observe, wait and refresh."""

DEFAULT_NAMESPACE = "default"
