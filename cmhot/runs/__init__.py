"""A run directory, and the delays that are read out of it."""
