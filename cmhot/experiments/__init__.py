"""What the live notebooks and the studies do on a cluster, step by step.

`stage` makes a place for an experiment and takes it away again; `belonging` tells its
objects from those of others; `looking` reads what pods hold, and since when; `phases`
makes pods that are new as if they had run for long; `attending` counts requests and
sees who is Ready.
`first` is one update; `blog` repeats the experiment that all this began with, and
`timing` times it; `remedies` compares what forces an update; `consumers` asks which of
the `cases` see one.
"""
