"""Under which of its settings a metric is shown and fitted, where several were measured; a line where that is a tie.

Values under different settings are not comparable, so every table, fit and figure keeps to one.
"""

from typing import Any

import pandas as pd

WEIGHTS = ("ema", "raw")
"""In the order of preference: samples are drawn from the average of the weights unless somebody asks otherwise."""

TELL_APART = (
    *("guidance", "weights", "sampler", "labels", "seed", "reference", "features", "decoder", "guidance_channels"),
    *("reference_sha256", "features_sha256", "decoder_sha256"),
)
"""Settings in which protocols of equal rank can differ, the ones that a reader looks for first."""


def main_protocol(evals: pd.DataFrame, metric: str) -> str | None:
    """The evaluation setting of a metric that most runs have, of equals the first of `tied_protocols`; None of none."""
    tied = tied_protocols(evals, metric)
    return str(tied["protocol"].iloc[0]) if len(tied) else None


def tied_protocols(evals: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A row a protocol that most runs have, with the most samples, then the most sampler steps; usually one.

    Of several the one with the lowest guidance (1 is none) comes first, then EMA weights, then the lowest seed.
    """
    rows = evals[evals["metric"] == metric]
    if rows.empty:
        return rows
    told = rows.drop_duplicates("protocol")
    if len(told) == 1:  # as in most stores, at a tenth of the time
        return told.reset_index(drop=True)
    groups = rows.groupby("protocol")
    rank = groups.agg(runs=("run_id", "nunique"), _samples=("samples", "max"), _steps=("sampler_steps", "max"))
    rank = rank.apply(pd.to_numeric).fillna(-1)
    best = rank.sort_values(list(rank), ascending=False, kind="stable").iloc[0]
    tied = rank.index[(rank == best).all(axis=1)]
    told = told.set_index("protocol").loc[tied].reset_index()
    weights = told["weights"].map({name: place for place, name in enumerate(WEIGHTS)}).fillna(len(WEIGHTS))
    keys = told.assign(_guidance=pd.to_numeric(told["guidance"]), _weights=weights, _seed=pd.to_numeric(told["seed"]))
    order = keys.sort_values(["_guidance", "_weights", "_seed", "protocol"], na_position="first").index
    return told.loc[order].reset_index(drop=True)


def protocol_tie(evals: pd.DataFrame, metric: str) -> str | None:
    """A line that says which setting is shown where several were measured as often; None where one leads."""
    tied = tied_protocols(evals, metric)
    if len(tied) < 2:
        return None
    differ = [name for name in TELL_APART if name in tied and tied[name].astype(str).nunique() > 1][:3]
    shown, *others = [_words(row, differ) for row in tied.to_dict("records")]
    listed = "; ".join(others[:4]) + (f" and {len(others) - 4} more" if len(others) > 4 else "")
    return f"{metric} was measured under {len(tied)} settings alike: shown is {shown}, not {listed}"


def _words(row: dict[Any, Any], names: list[str]) -> str:
    if not names:
        return f"protocol {row['protocol']}"
    return ", ".join(f"{name} {_short(row[name])}" for name in names)


def _short(value: Any) -> str:
    if value is None or pd.isna(value):
        return "not said"
    return f"{value:g}" if isinstance(value, float) else str(value)[:24]
