"""What cmhot asks of a cluster, and what it runs there; no door is named here."""
