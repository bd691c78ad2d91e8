"""The figures: a table in, Axes out.

They draw on the Axes they are given and change nothing else:
no file is written, no window opened, no style set (`cmhot.figures` does that).
"""

from cmhot.plots.distribution import delay_by_setting, delay_distribution

__all__ = ["delay_by_setting", "delay_distribution"]
