"""Collect many trials into a run directory, losing none.

Read `begin` first, then what a collection goes through: `preflight`, `schedule`,
`probes`, `writer`, `loop` and `finish`.
"""
