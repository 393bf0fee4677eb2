"""Which runs of a store belong together: models of one law share their settings, seeds of one model share all of them.

What is here only selects and says why a run was left out. What is fitted to the selection is `scaling`.
"""

import json
from collections.abc import Collection, Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from dit_grid.analysis.results.frames import Results
from dit_grid.analysis.results.recipes import FAMILY as FAMILY, place_of, swept_keys
from dit_grid.analysis.results.sweeps import best_only
from dit_grid.analysis.results.unknown import what_is_lacking, whole_numbers
from dit_grid.experiments.spec.swept import swept_settings
from dit_grid.model.plurals import counted


def largest_family(rows: pd.DataFrame, specs: Mapping[str, str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The rows of the family with the most models, each model under one rule, and (run id with reason) of the rest.

    All values of a sweep are in it; the best of each model is `sweeps.best_rows`. What the numbers of models leave
    open, and how it was decided, is `family_ties`. `rows` has run_id, model, rule and the columns of FAMILY, any number
    of rows a run. `specs` (run id -> the spec as JSON) is only asked for what two rules differ in.
    """
    rows, unknown = _known(rows)
    if _are_alike(rows):
        return rows, unknown
    chosen = _most_models(rows)
    inside = having(rows, chosen)
    outside = rows[~inside].drop_duplicates("run_id").to_dict("records")
    left_out = [f"{row['run_id']} ({_difference(row, chosen)})" for row in outside]
    family = rows[inside]
    usual = _usual_rule(family, specs)
    other = family["rule"] != family["model"].map(usual)
    left_out += _other_rules(family, other, specs)
    return family[~other], (*unknown, *left_out)


def _known(rows: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The rows of runs that can stand in a law, and the others' ids with what nobody said of them."""
    lacking = what_is_lacking(rows)
    if not any(lacking):  # as in most stores, at a tenth of the time
        return whole_numbers(rows), ()
    out = rows.assign(lacking=lacking)[lacking != ""].drop_duplicates("run_id")
    named = tuple(f"{run} ({what} unknown)" for run, what in zip(out["run_id"], out["lacking"], strict=True))
    return whole_numbers(rows[lacking == ""]), named


def _are_alike(rows: pd.DataFrame) -> bool:
    """Whether the rows are of one family and one rule, as in most stores: then nothing is to be chosen."""
    return rows.empty or len(rows[[*FAMILY, "rule"]].drop_duplicates()) == 1


def main_family(results: Results) -> tuple[Results, tuple[str, ...]]:
    """The results of the runs that belong together, of a sweep the best of each model, for figures; and what is left
    out with the reason."""
    found, left_out = whole_family(results)
    return best_only(found), left_out


def whole_family(results: Results) -> tuple[Results, tuple[str, ...]]:
    """The results of the runs that belong together, all values of a sweep, and what was left out with the reason."""
    kept, left_out = largest_family(results.runs, specs_of(results))
    ids = set(kept["run_id"])
    runs, train, evals = (whole_numbers(f[f["run_id"].isin(ids)]) for f in (results.runs, results.train, results.evals))
    return replace(results, runs=runs, train=train, evals=evals), left_out


def specs_of(results: Results) -> dict[str, str]:
    """Run id -> its spec as JSON; empty where nothing is recorded."""
    specs = (spec if isinstance(spec, str) else "" for spec in results.runs["spec"])
    return dict(zip(results.runs["run_id"], specs, strict=True))


def rule_names(results: Results) -> dict[str, str]:
    """Rule -> the settings in which the rules of the results differ, as text."""
    runs = results.runs.drop_duplicates("rule")
    named = _by_settings(runs, specs_of(results))
    return dict(zip(named["rule"], named["settings"], strict=True))


def family_ties(rows: pd.DataFrame, specs: Mapping[str, str]) -> tuple[str, ...]:
    """A line for each choice of `largest_family` that the number of models did not decide, with what else there is."""
    rows = _known(rows)[0]
    if _are_alike(rows):
        return ()
    sizes = _models_of_families(rows)
    families = [dict(zip(FAMILY, _as_tuple(key), strict=True)) for key in sizes[sizes == sizes.max()].index]
    family = rows[having(rows, _most_models(rows))]
    if len(families) == 1 and family["rule"].nunique() == 1:
        return ()
    runs = _runs_of_rules(family)
    tied = _ranked(runs[runs["models"] == runs["models"].max()], specs)
    lines = [_families_line(families, int(sizes.max()))] if len(families) > 1 else []
    if len(tied) > 1 and (runs.groupby("model")["rule"].nunique() > 1).any():
        lines.append(_recipes_line(tied))
    return tuple(lines)


def _families_line(families: list[dict[str, Any]], models: int) -> str:
    differ = [name for name in FAMILY if len({word(family[name]) for family in families}) > 1]
    first, *others = ["/".join(f"{name} {word(family[name])}" for name in differ) for family in families]
    many = f"{len(families)} families have {counted(models, 'model')} each"
    return f"{many}: taken is {first}, the first in order; not {_list(others)}"


def _recipes_line(tied: pd.DataFrame) -> str:
    (first, *others), (most, next_most) = tied["settings"], tied["rule_runs"].iloc[:2]
    many = f"{len(tied)} recipes have {counted(int(tied['models'].iloc[0]), 'model')} each"
    why = "which has more runs" if most > next_most else "the first in order"
    return f"{many}: taken is {first}, {why}; not {_list(others)}"


def _list(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _models_of_families(rows: pd.DataFrame) -> "pd.Series[int]":
    return rows.groupby(list(FAMILY), dropna=False)["model"].nunique()


def _as_tuple(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _most_models(rows: pd.DataFrame) -> dict[str, Any]:
    return dict(zip(FAMILY, _as_tuple(_models_of_families(rows).idxmax()), strict=True))


def having(rows: pd.DataFrame, chosen: Mapping[str, Any]) -> "pd.Series[bool]":
    """Whether each row has these settings; what neither says is the same."""
    alike = [rows[name].isna() if pd.isna(value) else rows[name] == value for name, value in chosen.items()]
    return pd.Series(np.logical_and.reduce(alike), rows.index, dtype=bool)


def word(value: Any) -> str:
    """A setting as text: whole numbers without a point, and what is not known said so."""
    if value is None or pd.isna(value):
        return "unknown"
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)


def _difference(row: dict[Hashable, Any], chosen: dict[str, Any]) -> str:
    pairs = [(column, word(row[column]), word(value)) for column, value in chosen.items()]
    return ", ".join(f"{column} {own}, not {value}" for column, own, value in pairs if own != value)


def _runs_of_rules(family: pd.DataFrame) -> pd.DataFrame:
    """A row a model and rule: `run_id`, one of its runs; of the rule, its `models` and its runs (`rule_runs`)."""
    by_rule = family.drop_duplicates("run_id").groupby("rule")
    groups = family.drop_duplicates("run_id").groupby(["model", "rule"])
    runs = groups.agg(run_id=("run_id", "first"), setting=("setting", "first")).reset_index()
    return runs.assign(
        models=runs["rule"].map(by_rule["model"].nunique()), rule_runs=runs["rule"].map(by_rule["run_id"].size())
    )


def _usual_rule(family: pd.DataFrame, specs: Mapping[str, str]) -> dict[str, str]:
    """Model -> the rule to keep: the first of `_ranked` that the model has, so that models share one where they can."""
    if family["rule"].nunique() == 1:
        return dict(family[["model", "rule"]].to_numpy())
    runs = _runs_of_rules(family)
    place = {rule: i for i, rule in enumerate(_ranked(runs, specs)["rule"])}
    ordered = runs.assign(place=runs["rule"].map(place)).sort_values("place", kind="stable")
    return dict(ordered.drop_duplicates("model")[["model", "rule"]].to_numpy())


def _ranked(runs: pd.DataFrame, specs: Mapping[str, str]) -> pd.DataFrame:
    """The rules, a row each: those of most models first, of equals those with more runs in all models together, then by
    the settings in which they differ, lowest numbers, then names."""
    rules = _by_settings(runs.drop_duplicates("rule"), specs)
    return rules.sort_values(["models", "rule_runs"], ascending=False, kind="stable")


def _by_settings(rules: pd.DataFrame, specs: Mapping[str, str]) -> pd.DataFrame:
    """The rules in order of the settings in which they differ, numbers by size, and those as text in `settings`."""
    tuned = set(swept_keys(rules["setting"]))
    parsed = [json.loads(specs.get(run_id) or "{}") for run_id in rules["run_id"]]
    swept = [
        {n: v for n, v in one.items() if not n.startswith("model.") and n not in tuned}
        for one in swept_settings(parsed)
    ]
    keys = [tuple(place_of(value) for value in one.values()) for one in swept]
    order = sorted(range(len(keys)), key=lambda i: (keys[i], rules["run_id"].iloc[i]))
    texts = ["/".join(f"{n} {word(v)}" for n, v in one.items()) or "settings as of " for one in swept]
    named = [t + i if t == "settings as of " else t for t, i in zip(texts, rules["run_id"], strict=True)]
    return rules.assign(settings=named).iloc[order]


def _other_rules(family: pd.DataFrame, other: "pd.Series[bool]", specs: Mapping[str, str]) -> list[str]:
    kept = family[~other].drop_duplicates("model").set_index("model")["run_id"].to_dict()
    rows = family[other].drop_duplicates("run_id")
    tuned = set(swept_keys(family["setting"]))
    return [
        f"{run_id} (its {_spec_difference(specs.get(run_id, ''), specs.get(kept[model], ''), tuned)})"
        for run_id, model in zip(rows["run_id"], rows["model"], strict=True)
    ]


def _spec_difference(own: str, usual: str, tuned: Collection[str]) -> str:
    """The first three settings in which two specs differ, with both values; of what is tuned none."""
    mine, theirs = (_flat(json.loads(text or "{}")) for text in (own, usual))
    either = {n for n in mine.keys() | theirs.keys() if mine.get(n) != theirs.get(n)}
    names = sorted(n for n in either if n != "seed" and n not in tuned)
    parts = [f"{n} {mine.get(n)}, not {theirs.get(n)}" for n in names[:3]]
    return "; ".join([*parts, *([f"and {len(names) - 3} more"] if len(names) > 3 else [])]) or "settings differ"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    inside = [_flat(item, f"{prefix}.{name}" if prefix else name) for name, item in value.items()]
    return {name: item for part in inside for name, item in part.items()}
