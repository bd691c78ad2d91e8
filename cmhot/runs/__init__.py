"""What is a run directory: its plan, its format, the delays read out of it.

`plan` is what to do; `schema`, `runjson` and `rundir` are the files. `tables` reads and
writes their rows, and `disk` the bytes: it refuses what a stranger's run could do to
its reader, and believes derived tables of this user's alone. `delays` goes from
publications to the delay of each update in each pod, `sync_intervals` to the updates
that each publication brought. `anonymise` makes a copy without names.
"""
