"""What a reader is told of the rows that a forecast rests on, where they say less than they seem to.

What was left out of a table is `table`, and whose units look mixed `scales`; nothing here changes a forecast.
"""

import numpy as np

from dit_grid.analysis.tables.axes import Axes

RISES = 0.3
"""Correlation of ln y with ln compute from which on y is said to rise."""

OF_ONE_RUN = ("steps", "step", "iterations", "epochs", "epoch")
"""Names of columns along which rows may be of one run, and not of runs that ended there."""


def remarks(t: np.ndarray, axes: Axes, y: str, whose: str = "") -> list[str]:
    """A line a remark on rows with ln y `t`, which are those of the group `whose`, or of all."""
    c, asked = axes.named["compute"]
    of = f" of {whose}" if whose else ""
    found = []
    if len(t) > 1 and np.ptp(t) == 0:
        found.append(
            f"all {len(t)} values of {y} are alike, so no law can be seen in them: what is said rests on what is usual"
        )
    if len(t) > 2 and np.ptp(t) > 0 and np.ptp(c) > 0 and np.corrcoef(t, c)[0, 1] > RISES:
        found.append(f"{y}{of} rises with {axes.along}, and every form here falls: ask for what falls, as 1 - y")
    if axes.left_out:
        found.append(f"{', '.join(axes.left_out)} says nothing of its own beside the other columns: left out")
    if axes.along.lower() in OF_ONE_RUN and asked.max() > c.max():
        found.append(
            f"rows along {axes.along} may be of one run: where its learning rate decays it falls late, and no row "
            "before shows by how much, so trust an interval only with rows from the ends of other runs"
        )
    return found
