"""Whether a run's loss leaves the curve that its peers share: where, by how much, and how surely.

Losses of one recipe fall on one curve once they are normalised (arXiv 2507.02119, 2509.25087): here ln of the loss
against the share of training done, of each run up to a shift and a factor that its own past says. What is here is
arrays, without pandas, so that a status stays quick; which runs are peers is `peers`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

BINS = 40
"""Parts of training in which losses are averaged; fewer where less is logged."""

LEAST_BINS = 10
BURN_IN = 0.1
"""Share of training that is not looked at: a curve's first tenth hangs on warm-up and initialisation."""

PAST = 4
"""Bins after the burn-in from which on the next one can be foretold."""

LEAST_PEERS = 3

FALSE_ALARMS = 0.01
"""Of healthy runs so many are flagged at some time of their whole training; `benchmarks/early_alarm.py` counts it."""

TESTS = 20
"""Independent looks that a training's bins amount to: neighbours share most of their past."""

LEAST_LIMIT = 5.0
"""Standard errors that are no alarm however much is known: models of other sizes bend by a little more or less, and
that is no chance. Of 60 digits runs beside all their peers the worst reached 4.2."""

USUAL, USUAL_DOF = 0.01, 4
"""Relative scatter of a bin about what peers foretell, and the degrees of freedom it counts for beside theirs: 0.9 %
on 24 digits runs of three seeds."""

UNLIKE_DOF = 4
"""Degrees of freedom that the peers' scatter counts for beside what a run's own bins so far scatter. Runs differ in how
closely they follow: on 36 digits runs by 0.37 in ln, small ones at patch 8 by twice what others do."""

STIFF = 1e-4
"""Weight of a factor of 1 in the fit of shift and factor, as a square of ln: a hundredth of the losses' own range."""


class Found(NamedTuple):
    """Where a curve left its peers': the bin, ln of the loss over what they foretell, that in standard errors."""

    bin: int
    off: float
    sigmas: float
    limit: float
    peers: int


@dataclass(frozen=True)
class Departure:
    """A run left its peers' curve: first at `step`, where its loss is `by` (a share, signed) off what they foretell.

    `sigmas` is that over its standard error, `limit` what a healthy run stays below, `peers` how many spoke.
    """

    run_id: str
    step: int
    by: float
    sigmas: float
    limit: float
    peers: int

    def __str__(self) -> str:
        way = "above" if self.by > 0 else "below"
        off = f"{abs(self.by):.1%} {way} what {self.peers} peers foretell"
        rate = f"{abs(self.sigmas):.1f} standard errors, {FALSE_ALARMS:.0%} of healthy runs reach {self.limit:.1f}"
        return f"{self.run_id} left its peers' loss curve at step {self.step:,}: {off} ({rate})"


def binned(steps: np.ndarray, losses: np.ndarray, end: float, bins: int) -> np.ndarray:
    """Mean ln loss of each part of training, (bins,); NaN where a part is not over, or has no usable row."""
    steps, losses = np.asarray(steps, float), np.asarray(losses, float)
    usable = np.isfinite(losses) & (losses > 0) & (steps > 0) & (steps <= end)
    place = np.ceil(steps[usable] / end * bins - 1e-9).astype(int) - 1
    count = np.bincount(place, minlength=bins)
    total = np.bincount(place, np.log(losses[usable]), minlength=bins)
    over = (np.arange(bins) + 1) / bins * end <= (steps.max() if len(steps) else 0) + 1e-9
    return np.where((count > 0) & over, total / np.maximum(count, 1), np.nan)


def departure(own: np.ndarray, peers: np.ndarray) -> Found | None:
    """The first bin in which `own` (bins,) leaves the curve of `peers` (peers, bins), as far as both reach.

    None while it does not, or where fewer than LEAST_PEERS reach past the bins that are only learned from. Rows may end
    in NaN where they stand so far; one with a hole reaches to it.
    """
    first = round(BURN_IN * len(own))
    reach = np.array([_reach(row[first:]) for row in peers], int)
    if len(peers) < LEAST_PEERS:
        return None
    shared = min(_reach(own[first:]), int(np.sort(reach)[-LEAST_PEERS]))
    if shared <= PAST:
        return None
    rows = peers[reach >= shared, first : first + shared]
    off = residuals(own[first : first + shared], rows.mean(0))
    scatter, dof = _own_scatter(off, _scatter(rows))
    sigmas = off / scatter
    if not np.any(np.abs(sigmas) > LEAST_LIMIT):
        return None  # whatever the limit: SciPy, which knows it, takes longer to import than a status may take
    limits = limits_of(dof)
    beyond = np.flatnonzero(np.abs(sigmas) > limits)
    if not len(beyond):
        return None
    at = int(beyond[0])
    return Found(first + PAST + at, float(off[at]), float(sigmas[at]), float(limits[at]), len(rows))


def limits_of(dof: np.ndarray) -> np.ndarray:
    """How many standard errors a healthy run stays within over its training, all but FALSE_ALARMS of them."""
    from scipy.special import stdtrit

    return np.maximum(stdtrit(dof, 1 - FALSE_ALARMS / TESTS / 2), LEAST_LIMIT)


def residuals(own: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """ln of the loss over what the shape foretells, for each bin after the first PAST: (..., bins - PAST).

    A bin is foretold by the shape, shifted and stretched as it fits the bins before it (least squares). `own` and
    `shape` are (..., bins), a curve a row.
    """
    count = np.arange(1, own.shape[-1] + 1)
    x, y = shape - shape[..., :1], own - own[..., :1]
    mean_x, mean_y = np.cumsum(x, -1) / count, np.cumsum(y, -1) / count
    var = np.cumsum(x * x, -1) / count - mean_x**2
    cov = np.cumsum(x * y, -1) / count - mean_x * mean_y
    factor = (cov * count + STIFF) / (np.maximum(var, 0) * count + STIFF)
    past, now = np.s_[..., PAST - 1 : -1], np.s_[..., PAST:]
    return y[now] - mean_y[past] - factor[past] * (x[now] - mean_x[past])


def _own_scatter(off: np.ndarray, peers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scatter of this run in each bin, no less than its peers', and its degrees of freedom.

    That of its own past is from neighbouring bins (von Neumann 1941): a fault that grows does not excuse itself.
    """
    white = np.diff(off, prepend=off[0]) ** 2 / 2
    known = np.maximum(np.arange(len(off)) - 1.0, 0.0)
    past = np.cumsum(white) - white
    own = (UNLIKE_DOF * peers**2 + past) / (UNLIKE_DOF + known)
    return np.sqrt(np.maximum(own, peers**2)), UNLIKE_DOF + known


def _scatter(rows: np.ndarray) -> np.ndarray:
    """Root mean square of how far peers were off each other so far, a bin each."""
    each = residuals(rows, (rows.sum(0) - rows) / (len(rows) - 1))
    bins = np.arange(1, each.shape[1] + 1)
    squares = np.cumsum((each**2).mean(0)) / bins
    freedom = 2.0 * (len(rows) - 1)
    return np.sqrt((USUAL_DOF * USUAL**2 + freedom * squares) / (USUAL_DOF + freedom))


def _reach(row: np.ndarray) -> int:
    """How many bins from the first on are there without a hole."""
    holes = np.flatnonzero(~np.isfinite(row))
    return int(holes[0]) if len(holes) else len(row)
