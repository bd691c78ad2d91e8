"""Who uses a ConfigMap or a Secret, how, and what becomes of an update there.

Pure functions on objects as the API server sends them; nothing here asks a cluster.

`reference` names the object; `uses` finds it in a pod's specification;
`contents` says what should be seen then, and `fate` whether it ever will be;
`owners` leads from a pod to its workload, `survey` collects as pages go by;
`expectation` says when, `mistakes` what people overlook,
and `explanation` is all of it, for people and for programs.
"""
