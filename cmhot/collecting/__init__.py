"""Collect many trials on a cluster into a run directory; lose none, and tell no lie.

One module a question: `agenda` what is to be done when, `settle` what became of a
write, `errands` what is done between writes, `nodeclock` how far clocks are apart,
`incidents` what befell pods and nodes, `extras` which syncs were extra,
`checks` whether a run may be believed,
`setup` what is put on the cluster, `provenance` under which circumstances,
`session` a collection under way, `beginning` and `resuming` how one comes to be.
"""

from cmhot.collecting.beginning import collect
from cmhot.collecting.progress import Progress
from cmhot.collecting.provenance import new_run_id, utc_text
from cmhot.collecting.resuming import resume

__all__ = [
    "Progress",
    "collect",
    "new_run_id",
    "resume",
    "utc_text",
]
