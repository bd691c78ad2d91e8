"""What becomes of one change: apply, patch, explain, observe, wait and refresh.

`changes` applies and patches; `manifests` reads what is applied. `explain` finds who
uses an object; `expectation` gives the law for when they see an update. `wait` decides
whether all have it: `watch` is the loop, shared with `observe`, and `inspection` looks
into one container. `refresh` forces an update: `workload` finds what makes the pods,
`methods` are the steps. `remedies` says for all of them what helps, and `absence` which
name may be meant where there is no object.
"""
