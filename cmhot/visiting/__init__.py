"""Being a guest in a cluster: what it allows, how to run there, what to take away."""
