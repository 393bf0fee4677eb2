"""Which runs of a grid share a curve, and which of them have left it: the early alarm of a store.

Peers are runs of one recipe, whatever their size and learning rate, that saw the same batches and noise, because a
loss logged over a few steps is mostly the luck of its batches. What is here knows runs as records; the statistics are
`collapse`. Nothing needs pandas.
"""

import json
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from statistics import median
from typing import Any

import numpy as np

from dit_grid.analysis.curves.collapse import BINS, LEAST_BINS, LEAST_PEERS, Departure, Found, binned, departure

MOST_PEERS = 16
"""Peers that a curve is held against: those nearest in size."""

NOT_SHARED = ("seed", "run_id", "evaluate", "model", "cost", "metrics", "label", "config", "optimizer.learning_rate")
"""Parts of a spec in which peers may differ. A rate too high for its size is what an alarm is for; `config` is where an
own trainer's model stands."""

FACTS = ("dataset", "batch", "block", "image_size")

Losses = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Run id -> steps and training losses."""


@dataclass(frozen=True)
class Looked:
    """The runs that left their peers' curve, by step; and how many had curves but too few peers to be held against.

    `unread` are runs at work whose curves nobody looked at.
    """

    left: tuple[Departure, ...] = ()
    looked_at: int = 0
    alone: int = 0
    unread: int = 0

    @property
    def silence(self) -> str:
        """Why there can be no alarm about some runs, a line a reason; empty where all have peers."""
        lines = [
            f"no early alarm for {self.alone} of {self.alone + self.looked_at} runs: each needs {LEAST_PEERS} others "
            "of its recipe and seed (or of that many other seeds) as far as a quarter of training"
        ] if self.alone else []  # fmt: skip
        lines += [
            f"no early alarm for {self.unread} runs more: so many curves are not read; `dit-grid report` reads them all"
        ] if self.unread else []  # fmt: skip
        return "\n".join(lines)


def departures(runs: Sequence[Mapping[str, Any]], losses: Losses) -> Looked:
    """What left its peers' curve among `runs`: records with run_id, spec (JSON), seed, steps, params and FACTS.

    At `collapse.FALSE_ALARMS` a healthy run. One that left is no peer of the others any more.
    """
    groups: dict[Hashable, list[Mapping[str, Any]]] = defaultdict(list)
    for run in runs:
        if run["run_id"] in losses and run.get("steps"):
            groups[_recipe(run)].append(run)
    looked = [_of_group(group, losses) for group in groups.values()]
    left = sorted((one for group in looked for one in group.left), key=lambda one: (one.step, one.run_id))
    return Looked(tuple(left), sum(group.looked_at for group in looked), sum(group.alone for group in looked))


def _recipe(run: Mapping[str, Any]) -> Hashable:
    try:
        spec = json.loads(run.get("spec") or "{}")
    except (ValueError, RecursionError):
        spec = {}
    kept = {name: value for name, value in _flat(spec).items() if not _is_left_out(name)}
    return json.dumps(kept, sort_keys=True), run["steps"], *(run.get(fact) for fact in FACTS)


@cache
def _is_left_out(name: str) -> bool:
    return any(f".{name}.".startswith(f".{part}.") or name.endswith(f".{part}") for part in NOT_SHARED)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    parts = [_flat(item, f"{prefix}.{name}" if prefix else str(name)) for name, item in value.items()]
    return {name: item for part in parts for name, item in part.items()}


@dataclass(frozen=True, eq=False)
class _Curve:
    run_id: str
    seed: Hashable
    size: float
    logs: np.ndarray


def _of_group(runs: list[Mapping[str, Any]], losses: Losses) -> Looked:
    steps = float(runs[0]["steps"])
    every = [float(np.diff(losses[run["run_id"]][0]).max(initial=1)) for run in runs]
    bins = min(BINS, int(steps / median(every)))
    if bins < LEAST_BINS:
        return Looked(alone=len(runs))
    curves = [_curve(run, losses, steps, bins) for run in runs]
    peers = {curve: _peers(curve, curves) for curve in curves}
    alone = sum(len(rows) < LEAST_PEERS for rows in peers.values())
    left: dict[str, Found] = {}
    while far := _far(peers):
        worst = max(far, key=lambda curve: abs(far[curve].sigmas))
        left[worst.run_id] = far[worst]
        curves = [curve for curve in curves if curve is not worst]
        peers = {curve: _peers(curve, curves) for curve in curves}
    said = [_said(run_id, one, steps, bins) for run_id, one in left.items()]
    return Looked(tuple(said), len(runs) - alone, alone)


def _curve(run: Mapping[str, Any], losses: Losses, steps: float, bins: int) -> _Curve:
    size = float(run.get("params") or run.get("forward_macs") or 1.0)
    seed = run["run_id"] if run.get("seed") is None else run["seed"]
    return _Curve(run["run_id"], seed, np.log(max(size, 1.0)) if np.isfinite(size) else 0.0,
                  binned(*losses[run["run_id"]], steps, bins))  # fmt: skip


def _far(peers: Mapping[_Curve, list[np.ndarray]]) -> dict[_Curve, Found]:
    """Where each curve leaves those of its peers, of the curves that do."""
    found = {curve: departure(curve.logs, np.array(rows)) for curve, rows in peers.items() if len(rows) >= LEAST_PEERS}
    return {curve: one for curve, one in found.items() if one is not None}


def _peers(curve: _Curve, curves: list[_Curve]) -> list[np.ndarray]:
    """Curves of runs of its seed, the nearest in size; with too few the mean curve of each other seed."""
    others = sorted((one for one in curves if one is not curve), key=lambda one: abs(one.size - curve.size))
    same = [one.logs for one in others if one.seed == curve.seed][:MOST_PEERS]
    if len(same) >= LEAST_PEERS:
        return same
    seeds: dict[Hashable, list[np.ndarray]] = defaultdict(list)
    for one in others:
        if one.seed != curve.seed:
            seeds[one.seed].append(one.logs)
    return [np.mean(rows, 0) if len(rows) > 1 else rows[0] for rows in islice(seeds.values(), MOST_PEERS)]


def _said(run_id: str, found: Found, steps: float, bins: int) -> Departure:
    step = round((found.bin + 1) / bins * steps)
    return Departure(run_id, step, float(np.expm1(found.off)), found.sigmas, found.limit, found.peers)
