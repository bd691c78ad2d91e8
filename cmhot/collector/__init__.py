"""Collect many trials into a run directory, losing none.

Read `begin` first, then what a collection goes through: `preflight` asks whether the
cluster is fit for it; `schedule` fixes when each write is due; `probes` creates the
objects; `writer` makes the writes; `loop` runs, with `monitoring` of logs, pods and
clocks between the writes; `finish` judges whether the run is valid, and makes its
tables.

Beside them: `circumstances` that a run records, `clock_offsets` of nodes, `incidents`
of pods and kubelets, `progress` as it is shown, a `job` within the cluster, `cleanup`.
"""
