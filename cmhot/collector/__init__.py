"""How are many trials collected into a run directory, losing none.

The flow: `preflight`, `schedule`, `probes`, `writer`, `loop`, `finish`.
"""
