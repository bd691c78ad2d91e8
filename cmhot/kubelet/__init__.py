"""What does a kubelet do: its settings, the eras of its code, what a container sees.

`settings` are the three knobs; `eras` what the code of each version makes of them.
`uses` reads from a pod how its containers use an object, and whether an update reaches
them; `view` gives the files and variables that a container gets, byte by byte.
"""
