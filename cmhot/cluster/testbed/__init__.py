"""How does a real Kubernetes run on one machine: with a kubelet for each setting.

`lifecycle` starts a testbed and ends it. Before: `host` checks the machine, `versions`
pins the programs, `programs` gets them, `image` makes the containers' image. `layout`
has the nodes, names and paths; `configuration` composes the files and commands,
with `certificates`. Then `supervisor` runs the programs, `status` looks at them,
`archives` brings images that somebody made.
`owner` decides whose the files are.
"""
