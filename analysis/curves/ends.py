"""Where runs will end while they still train: the final value of each from its own evaluations and its peers'.

What is here looks at ln of a metric that falls against the share of training done. A run that has peers which ended
goes on as they did, by the fall per doubling of steps; one that has none goes on as its own curve says, and wider.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from dit_grid.analysis.curves.falls import Fall, fall_of
from dit_grid.analysis.tables.any_table import forecast_table
from dit_grid.analysis.tables.mixture import quantile
from dit_grid.analysis.tables.priors import ANCHORS, kind_of

UNLIKE = 0.45
"""Spread, in ln, of the fall that is to come over what the last doubling of steps says. Measured at half of training:
-0.26 to -0.5 on REPA's three sizes (FID, arXiv 2410.06940), +0.2 to +0.9 on six digits models."""

SCATTER, SCATTER_DOF = 0.35, 4
"""The same between runs of one grid, and the runs that this counts for. With it 97 % of 288 intervals held on digits:
24 runs of three seeds at 0.3, 0.5 and 0.8 of training, from three and from seven peers, two metrics."""

Curve = tuple[np.ndarray, np.ndarray]
"""Steps, and ln of the metric there."""


def final_values(history: pd.DataFrame, until: int | Mapping[str, int], metric: str = "value") -> pd.DataFrame:
    """A row a run: its last step and value, and `predicted`, `low`, `high` (95 %, one new run) at step `until`.

    `history` has columns run, step and `metric`, which falls with training. `until` is a step, or one a run; 2 × the
    run's own last step says what twice the steps would bring. A run that was measured there is its own answer, and a
    peer of the others: `peers` counts those that a row rests on, 0 where only its own curve speaks.

    A run of fewer than two evaluations says nothing yet, and its prediction is NaN.

    Raises:
        TableError: a column is missing, or the evaluations cannot carry a forecast.
        KeyError: `until` lacks a run.
    """
    last = history.sort_values("step", kind="stable").groupby("run", sort=False).tail(1).reset_index(drop=True)
    ends = {str(run): until if isinstance(until, int) else until[run] for run in last["run"]}
    curves = {str(run): _curve(part, metric) for run, part in history.groupby("run", sort=False)}
    noise = ANCHORS[kind_of(metric)][3]
    rows = []
    for run, (steps, logs) in curves.items():
        ended = steps[-1] >= ends[run] if len(steps) else False
        peers = [] if ended else _peers(curves, ends, run, steps)
        rows.append(_known(steps, logs, ends[run]) if ended else _ahead(steps, logs, ends[run], peers, noise, metric))
    found = pd.DataFrame(rows, columns=["predicted", "low", "high", "peers"]).assign(run=list(curves))
    known = last.rename(columns={metric: "last"})[["run", "step", "last"]].assign(until=list(ends.values()))
    return known.merge(found.astype({"peers": int}), on="run", how="left")


def _curve(part: pd.DataFrame, metric: str) -> Curve:
    """Steps and ln of the values that have one, in order of steps."""
    part = part.sort_values("step", kind="stable").drop_duplicates("step", keep="last")
    values = part[metric].to_numpy(float)
    usable = np.isfinite(values) & (values > 0) & (part["step"].to_numpy(float) > 0)
    return part["step"].to_numpy(float)[usable], np.log(values[usable])


def _known(steps: np.ndarray, logs: np.ndarray, end: float) -> tuple[float, float, float, int]:
    value = float(np.exp(np.interp(np.log(end), np.log(steps), logs)))
    return value, value, value, 0


def _peers(curves: Mapping[str, Curve], ends: Mapping[str, int], run: str, steps: np.ndarray) -> list[Fall]:
    """Falls of the runs that ended, as they were when as much of them was done as of this run."""
    if len(steps) < 2:
        return []
    at = steps[-1] / ends[run]
    others = [name for name, (s, _) in curves.items() if name != run and len(s) > 2 and s[-1] >= ends[name]]
    falls = [fall_of(curves[name][0], curves[name][1], at * ends[name], ends[name]) for name in others]
    return [fall for fall in falls if fall is not None]


def _ahead(
    steps: np.ndarray, logs: np.ndarray, end: float, peers: list[Fall], noise: float, metric: str
) -> tuple[float, float, float, int]:
    """Predicted, low, high and the number of peers, at step `end` of a run that is not there yet."""
    own = fall_of(steps, logs, steps[-1], None) if len(steps) > 1 else None
    if own is None:
        return np.nan, np.nan, np.nan, 0
    doublings = float(np.log2(end / steps[-1]))
    going = _Going.after(peers, doublings, noise)
    error = noise * np.sqrt(2 * (1 + going.ratio + going.ratio**2))
    sd = float(np.hypot(own.recent * going.sd, error))
    mean = logs[-1] + going.ratio * own.recent
    if peers:
        half = float(stdtrit(SCATTER_DOF + len(peers), 0.975)) * sd
        middle, low, high = np.exp([mean, mean - half, mean + half]).tolist()
        return middle, low, high, len(peers)
    return _with_own_law(steps, logs, end, mean, sd, metric)


def _with_own_law(
    steps: np.ndarray, logs: np.ndarray, end: float, mean: float, sd: float, metric: str
) -> tuple[float, float, float, int]:
    """The run's own curve by the mixture of laws, and by its last doubling, each as likely as the other."""
    seen = pd.DataFrame({"steps": steps, metric: np.exp(logs)})
    found = forecast_table(seen, pd.DataFrame({"steps": [end]}), metric, ["steps"], names=("history", "its end"))
    parts = found.mixtures[""].parts()
    weight = np.append(parts.weight / 2, 0.5)
    means, sds = np.append(parts.mean[:, 0], mean)[:, None], np.append(parts.sd[:, 0], sd)[:, None]
    low, middle, high = (float(np.exp(quantile(weight, means, sds, p)[0])) for p in (0.025, 0.5, 0.975))
    return middle, low, high, 0


@dataclass(frozen=True)
class _Going:
    """The fall to come over the fall of the last doubling of steps: its mean and the sd of one more run."""

    ratio: float
    sd: float

    @classmethod
    def after(cls, peers: list[Fall], doublings: float, noise: float) -> "_Going":
        """From a power law's, `doublings`, with UNLIKE about it, and what the peers' were (least squares on both)."""
        if not peers:
            return cls(doublings, UNLIKE * doublings)
        recent, rest = (np.array([getattr(peer, name) for peer in peers]) for name in ("recent", "rest"))
        ratio, scatter = doublings, SCATTER
        for _ in range(5):  # weights depend on the ratio, and settle at once
            each = (scatter * ratio * recent) ** 2 + 2 * noise**2 * (1 + ratio + ratio**2)
            precision = 1 / (UNLIKE * doublings) ** 2 + (recent**2 / each).sum()
            ratio = float((doublings / (UNLIKE * doublings) ** 2 + (recent * rest / each).sum()) / precision)
            off = ((rest - ratio * recent) ** 2 / each).sum() * scatter**2
            scatter = float(np.sqrt((SCATTER_DOF * SCATTER**2 + off) / (SCATTER_DOF + len(peers))))
        return cls(ratio, float(np.hypot(scatter * ratio, 1 / np.sqrt(precision))))
