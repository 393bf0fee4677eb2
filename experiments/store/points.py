"""Rows of a store as other programs' trackers have them: a step, a time, and numbers under names.

Names are `train/<column>` and `evals/<metric>/<protocol>`. Of how something was evaluated only the protocol is kept.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from dit_grid.experiments.store.records import TRAIN

TRAIN_PREFIX, EVALS_PREFIX = "train/", "evals/"

CURVES = tuple(name for name in TRAIN.schema.names if name not in {"run_id", "attempt", "step", "wall_unix_s"})
"""The columns of the table of training rows that change along training."""


class Points(NamedTuple):
    """Numbers by name that were written together: after `step` updates, at `wall_unix_s` by the writer's clock."""

    step: int
    wall_unix_s: float
    values: dict[str, float]
    attempt: int = 1


def train_points(rows: Iterable[Mapping[str, Any]]) -> Iterator[Points]:
    """Each training row's numbers; nulls are left out."""
    for row in rows:
        values = {f"{TRAIN_PREFIX}{name}": row[name] for name in CURVES if row[name] is not None}
        if values:
            yield Points(row["step"], row["wall_unix_s"] or 0.0, values, row["attempt"])


def eval_points(rows: Iterable[Mapping[str, Any]]) -> Iterator[Points]:
    """Each measurement; those without a value are left out."""
    for row in rows:
        if row["value"] is not None:
            yield Points(row["step"], row["wall_unix_s"] or 0.0, {eval_name(row): row["value"]}, row["attempt"])


def eval_name(row: Mapping[str, Any]) -> str:
    """The name of a row's measurement."""
    return f"{EVALS_PREFIX}{row['metric']}/{row['protocol']}"
