"""How runs were trained, as short hashes: the same for replicates (`recipe`), and for all values of a sweep (`rule`).

What is here tells runs apart. Which value of a sweep is best is `sweeps`; which models stand in one law is `families`.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

FAMILY = ("block", "image_size", "batch", "steps", "dataset")
"""Settings that all models of one law share; models that differ in one are left out, and named."""

_NOT_RECIPE = ("seed", "evaluate", "model", "cost", "metrics", "label")
"""Parts of a spec that a recipe leaves out: the seed, what was measured along the way, and the network itself, whose
size and patch a law varies and whose other fields have columns of their own."""

_NOT_TUNED = ("train.steps", "train.batch", "train.log_every", "train.parametrization", "train.base_width")
"""What of `train` no sweep tunes: what compute depends on, how often a run reports, and rules under which the best
values of the others are to be compared."""

_COSTS = ["params", "tokens", "forward_macs"]


def is_tuned(name: str) -> bool:
    """Whether a setting, by its dotted name, is a hyperparameter of which each model may have its own best value.

    Those are settings of `train`, and of an own trainer's `config` where they do not tell its models apart.
    """
    return name.startswith(("train.", "config.")) and name not in _NOT_TUNED


def with_recipes(runs: pd.DataFrame, specs: Sequence[Mapping[str, Any] | None], swept: Collection[str]) -> pd.DataFrame:
    """The runs with `recipe`, `rule` and `setting`; `swept` are the settings in which they differ, by dotted name.

    `recipe` is the same for replicates. `setting` holds, as JSON, the values of what a run's models are swept over,
    empty where there is no sweep: at least half of the models that share FAMILY and all else were trained under
    several values, which change neither parameters nor compute. `rule` is what a recipe is without its setting. So
    one model's extra run under another rate is no sweep, but another recipe.
    """
    pairs = list(zip(specs, runs["run_seed"].notna(), strict=True))
    recipes = [_hash(_kept(spec, seeded)) for spec, seeded in pairs]
    runs = runs.assign(recipe=recipes, rule=recipes, setting="")
    names = [name for name in swept if is_tuned(name)]
    if not names:
        return runs
    shared = [_hash(_without_values(_kept(spec, seeded), names)) for spec, seeded in pairs]
    places = {index: place for place, index in enumerate(runs.index)}
    for _, group in runs.groupby([*FAMILY, pd.Series(shared, runs.index)], dropna=False, sort=False):
        if not _is_sweep(group):
            continue
        found = [_values(specs[places[index]], names) for index in group.index]
        varied = [name for name in names if len({repr(one.get(name)) for one in found}) > 1]
        runs.loc[group.index, "rule"] = [shared[places[index]] for index in group.index]
        runs.loc[group.index, "setting"] = [json.dumps({name: one.get(name) for name in varied}) for one in found]
    return runs


def _is_sweep(group: pd.DataFrame) -> bool:
    models = group.groupby("model")
    several = models["recipe"].nunique() > 1
    same_costs = (models[_COSTS].nunique() <= 1).to_numpy().all()
    return bool(several.any() and 2 * several.sum() >= len(several) and same_costs)


def swept_keys(settings: "pd.Series[str]") -> tuple[str, ...]:
    """The names of what runs are swept over, in the order of the spec, from their `setting`s."""
    return tuple(dict.fromkeys(name for text in settings.unique() if text for name in json.loads(text)))


def place_of(value: Any) -> tuple[int, float, str]:
    """By what values of a setting sort: what is not said, numbers by size, then words."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (1, float(value), "")
    return (0, 0.0, "") if value is None else (2, 0.0, str(value))


def _kept(spec: Mapping[str, Any] | None, seeded: bool) -> dict[str, Any] | None:
    """What a recipe is made of; None where there is no spec.

    Imported runs name themselves there: those of one log are one recipe if they say their seeds, else each its own.
    """
    left_out = (*_NOT_RECIPE, "run_id") if seeded else _NOT_RECIPE
    return None if spec is None else {name: value for name, value in spec.items() if name not in left_out}


def _without_values(kept: dict[str, Any] | None, names: Collection[str]) -> dict[str, Any] | None:
    """The same without the settings of these names; an own trainer's config, which also says its size, goes whole."""
    if kept is None:
        return None
    own = {"config"} if "trainer" in kept else set()
    return _pruned({name: value for name, value in kept.items() if name not in own}, names)


def _pruned(part: Mapping[str, Any], names: Collection[str], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in part.items():
        inner = _pruned(value, names, f"{prefix}{name}.") if isinstance(value, Mapping) else value
        if f"{prefix}{name}" not in names and inner != {}:
            found[name] = inner
    return found


def _values(spec: Mapping[str, Any] | None, names: Sequence[str]) -> dict[str, Any]:
    return dict(_found(spec or {}, names))


def _found(spec: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for name in names:
        value: Any = spec
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        yield name, value


def _hash(kept: Mapping[str, Any] | None) -> str:
    """A short hash; empty where there is no spec."""
    return "" if kept is None else hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]
