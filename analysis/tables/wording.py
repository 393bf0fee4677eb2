"""A table's forecast in words: which forms spoke, how far past the data, the band over floors, what would change it."""

import numpy as np
import pandas as pd

from dit_grid.analysis.tables.any_table import TableForecast
from dit_grid.analysis.tables.mixture import FEWEST, Mixture
from dit_grid.analysis.tables.priors import FLOORS
from dit_grid.model.plurals import counted

SPOKE = 0.02
"""Weight from which on a form is named."""


def said(found: TableForecast) -> str:
    """All of it, a line a thing."""
    table = found.predictions.to_dict("records")
    rows = [_row(found, number, row) for number, row in enumerate(table)]
    return "\n".join([heading(found), *rows, *explained(found)])


def heading(found: TableForecast) -> str:
    """What was fitted, in a line: the metric, the rows, and how groups share a law."""
    tables = found.tables
    group = f" with a level or law per {tables.group}" if tables.group else ""
    rows = counted(len(tables.seen), "row")
    return f"Forecast of {tables.y} from {rows} of {', '.join(tables.x)}{group}; 95 % intervals of one new run"


def explained(found: TableForecast) -> list[str]:
    """What a reader has to know before believing a row."""
    spoke = ", ".join(f"{name} {100 * w:.0f} %" for name, w in found.weights.items() if w >= SPOKE)
    judged = (
        "predicts the dearer rows from the cheaper ones" if len(found.tables.seen) >= FEWEST else "explains all rows"
    )
    lines = [f"  Forms, by how well each {judged}: {spoke}."]
    far = found.predictions["decades"]
    past = int((far > 0).sum())
    lines.append(
        f"  {past} of {counted(len(far), 'row')} {'lies' if past == 1 else 'lie'} past the data in {found.along}, "
        f"the farthest by {far.max():.2f} decades (×{10 ** far.max():,.3g})."
    )
    name, place = found.spoke[int(np.argmax(far))]
    mixture = found.mixtures[name]
    lines += [*floors(mixture, place), changes(mixture, place)]
    return lines + [f"  Note: {note}{'' if note.endswith('?') else '.'}" for note in found.notes]


def floors(mixture: Mixture, place: int) -> list[str]:
    """The band over floors for one asked row: chance and prediction of no floor, and of floors by their size."""
    weight, _, floor, mean, _ = mixture.parts()
    dearest = mixture.back(np.array(mixture.centre))
    bands = [
        ("none", FLOORS[0], 0.001),
        ("up to half", 0.001, 0.501),
        ("half to 0.8", 0.501, 0.801),
        ("above", 0.801, 1),
    ]
    words = []
    for name, low, high in bands:
        inside = (floor >= low) & (floor < high)
        share = weight[inside].sum()
        if share >= SPOKE:
            value = mixture.back(weight[inside] @ mean[inside, place] / share)
            of = (
                ""
                if name == "none"
                else f" ({_floor(mixture, floor[inside].min())} to {_floor(mixture, floor[inside].max())})"
            )
            words.append(f"{name}{of} {100 * share:.0f} %, then {value:.4g}")
    what = f"{dearest:.4g}" if mixture.back is np.exp else f"loss, ln {dearest:.4g}"
    return [f"  Floor, as a share of the dearest row's {what}, for the farthest row: {'; '.join(words)}."]


def _floor(mixture: Mixture, share: float) -> str:
    """A floor of this share of what falls at the dearest row, as a value of the metric."""
    return f"{mixture.back(mixture.centre + np.log(share)):.3g}"


def changes(mixture: Mixture, place: int) -> str:
    """What of the farthest row's uncertainty comes from form, floor, coefficients and noise, and so would change it."""
    weight, form, floor, mean, sd = mixture.parts()
    m, s = mean[:, place], sd[:, place]
    frame = pd.DataFrame({"w": weight, "m": m, "form": form, "floor": floor})
    total = weight @ (m - weight @ m) ** 2 + weight @ s**2
    between = {what: _between(frame, what) / total for what in ("form", "floor")}
    rest = 1 - sum(between.values())
    parts = {"which form holds": between["form"], "where the floor lies": between["floor"],
             "exponents, misfit and noise": max(rest, 0.0)}  # fmt: skip
    ordered = sorted(parts.items(), key=lambda item: -item[1])
    return "  What would change the answer, by its share of the variance: " + ", ".join(
        f"{name} {100 * share:.0f} %" for name, share in ordered
    ) + "; a run nearer to the row asked for narrows all of them."  # fmt: skip


def _between(frame: pd.DataFrame, what: str) -> float:
    """Variance of the means of groups of components."""
    grouped = frame.assign(wm=frame["w"] * frame["m"]).groupby(what)[["w", "wm"]].sum()
    mean = grouped["wm"] / grouped["w"]
    return float((grouped["w"] * (mean - grouped["wm"].sum()) ** 2).sum())


def _row(found: TableForecast, number: int, row: dict) -> str:
    asked = found.tables.asked.iloc[number]
    where = ", ".join(f"{name} {_value(asked[name])}" for name in asked.index)
    past = f", {row['decades']:.2f} decades past the data" if row["decades"] > 0 else ""
    return f"  {where}: {row['predicted']:.4g} [{row['low']:.4g}, {row['high']:.4g}]{past}"


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
