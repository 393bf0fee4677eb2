"""Sweeps in words, as the law, the report and the figures tell them: what was tried, what is best, what to beware of.

What is here computes nothing; the numbers are `tuning`, `optima` and `results.sweeps`.
"""

from collections.abc import Iterator, Sequence

import pandas as pd

from dit_grid.analysis.fits.rows import is_numeric
from dit_grid.analysis.laws.optima import Optima
from dit_grid.analysis.laws.tuning import Tuning
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.analysis.results.sweeps import Sweep, shown
from dit_grid.model.plurals import counted

SHOWN = 12
"""Models that one line names."""


def tuning_cautions(tuning: Tuning) -> Iterator[str]:
    """Lines on bests at an edge, on those that may still change, and on models that were not tuned."""
    sweep = tuning.sweep
    places = dict.fromkeys((e.key, e.side, e.value) for e in tuning.edges)
    for key, side, value in places:
        models = [e.model for e in tuning.edges if (e.key, e.side, e.value) == (key, side, value)]
        yield (
            f"the best of {_list(models)} is at the {side} {sweep.short(key)} tried ({shown(value)}): better may lie "
            f"beyond, so sweep {'lower' if side == 'lowest' else 'higher'}"
        )
    waiting = sweep.cells[(sweep.cells["lacking"] > 0) & sweep.cells["model"].isin(sweep.best["model"])]
    if len(waiting):
        yield (
            f"the best of {_list(list(dict.fromkeys(waiting['model'])))} is provisional: no final value of "
            f"{_cells(sweep, waiting)} ({int(waiting['lacking'].sum())} runs)"
        )
    counts = sweep.cells.groupby("model", sort=False).size()
    if len(alone := list(counts.index[counts == 1])):
        yield f"{_list(alone)} had one {_keys(sweep)} alone: not tuned, beside models that are"


def tuning_ties(tuning: Tuning) -> Iterator[str]:
    """A line on the models that are as good under another value; none where no model is."""
    sweep, named = tuning.sweep, []
    for cell in sweep.best.to_dict("records"):
        alike = sweep.cells[sweep.cells["tied"] & ~sweep.cells["best"] & (sweep.cells["model"] == cell["model"])]
        if len(alike):
            others = ", ".join(sweep.named(other) for other in alike.to_dict("records"))
            named.append(f"{cell['model']} ({sweep.named(cell)} and {others})")
    if named:
        yield f"as good under several {_keys(sweep)}, of which the first is taken: {_list(named)}"


def tuning_lines(tuning: Tuning) -> Iterator[str]:
    """The sweep in a few lines: what was tried and is best, how much choosing flatters, and where the optimum goes."""
    sweep = tuning.sweep
    yield f"{capital(sweep.over)}: {tried(sweep)}"
    yield f"  {', '.join(bests(sweep))}"
    if len(broken := sweep.cells[sweep.cells["diverged"] > 0]):
        yield f"  Diverged, which counts as worse: {_cells(sweep, broken)}"
    yield f"  {flattery_words(tuning)}"
    yield from (f"  {optimum_words(sweep, found)}" for found in tuning.optima)


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def tried(sweep: Sweep) -> str:
    """What each model was trained under, and on what the choice is made."""
    counts = sweep.cells.groupby("model").size()
    several = "values" if len(sweep.keys) == 1 else "combinations"
    ranges = [f"{sweep.short(key)} {_range(sweep.cells[key])}" for key in sweep.keys]
    seeds = sweep.cells.loc[sweep.cells["seeds"] > 0, "seeds"]
    mean = f"the mean of {_span(seeds)} seeds" if len(seeds) and seeds.max() > 1 else "one seed"
    return f"{_span(counts)} {several} a model ({'; '.join(ranges)}), chosen on {mean}"


def bests(sweep: Sweep) -> list[str]:
    """Each model with its best value."""
    return [f"{cell['model']} {sweep.named(cell)}" for cell in sweep.best.to_dict("records")]


def flattery_words(tuning: Tuning) -> str:
    """How much choosing flatters the values, or that one seed cannot say."""
    found = tuning.flattery
    if found is None:
        return "The best of several noisy values looks better than it is; one seed a value cannot say by how much."
    by = f"×{found.by:.3f}" if metric_named(tuning.sweep.metric).log else f"{found.by:.3g}"
    told = f"Choosing flatters by {by} (each seed read under the value that the others choose)"
    if tuning.honest is None:
        return f"{told}."
    name = "exponent" if "exponent" in tuning.honest.params else "slope"
    return f"{told}; so read, the {name} is {tuning.honest.params[name]}."


def optimum_words(sweep: Sweep, found: Optima) -> str:
    """The law of the optimum with its interval, or why there is none."""
    name = sweep.short(found.key)
    if found.fit is None:
        return f"No law of the best {name}: {found.why}; a law needs 3."
    equation = found.fit.law.equation(found.fit.theta).replace("optimum", name)
    said = f"Best {name}: {equation}, exponent {found.fit.params['exponent']} (95 %, {counted(found.fit.n, 'model')}"
    outside = len(found.table) - found.fit.n
    said += f", {outside} not inside their sweep left out)" if outside else ")"
    apart = f"neighbours ×{found.factor:.3g} apart set the resolution"
    if found.is_too_coarse:
        return f"{said}; TOO COARSE: {apart}, and the law moves less than that over all models."
    return f"{said}; {apart}."


def _range(column: pd.Series) -> str:
    values = list(dict.fromkeys(column.dropna()))
    if is_numeric(column) and len(values) > 3:
        return f"{shown(min(values))} to {shown(max(values))}"
    return ", ".join(shown(value) for value in values[:6]) + (" …" if len(values) > 6 else "")


def _span(numbers: "pd.Series[int]") -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _keys(sweep: Sweep) -> str:
    return " × ".join(map(sweep.short, sweep.keys))


def _cells(sweep: Sweep, cells: pd.DataFrame) -> str:
    return _list([f"{cell['model']} {sweep.named(cell)}" for cell in cells.to_dict("records")])


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
