"""What is a run directory: its plan, its format, the delays read out of it.

`plan` is what to do; `schema` and `rundir` are the files, `tables` and `disk` how they
are read and written. `delays` goes from publications to the delay of each update in
each pod, `sync_intervals` to the updates that each publication brought.
`anonymise` makes a copy without names.
"""
