"""How is a cluster reached: one port; behind it the client, testbed or model."""
