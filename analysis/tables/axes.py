"""Columns as what they mean to a law: size, data, compute, and the rest, as logs about the dearest measured row.

What is here knows names of columns, and nothing of the values but whether they vary. A column that says nothing of its
own (constant, or a product of others) is left out of the axes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

SIZE = ("params", "parameters", "n_params", "params_m", "model_size", "size", "n")
DATA = ("tokens", "examples", "images", "samples", "steps", "step", "iterations", "epochs", "epoch", "d")
TOTAL = ("flops", "train_flops", "training_flops", "compute", "train_gmacs", "train_gflops", "c")
FORWARD = ("gflops", "gmacs", "macs", "forward_flops", "forward_macs")
UNIQUE = ("unique_tokens", "unique_examples", "unique_images", "unique_data", "unique")

APART = 0.2
"""Least spread, in nats off the other axes, of a column that says something of its own."""


@dataclass(frozen=True)
class Axes:
    """Centred logs of seen and asked rows, (rows,) each: `named` has those of compute, size, data and extras.

    `repeats` is ln of unique over all data, uncentred; absent without a column of unique data. `along` says what
    compute stands for, `left_out` the columns that say nothing of their own, `per_size` the one that is compute a
    parameter.
    """

    named: Mapping[str, tuple[np.ndarray, np.ndarray]]
    repeats: tuple[np.ndarray, np.ndarray] | None
    along: str
    left_out: tuple[str, ...]
    per_size: str | None = None

    def stack(self, *names: str) -> tuple[np.ndarray, np.ndarray]:
        """The named axes side by side, of seen and of asked rows: (rows, axes) each."""
        pairs = [self.named[name] for name in names]
        return np.stack([a for a, _ in pairs], 1), np.stack([b for _, b in pairs], 1)

    @property
    def extras(self) -> tuple[str, ...]:
        return tuple(name for name in self.named if name not in ("compute", "size", "data"))


def axes_of(seen: pd.DataFrame, asked: pd.DataFrame, x: tuple[str, ...]) -> Axes:
    """The axes of the columns `x`, all positive."""
    logs = {c: (np.log(seen[c].to_numpy(float)), np.log(asked[c].to_numpy(float))) for c in x}
    size, data, total, forward, unique = (_first(x, names) for names in (SIZE, DATA, TOTAL, FORWARD, UNIQUE))
    compute, along = _compute(logs, size, data, total, forward)
    dearest = int(np.argmax(compute[0]))
    about = lambda pair: (pair[0] - pair[0][dearest], pair[1] - pair[0][dearest])  # noqa: E731
    named = {"compute": about(compute)}
    main = {"size": size or (forward if data else None), "data": data}
    if size and forward and not data and len(seen) >= 5:
        main["data"] = forward
        logs[forward] = tuple(f - s for f, s in zip(logs[forward], logs[size], strict=True))  # per parameter: tokens
    pair = [name for name in main.values() if name]
    if len(pair) == 2 and _own(np.stack([logs[c][0] for c in pair], 1)) > APART:
        named |= {role: about(logs[column]) for role, column in main.items() if column}
    used = {size, data, total, unique} | ({forward} if forward in (*pair, along) or not size else set())
    per_size = forward if forward and size and forward not in used else None
    if per_size and size:
        logs[per_size] = tuple(f - s for f, s in zip(logs[per_size], logs[size], strict=True))
    left_out = []
    for column in x:
        if column in used:
            continue
        base = [named[name][0] for name in named if name != "compute" or len(named) == 1]
        if _own(np.stack([*base, logs[column][0]], 1)) > APART:
            named[column] = about(logs[column])
        else:
            left_out.append(column)
    repeats = None
    if unique and data:
        repeats = tuple(np.minimum(u - d, 0.0) for u, d in zip(logs[unique], logs[data], strict=True))
    return Axes(named, repeats, along, tuple(left_out), per_size)


def _compute(logs: dict, size: str | None, data: str | None, total: str | None, forward: str | None) -> tuple:
    """ln of the compute-like column, or of the product that stands for it, and its name."""
    a_step = forward or size
    if total:
        return logs[total], total
    if a_step and data:
        return tuple(a + b for a, b in zip(logs[a_step], logs[data], strict=True)), f"{a_step} · {data}"
    name = a_step or data or next(iter(logs))
    return logs[name], name


def _own(columns: np.ndarray) -> float:
    """How far the columns spread, in nats, in the direction in which they spread least; few rows say nothing."""
    if len(columns) <= columns.shape[1] + 2:
        return 0.0
    return float(np.linalg.svd(columns - columns.mean(0), compute_uv=False)[-1] / np.sqrt(len(columns)))


def _first(x: tuple[str, ...], names: tuple[str, ...]) -> str | None:
    lower = {column.lower(): column for column in x}
    return next((lower[name] for name in names if name in lower), None)
