"""The forecast of any table: rows of y, predictors and perhaps a group in; predictions with intervals out.

What is here decides which rows speak for which: a group with enough rows for itself, all rows with a level per group
for the others. The statistics are `mixture` and `posterior`; words are `wording`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dit_grid.analysis.tables.axes import axes_of
from dit_grid.analysis.tables.logarithms import scale_of
from dit_grid.analysis.tables.mixture import Mixture, mix
from dit_grid.analysis.tables.priors import kind_of, prior_of, with_floor_of
from dit_grid.analysis.tables.remarks import remarks
from dit_grid.analysis.tables.scales import mixed_units
from dit_grid.analysis.tables.table import Tables, checked

OWN_ROWS, OWN_ROWS_OF_MANY = 5, 3
"""Places from which on a group speaks for itself; with fewer it has a level, and shares exponents with the others."""

MANY_GROUPS = 12
"""More groups than this are curves rather than families of models, and need fewer rows to speak for themselves."""

MOST_ROWS = 240
"""Rows that a mixture is fitted to at most; of more, the dearest quarter and an even choice of the others."""

MOST_GROUPS = 40
"""Groups whose rows are fitted together at most: those asked for first, then those with the most rows."""

LEAST_GROUP_SD = 0.05
QUANTILES = (0.025, 0.5, 0.975)


@dataclass(frozen=True)
class TableForecast:
    """`predictions` has a row an asked row, in order: predicted, low, high (95 %, one new run), decades past the data.

    `mixtures` has what spoke: a mixture a group that speaks for itself, and "" for all rows together; `spoke` names the
    one of each asked row, `place` its row in it. `along` says what the decades are counted in.
    """

    predictions: pd.DataFrame
    mixtures: dict[str, Mixture]
    spoke: list[tuple[str, int]]
    tables: Tables
    along: str
    notes: tuple[str, ...]

    @property
    def weights(self) -> pd.Series:
        """Form -> weight, the mean over the asked rows, the greatest first."""
        each = pd.DataFrame([dict(self.mixtures[name].weights) for name, _ in self.spoke]).fillna(0.0)
        return each.mean().sort_values(ascending=False)

    def to_record(self) -> dict[str, Any]:
        """The forecast as plain values for a program."""
        asked = self.tables.asked.to_dict("records")
        rows = [a | p for a, p in zip(asked, self.predictions.to_dict("records"), strict=True)]
        return {
            "metric": self.tables.y, "rows_fitted": len(self.tables.seen), "interval": 0.95, "predictions": rows,
            "forms": {str(name): float(weight) for name, weight in self.weights.items()}, "along": self.along,
            "notes": list(self.notes),
        }  # fmt: skip


def forecast_table(
    seen: pd.DataFrame, asked: pd.DataFrame, y: str, x: Sequence[str], group: str | None = None,
    without: tuple[str, ...] = (), names: tuple[str, str] = ("the table", "the rows to predict"),
) -> TableForecast:  # fmt: skip
    """What one new run of each row of `asked` would reach in `y`, from the rows of `seen`; lower is better in `y`.

    `x` are positive columns: sizes, data, steps, compute. `group` names families or curves. `without` names public
    tables that the priors are not to know, for scoring them.

    Raises:
        TableError: a table cannot be used; see `table.checked`.
    """
    tables = checked(seen, asked, y, tuple(x), group, names)
    prior = prior_of(kind_of(y), without)
    notes = [*tables.dropped, *mixed_units(tables.seen, tables.asked, y, tables.x, tables.group)]
    predicted = np.full((len(QUANTILES), len(tables.asked)), np.nan)
    decades = np.zeros(len(tables.asked))
    spoke: list[tuple[str, int]] = [("", 0)] * len(tables.asked)
    mixtures, along = {}, ""
    for name, rows, asked_rows in _speakers(tables, notes):
        wanted = tables.asked.iloc[asked_rows]
        part = _of_fewer_groups(tables.seen.iloc[rows], wanted, tables.group if name == "" else None, notes)
        part = _thinned(part, wanted, tables.x, notes)
        axes = axes_of(part, wanted, tables.x)
        levels = [group_levels(frame, part, tables.group if name == "" else None) for frame in (part, wanted)]
        scale = scale_of(y, part[y].to_numpy())
        t = scale.to(part[y].to_numpy())
        spread = group_spread(t, axes.named["compute"][0], levels[0])
        known = with_floor_of(prior, y, float(part[y].iloc[int(np.argmax(axes.named["compute"][0]))]))
        mixtures[name] = mix(t, axes, known, levels[0], levels[1], spread, scale.back)
        predicted[:, asked_rows] = mixtures[name].quantiles(QUANTILES)
        c, new = axes.named["compute"]
        decades[asked_rows] = np.maximum(0, np.maximum(new - c.max(), c.min() - new)) / np.log(10)
        along = axes.along
        for place, row in enumerate(asked_rows):
            spoke[row] = (name, place)
        notes += remarks(t, axes, y, f"{tables.group} {name!r}" if name else "")
    low, middle, high = predicted
    table = pd.DataFrame({"predicted": middle, "low": low, "high": high, "decades": decades})
    return TableForecast(table, mixtures, spoke, tables, along, tuple(dict.fromkeys(notes)))


def _speakers(tables: Tables, notes: list[str]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, measured rows and asked rows of each part; the name of all rows together is ""."""
    every = np.arange(len(tables.seen)), np.arange(len(tables.asked))
    if not tables.group:
        return [("", *every)]
    of, asked = tables.seen[tables.group].to_numpy(), tables.asked[tables.group].to_numpy()
    parts, rest = [], np.ones(len(asked), bool)
    enough = OWN_ROWS if len(set(of)) <= MANY_GROUPS else OWN_ROWS_OF_MANY
    for name in dict.fromkeys(asked):
        own = np.flatnonzero(of == name)
        distinct = len(tables.seen.iloc[own][list(tables.x)].drop_duplicates())
        if distinct >= enough:
            parts.append((str(name), own, np.flatnonzero(asked == name)))
            rest &= asked != name
        elif not len(own):
            notes.append(f"{tables.group} {name!r} was never measured: predicted at the level of the others, and wider")
        elif len(own) == 1:
            notes.append(f"{tables.group} {name!r} has one row: its level is known, its exponents are the others'")
    return [*parts, *([("", every[0], np.flatnonzero(rest))] if rest.any() else [])]


def group_levels(frame: pd.DataFrame, seen: pd.DataFrame, group: str | None) -> np.ndarray:
    """A column of ones, and one for each measured group with ones in its rows."""
    ones = np.ones((len(frame), 1))
    names = sorted(set(seen[group])) if group else []
    if len(names) < 2 or group is None:
        return ones
    return np.hstack([ones, (frame[group].to_numpy()[:, None] == np.array(names)).astype(float)])


def group_spread(t: np.ndarray, compute: np.ndarray, levels: np.ndarray) -> float:
    """How far groups differ in ln y at equal compute, from their levels about a shared slope."""
    if levels.shape[1] == 1:
        return LEAST_GROUP_SD
    design = np.column_stack([levels[:, 1:], compute])
    level = np.linalg.lstsq(design, t, rcond=None)[0][:-1]
    return float(max(np.std(level, ddof=1), LEAST_GROUP_SD))


def _of_fewer_groups(part: pd.DataFrame, wanted: pd.DataFrame, group: str | None, notes: list[str]) -> pd.DataFrame:
    """The rows of MOST_GROUPS groups: each has a level to be found, and thousands of levels would take minutes."""
    if group is None or part[group].nunique() <= MOST_GROUPS:
        return part
    count = part[group].value_counts()
    order = count.index[np.argsort(~count.index.isin(wanted[group]), kind="stable")]
    notes.append(
        f"rows of {MOST_GROUPS} of {len(count):,} values of {group} were fitted: those asked for and the longest"
    )
    return part[part[group].isin(order[:MOST_GROUPS])]


def _thinned(part: pd.DataFrame, wanted: pd.DataFrame, x: tuple[str, ...], notes: list[str]) -> pd.DataFrame:
    if len(part) <= MOST_ROWS:
        return part
    order = np.argsort(axes_of(part, wanted, x).named["compute"][0], kind="stable")
    dearest = MOST_ROWS // 4
    others = np.linspace(0, len(part) - dearest - 1, MOST_ROWS - dearest).round().astype(int)
    notes.append(f"{MOST_ROWS} of {len(part)} rows were fitted: the {dearest} dearest and an even choice of the others")
    return part.iloc[np.sort(np.concatenate([order[others], order[-dearest:]]))]
