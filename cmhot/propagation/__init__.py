"""One change under way: apply, patch, explain, observe, wait and refresh."""
