"""Whether evaluation rows may stand in one comparison: every setting that can change the value must agree.

What an evaluation is, and how it is measured, is not known here; rows come as an Arrow table or a list of dicts.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pyarrow as pa

from dit_grid.experiments.store.errors import StoreError
from dit_grid.experiments.store.records import EVALS

_TIMES = {"seconds", "sampling_s", "decoding_s", "features_s", "statistics_s", "wall_unix_s"}

NOT_SETTINGS = frozenset({"run_id", "attempt", "step", "value", "protocol", *_TIMES})
"""Columns of an evaluation that say whose it is and what came out, not how it was measured. `protocol` is a hash of the
others and would say that rows differ without saying in what."""

SETTINGS = tuple(column.name for column in EVALS.columns if column.name not in NOT_SETTINGS)


_PROVENANCE_ONLY = frozenset({"metric", "code_sha256"})
"""Settings that are not part of a protocol: the metric stands beside it in a row's key, the code changes every day."""

_REALS = frozenset(column.name for column in EVALS.columns if column.type == "double")


def protocol(settings: Mapping[str, Any]) -> str:
    """8 hex digits that name how a row was measured: the same for the same settings, whoever measured or imported it.

    `settings` is a row of `records.EVALS` or the part of it that can change the value. A setting that is null counts as
    not given, but for `guidance_channels` of a sampled row, where null means all; the order of settings is of no
    account, nor is whether a whole number stands for a real one.
    """
    chosen = {name: settings[name] for name in SETTINGS if settings.get(name) is not None}
    if chosen.get("sampler"):
        chosen.setdefault("guidance_channels", None)
    named = {
        name: float(value) if name in _REALS else value
        for name, value in sorted(chosen.items())
        if name not in _PROVENANCE_ONLY
    }
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:8]


class NotComparableError(StoreError):
    """Evaluation rows differ in a setting that can change the value; the message names each with its values."""


def differences(evals: pa.Table | Iterable[Mapping[str, Any]], allow: Collection[str] = ()) -> dict[str, list[Any]]:
    """Setting -> its distinct values, for every setting in which the rows differ and that is not in `allow`.

    Null is a value: a row that does not say how many samples it used is not comparable with one that does.
    """
    unknown = set(allow) - set(SETTINGS)
    if unknown:
        raise StoreError(f"no evaluation setting {sorted(unknown)[0]!r}; allowed: {', '.join(SETTINGS)}")
    rows = evals.to_pylist() if isinstance(evals, pa.Table) else evals
    values: dict[str, set[Any]] = {name: set() for name in SETTINGS if name not in allow}
    for row in rows:
        for name, seen in values.items():
            seen.add(row.get(name))
    return {name: sorted(seen, key=lambda v: (v is None, str(v))) for name, seen in values.items() if len(seen) > 1}


def comparable(evals: pa.Table | Iterable[Mapping[str, Any]], allow: Collection[str] = ()) -> None:
    """Raise NotComparableError, naming what differs, unless the rows agree in every setting not in `allow`.

    The table's metric counts as a setting: an FID beside an accuracy is as wrong as an FID of 10,000 samples beside one
    of 50,000. Of code versions, rows from different ones may be allowed by `allow=["code_sha256"]`.
    """
    if different := differences(evals, allow):
        named = "; ".join(f"{name}: {', '.join(map(repr, values))}" for name, values in different.items())
        allowed = ", ".join(repr(name) for name in different)
        raise NotComparableError(f"evaluations differ in {named}; select one, or compare anyway with allow=[{allowed}]")
