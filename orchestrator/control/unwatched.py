"""What went on while no driver counted: from the last word of one that died until the next one looks.

The journal of the dead driver says what it had seen and what its gangs held; what is there now bounds what became of
that. What a launch spends while a driver lives is `core.budget`.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from dit_grid.experiments.store import Store
from dit_grid.experiments.store.errors import DamagedFileError
from dit_grid.orchestrator import core
from dit_grid.orchestrator.control import journal
from dit_grid.orchestrator.core.events import ClusterSeen, Gang, GangStarted, Unwatched

NOT_OURS = (ValueError, TypeError, KeyError, AttributeError)
"""What a journal of another version, or a damaged one, raises: what its launch held is not known."""


class LeftOpen(NamedTuple):
    """A launch whose driver died: its last state, when that was, and what of its spending later launches can read."""

    state: core.State
    at_unix_s: float
    said: core.Spending


def left_open(store: Store) -> LeftOpen | None:
    """Return the newest launch of the store if its driver never ended it, and if its journal can be read."""
    rows = _newest(store.events().to_pylist())
    told = [row["wall_unix_s"] for row in rows if row["kind"] in journal.EVENTS]
    if not told:
        return None
    try:
        state, events = journal.read(rows)
        for event, _ in events:
            state, _ = core.advance(state, event)
        said = journal.spent_in(rows)
    except (*NOT_OURS, DamagedFileError):
        return None
    return None if state.finished else LeftOpen(state, told[-1], said)


def unwatched(left: LeftOpen, living: Iterable[GangStarted], seen: ClusterSeen, gap_s: float) -> Unwatched:
    """Return what was held and billed in the `gap_s` seconds since, with what was counted and never said.

    Gangs that live held theirs all the time, and slices that stay and are there were billed. Of others it is known when
    they were last seen: they count as there, and `at_most` names them. Cores and GPUs of gangs that are gone do not.
    """
    state, gap_s = left.state, max(gap_s, 0.0)
    alive, there = {one.gang for one in living}, {one.name for one in seen.slices}
    slices = {name for name, one in state.ledger.slices.items() if one.type in state.tariff.usd_per_hour}
    held, by_gang, doubtful = _held(state, alive)
    stay = state.spending.stay
    billed = core.Rate(by_gang.number + stay.number, by_gang.usd_per_hour + stay.usd_per_hour)
    sums = {
        name: _unsaid(left, name) + gap_s * rate
        for name, rate in zip(journal.SUMS, _a_second(held, billed), strict=True)
    }
    unsure = [f"slice {name} is gone" for name in sorted(slices - there)] if stay.number else []
    unsure += [f"{run_id} is no more on slice {name}" for run_id, name in doubtful]
    most = dict(state.ledger.most) if slices & there else {}
    return Unwatched(seen.at, gap_s, **sums, most=most, at_most="; ".join(unsure) if gap_s else "")


def _held(state: core.State, alive: Collection[Gang]) -> tuple[core.Rate, core.Rate, list[tuple[str, str]]]:
    """What gangs hold, which of it is billed by the gang, and (run, slice) of those that nobody found again."""
    held, by_gang, doubtful = core.Rate(), core.Rate(), []
    for run in state.in_order():
        attempt = run.attempt
        if attempt is None or attempt.phase is core.GangPhase.GONE:
            continue
        if attempt.gang not in alive and attempt.slice is None:
            continue
        held = held.plus(1, run.usd_per_hour)
        if attempt.slice is None or not state.tariff.stays:
            by_gang = by_gang.plus(1, run.usd_per_hour)
        if attempt.gang not in alive and attempt.slice is not None:
            doubtful.append((run.id, attempt.slice))
    return held, by_gang, doubtful


def _a_second(held: core.Rate, billed: core.Rate) -> tuple[float, float, float, float]:
    """What is added to each of `journal.SUMS` in a second."""
    return held.number, held.usd_per_hour / 3600, billed.number, billed.usd_per_hour / 3600


def _unsaid(left: LeftOpen, name: str) -> float:
    """What the driver had counted after it last said so."""
    counted = getattr(left.state.spending, name) - getattr(left.state.spent_before, name)
    return max(counted - getattr(left.said, name), 0.0)


def _newest(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of the journal that began last."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["journal"], []).append(row)
    return max(found.values(), key=lambda own: own[0]["wall_unix_s"], default=[])
