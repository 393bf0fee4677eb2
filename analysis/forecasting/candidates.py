"""Models that were not run, by name: what they are and cost, from `model.accounting`, in the family of runs that were.

A name is a size and a patch as in `XL/1`, or a network spelled out as `WIDTHxDEPTHxHEADS/PATCH`. Hours and money are
`plan`'s.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from dit_grid.analysis.results.families import FAMILY, having
from dit_grid.analysis.results.frames import Results
from dit_grid.analysis.results.unknown import has_own_trainer, what_is_lacking
from dit_grid.model import accounting
from dit_grid.model.config import SIZES, ConfigError, DiTConfig

_NAME = re.compile(r"(?P<size>[A-Za-z0-9._-]+)/(?P<patch>[1-9]\d*)")
_SHAPE = re.compile(r"(\d+)x(\d+)x(\d+)")
_FIELDS = {field.name for field in dataclasses.fields(DiTConfig)}


class UnknownModelError(ValueError):
    """A model's name that says no network; the message says what is allowed."""


def named_models(names: Iterable[str], results: Results) -> pd.DataFrame:
    """A row a name with the columns of `results.runs` that describe a network, its cost and its training.

    Block, image size, batch, steps and dataset are those of the family with the most models; a measured model is its
    own row. A size takes its shape from the runs, else from the paper's four.

    Raises:
        UnknownModelError: a name of another form, an unknown size, or a shape that is no network.
    """
    runs = results.runs[what_is_lacking(results.runs) == ""]
    if runs.empty:
        raise UnknownModelError(
            f"{results.where or 'these results'}: no runs whose network is known, so no family to put a model in"
        )
    family = runs.value_counts(list(FAMILY), dropna=False).index[0]
    inside = runs[having(runs, dict(zip(FAMILY, family, strict=True)))]
    if has_own_trainer(inside).all() and (unknown := set(names) - set(inside["model"])):
        raise UnknownModelError(
            f"model {sorted(unknown)[0]!r}: these runs have a trainer of their own, which alone knows its models; "
            f"name one of {', '.join(dict.fromkeys(inside['model']))}, or add it to the spec's grid"
        )
    shapes = {row["size"]: (row["width"], row["depth"], row["heads"]) for row in inside.to_dict("records")}
    known = {row["model"]: row for row in inside.to_dict("records")}
    like = {str(column): value for column, value in inside.iloc[0].items()}
    rows = [known.get(name) or _row(name, like, shapes) for name in dict.fromkeys(names)]
    return pd.DataFrame(rows).reset_index(drop=True)


def _row(name: str, like: Mapping[str, Any], shapes: Mapping[str, tuple]) -> dict[str, Any]:
    size, patch, (width, depth, heads) = _parsed(name, shapes)
    settings = json.loads(like["spec"]) if isinstance(like.get("spec"), str) and like["spec"] else {}
    facts = ("image_size", "channels", "classes")
    if unknown := [key for key in ("block", *facts) if pd.isna(like[key])]:
        raise UnknownModelError(f"model {name!r}: {', '.join(unknown)} of the runs unknown, so its cost is too")
    known = {"block": like["block"], **{key: int(like[key]) for key in facts}}
    known |= {key: value for key, value in settings.get("model", {}).items() if key in _FIELDS}
    known["learn_sigma"] = settings.get("diffusion", {}).get("variance", "learned-range") == "learned-range"
    try:
        config = DiTConfig(**known | {"patch": patch, "width": width, "depth": depth, "heads": heads})
    except ConfigError as error:
        raise UnknownModelError(f"model {name!r}: {error}") from None
    macs = accounting.forward_macs(config)
    network = {"model": name, "size": size, "patch": patch, "width": width, "depth": depth, "heads": heads}
    cost = {"tokens": config.tokens, "params": accounting.trainable_params(config), "forward_macs": macs}
    return {**like, **network, **cost, "gmacs": macs / 1e9, "run_id": "", "state": "not asked for"}


def _parsed(name: str, shapes: Mapping[str, tuple]) -> tuple[str, int, tuple[int, int, int]]:
    found = _NAME.fullmatch(name)
    if not found:
        raise UnknownModelError(f"model {name!r}: name a size and a patch, e.g. XL/1, or a network, e.g. 96x6x6/2")
    size, patch = found["size"], int(found["patch"])
    if shape := _SHAPE.fullmatch(size):
        width, depth, heads = map(int, shape.groups())
        return size, patch, (width, depth, heads)
    measured = {name: shape for name, shape in shapes.items() if not any(map(pd.isna, shape))}
    known = {name: (shape.width, shape.depth, shape.heads) for name, shape in SIZES.items()} | measured
    if size not in known:
        raise UnknownModelError(
            f"model {name!r}: no size {size!r}; sizes: {', '.join(known)}, or WIDTHxDEPTHxHEADS, e.g. 96x6x6/2"
        )
    width, depth, heads = known[size]
    return size, patch, (int(width), int(depth), int(heads))
