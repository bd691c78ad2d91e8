"""What do the live notebooks do on a cluster, step by step."""
