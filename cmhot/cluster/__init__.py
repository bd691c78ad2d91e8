"""How is a cluster reached: one port; behind it the client, testbed or model.

`port` is what the rest of the package may ask of a cluster; `targets` goes from a
target's name to one. Behind the port: `client` for a real cluster, by the context that
`kubeconfig` reads, with `answers` for its errors; `testbed` starts one; `model` stands
for one. In front of it: `rights` lists each request, `nodes` asks kubelets for their
settings, `workspace` keeps a run's namespace, `probe` notes publications.
"""
