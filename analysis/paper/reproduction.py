"""Own results beside the paper's or another store's, run by run: the gap, whether seeds alone make one as large, and
which settings differ.

What is here compares with Table 4, or two stores with each other; a metric or model that one side lacks is named, not
compared. Nothing is fitted.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from dit_grid.analysis.forecasting.design import ASSUMED_SEED_SD, FID_SEED_SD
from dit_grid.analysis.paper.tables import paper_results
from dit_grid.analysis.results.frames import NotMeasuredError, Results, final_rows, in_grid_order
from dit_grid.model.plurals import counted

RERUNS, RERUN_MEAN, RERUN_SD = 19, float(np.log(1.078)), 0.10
"""How many public reruns of published FIDs are known, and mean and standard deviation of ln(own / printed) over them:
most come out worse. Only the two moments were kept, not the pairs."""

RERUN_THREADS = {
    "JiT": (41, 42, 56), "REPA": (34, 59), "REPA-E": (16,), "LightningDiT": (22, 77), "REG": (10,), "iREPA": (6,),
    "DeltaFM": (6,),
}  # fmt: skip
"""The issues in which people told them, some with several pairs: project -> numbers."""

Z_95 = 1.96

SETTINGS = ("samples", "sampler", "sampler_steps", "guidance", "weights", "decoder")
RUN_SETTINGS = ("batch", "steps", "dataset")
SAME_MODEL = ["model", "block", "image_size"]
SAME_RUN = [*SAME_MODEL, "run_seed"]
REPLICATES = ["model", "block", "image_size", "batch", "steps", "dataset", "recipe"]

CAUSES = (
    "fewer than 50,000 samples raise FID; the bias falls as 1 / samples",
    "another decoder than ft-MSE moves FID by 0.03 to 0.2 (Table 5)",
    "reference statistics of another crop, resize or split",
    "guidance other than 1, or labels not drawn uniformly",
    "raw weights instead of their average, or an average that started late",
)
"""The usual causes of a gap, most frequent first."""

STORE_CAUSES = (
    "other code, package versions or kind of device: the runs tables and attempts say which",
    "another seed, or fewer steps: the column `differs` says so",
    "an evaluation under other settings, where compared with --anyway",
)


@dataclass(frozen=True)
class Comparison:
    """A row a pair of runs (`table`), what made the noise band, what differs in provenance, and what has no partner.

    `table` has run_id, model, seed, steps, own, other, ratio (own over other), `verdict` (equal, seed noise, rerun
    spread or larger), and `differs`, the settings that are not the same, empty for none.
    """

    metric: str
    own: str
    other: str
    table: pd.DataFrame
    band: float
    band_from: str
    provenance: dict[str, list[Any]]
    alone: tuple[str, ...]
    causes: tuple[str, ...]

    def summary(self) -> list[str]:
        """How many pairs are within what, what differs in provenance, and the usual causes of a larger gap."""
        counts = self.table["verdict"].value_counts()
        said = ", ".join(f"{counts[name]} {name}" for name in VERDICTS if name in counts)
        lines = [f"{counted(len(self.table), 'run')} of {self.own} beside {self.other} on {self.metric}: {said}"]
        lines.append(f"  seed noise is within {_percent(np.expm1(self.band))} ({self.band_from})")
        if "rerun spread" in counts:
            threads = sum(map(len, RERUN_THREADS.values()))
            low, high = (np.exp(RERUN_MEAN + side * Z_95 * RERUN_SD) for side in (-1, 1))
            lines.append(
                f"  rerun spread is ×{low:.2f} to ×{high:.2f} of print: most reruns come out worse, {RERUNS} public "
                f"ones, told in {threads} threads, by {100 * np.expm1(RERUN_MEAN):.1f} % on average"
            )
        lines += [
            f"  measured with other {name}: {', '.join(map(repr, values))}" for name, values in self.provenance.items()
        ]
        for what, rows in self.table[self.table["differs"] != ""].groupby("differs", sort=False):
            lines.append(f"  {_some(list(dict.fromkeys(rows['model'])))} differ in {what}")
        lines += [f"  no partner: {'; '.join(self.alone)}"] if self.alone else []
        if "larger" in counts:
            lines += ["Usual causes of a gap, most frequent first:", *(f"  {cause}" for cause in self.causes)]
        return lines


VERDICTS = ("equal", "seed noise", "rerun spread", "larger")


def compare_with_paper(results: Results) -> Comparison:
    """Each final FID of a model that the paper trained too, beside the published value at the nearest step.

    `differs` names settings that are not the paper's; with any the values are not strictly comparable.

    Raises:
        NotMeasuredError: no FID was measured, or of no model of the paper.
    """
    own, published = final_rows(results, "fid"), final_rows(paper_results(), "fid")
    pairs = own.merge(published, on=["model", "block", "image_size"], suffixes=("", "_other"))
    if pairs.empty:
        models = ", ".join(dict.fromkeys(own["model"]))
        raise NotMeasuredError(
            f"the paper reports none of {models} at this image size; compare with another store instead"
        )
    distance = (pairs["steps"] - pairs["steps_other"]).abs()
    pairs = in_grid_order(pairs[distance == distance.groupby(pairs["run_id"]).transform("min")])
    differs = [_differences(row, "paper") for row in pairs.to_dict("records")]
    alone = tuple(dict.fromkeys(own.loc[~own["run_id"].isin(pairs["run_id"]), "model"]))
    band, source = _band([own], FID_SEED_SD, "1.5 %, arXiv 2606.20536")
    table = _table(pairs, differs, band, True)
    return Comparison("fid", results.where, "the paper, Table 4", table, band, source, {}, alone, CAUSES)


def compare_stores(own: Results, other: Results, metric: str, anyway: bool = False) -> Comparison:
    """Each final value of one store beside the other's for the same model, block, image size and seed.

    Stores that share models and no seed are compared by model, the lowest seed of each; `differs` says which.

    Raises:
        NotComparableError: the evaluations differ in a setting that can change the value; unless `anyway`.
        NotMeasuredError: a store lacks the metric, or they have no model in common.
    """
    from dit_grid.experiments.store.provenance import NotComparableError, differences

    first, second = final_rows(own, metric), final_rows(other, metric)
    different = differences(_plain(pd.concat([first, second])))
    if different and not anyway:
        named = "; ".join(f"{name}: {', '.join(map(repr, values))}" for name, values in different.items())
        raise NotComparableError(
            f"{own.where} and {other.where} measured {metric} differently, in {named}; compare with --anyway"
        )
    pairs = first.merge(second, on=SAME_RUN, suffixes=("", "_other"))
    if pairs.empty:
        pairs = _one_a_model(first).merge(_one_a_model(second), on=SAME_MODEL, suffixes=("", "_other"))
    if pairs.empty:
        models = [", ".join(dict.fromkeys(rows["model"])) for rows in (first, second)]
        raise NotMeasuredError(f"no model in common: {own.where} has {models[0]}; {other.where} has {models[1]}")
    pairs = in_grid_order(pairs)
    specs = [results.runs.set_index("run_id")["spec"] for results in (own, other)]
    differs = [
        _spec_differences(specs[0][a], specs[1][b]) for a, b in zip(pairs["run_id"], pairs["run_id_other"], strict=True)
    ]
    sides = ((first, pairs["run_id"]), (second, pairs["run_id_other"]))
    alone = [row for rows, known in sides for row in _named_runs(in_grid_order(rows[~rows["run_id"].isin(known)]))]
    assumed = FID_SEED_SD if metric == "fid" else ASSUMED_SEED_SD
    band, source = _band([first, second], assumed, f"{100 * assumed:.2g} %, assumed")
    table = _table(pairs, differs, band, False)
    return Comparison(metric, own.where, other.where, table, band, source, different, _by_seeds(alone), STORE_CAUSES)


def _one_a_model(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values("run_seed").drop_duplicates(SAME_MODEL)


def _by_seeds(runs: list[tuple[Any, ...]]) -> tuple[str, ...]:
    """The models of rows of SAME_RUN, each once, those with the same seeds together: seeds 1, 2 of S/8, S/4."""
    seeds: dict[str, set[Any]] = {}
    for model, *_, seed in runs:
        seeds.setdefault(model, set()).add(seed)
    models: dict[str, list[str]] = {}
    for model, found in seeds.items():
        known = sorted(seed for seed in found if seed is not None)
        said = f"{'seed' if len(known) == 1 else 'seeds'} {', '.join(map(str, known))} of " if known else ""
        models.setdefault(said, []).append(model)
    return tuple(f"{said}{', '.join(names)}" for said, names in models.items())


def _table(pairs: pd.DataFrame, differs: list[str], band: float, reruns: bool) -> pd.DataFrame:
    ratio = pairs["value"] / pairs["value_other"]
    gap = np.abs(np.log(ratio))
    small = np.where(gap == 0, "equal", np.where(gap <= band, "seed noise", "larger"))
    within = (gap > band) & (np.abs(np.log(ratio) - RERUN_MEAN) <= Z_95 * RERUN_SD) & reruns
    columns = {"run_id": "run_id", "model": "model", "seed": "seed", "steps": "steps", "value": "own"}
    columns["value_other"] = "other"
    table = (
        pairs.assign(seed=pairs["run_seed"])[list(columns)]
        .rename(columns=columns)
        .assign(ratio=ratio, verdict=np.where(within, "rerun spread", small))
    )
    return table.assign(differs=differs).reset_index(drop=True)


def _named_runs(rows: pd.DataFrame) -> list[tuple[Any, ...]]:
    """What makes each row the same run as another's; what a trainer of one's own does not know is None, not NaN."""
    names = rows[SAME_RUN].astype(object)
    return list(names.where(names.notna(), None).itertuples(index=False, name=None))


def _band(sides: list[pd.DataFrame], assumed: float, told: str) -> tuple[float, str]:
    """The largest |ln ratio| that two seeds of one model show in 95 % of pairs, and where it is from.

    Three or more replicates say it, pooled over models and sides; with fewer it is what is assumed.
    """
    squares, dof, models = 0.0, 0, set[str]()
    for rows in sides:
        rows = rows[rows["value"] > 0]
        logs = rows.assign(log=np.log(rows["value"])).groupby(REPLICATES, dropna=False)["log"]
        squares += float((logs.var(ddof=0) * logs.size()).sum())
        dof += int((logs.size() - 1).sum())
        models |= set(rows.loc[rows.duplicated(REPLICATES), "model"])
    sd, source = assumed, f"seeds differ by {told}"
    if dof >= 3:
        sd, source = float(np.sqrt(squares / dof)), f"from the seeds of {counted(len(models), 'model')}"
    return float(ndtri(0.975) * np.sqrt(2) * sd), source


def _differences(row: dict, whose: str) -> str:
    pairs = ((name, row[name], row[f"{name}_other"]) for name in (*RUN_SETTINGS, *SETTINGS))
    told = ((name, _told(own), _told(other)) for name, own, other in pairs)
    return "; ".join(f"{name} {own}, {whose} {other}" for name, own, other in told if own != other)


def _told(value: object) -> object:
    return "unknown" if value is None or value != value else value


def _spec_differences(own: object, other: object, shown: int = 4) -> str:
    """The first settings in which two specs (JSON) differ, with both values; how they were measured is told apart."""
    mine, theirs = (_flat(json.loads(text) if isinstance(text, str) and text else {}) for text in (own, other))
    if bool(mine) != bool(theirs):
        return "settings that only one side recorded"
    names = [name for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)]
    names = [name for name in names if not name.startswith("evaluate.")]
    parts = [f"{name} {mine.get(name)}, other {theirs.get(name)}" for name in names[:shown]]
    return "; ".join([*parts, *([f"and {len(names) - shown} more"] if len(names) > shown else [])])


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value} if prefix else {}
    return {n: v for key, item in value.items() for n, v in _flat(item, f"{prefix}.{key}" if prefix else key).items()}


def _plain(rows: pd.DataFrame) -> list[dict[str, Any]]:
    found = rows.astype(object).where(rows.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in found.to_dict("records")]


def _some(names: list[str], shown: int = 4) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def _percent(share: float) -> str:
    return f"±{100 * share:.1f} %"
