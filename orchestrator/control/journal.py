"""The journal of a launch: what the core was told and what it decided, written so that it can be told again.

Reading one back gives the same events; fed to the core they give the same decisions. Nobody needs it to go on.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from immutables import Map

from dit_grid.experiments.spec.cluster import ClusterSpec
from dit_grid.experiments.store import Store
from dit_grid.experiments.store.errors import DamagedFileError
from dit_grid.experiments.store.json_records import is_number, json_object
from dit_grid.orchestrator import core
from dit_grid.orchestrator.core.events import Action, ClusterSeen, Event, Gang, SliceSeen

EVENTS = {kind.__name__: kind for kind in Event.__args__}
ACTIONS = {kind.__name__: kind for kind in Action.__args__}

BEGAN, RUN, SPENT, LEASE_LOST, BAD_CHECKPOINT = "Began", "Run", "Spent", "LeaseLost", "bad-checkpoint"
LEFT_CURVE = "left-curve"
"""Rows that are neither: the launch's settings, a run as it was at the beginning, spending so far, a lost lease, a
checkpoint that an attempt could not read, and a run whose training loss left the curve of its peers."""


SUMS = ("slice_s", "usd", "billed_s", "billed_usd")
"""What of a spending adds up over launches."""


class Noticed(NamedTuple):
    """What a driver noticed about a run and the core need not know: the row's kind and its detail."""

    kind: str
    run_id: str
    detail: Mapping[str, Any]


class Journal(Protocol):
    """Where rows go: the store's `EventWriter`, or a simulator's lines."""

    def event(self, kind: str, run_id: str = "", attempt: int | None = None, **detail: Any) -> None:
        """Add a row."""


def open_with(journal: Journal, state: core.State) -> None:
    """Write how the launch began: its settings, what was spent before it, and every run."""
    spent, tariff = dataclasses.asdict(state.spending), vars(state.tariff)
    billed = tariff | {"usd_per_hour": dict(state.tariff.usd_per_hour)}
    journal.event(BEGAN, cluster=state.options.model_dump(mode="json"), spent=spent, tariff=billed)
    for run in state.in_order():
        detail = dataclasses.asdict(run)
        journal.event(RUN, run_id=detail.pop("id"), run=detail)


def record(journal: Journal, event: Event, actions: Iterable[Action]) -> None:
    """Write an event and what the core decided on it, in order."""
    _write(journal, event)
    for action in actions:
        _write(journal, action)


def record_spending(journal: Journal, spent: core.Spending, before: core.Spending) -> None:
    """Write what this launch has spent, without what earlier ones had."""
    said = {name: getattr(spent, name) - getattr(before, name) for name in SUMS}
    journal.event(SPENT, **said)


def spent_before(store: Store) -> core.Spending:
    """Return what earlier launches of the store spent: the last word of each of their journals, together."""
    return spent_in(store.events().to_pylist())


def spent_in(rows: Iterable[Mapping[str, Any]]) -> core.Spending:
    """Return the last word of each journal of these rows, together."""
    last: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["kind"] == SPENT:
            last[row["journal"]] = _spending(row["journal"], row["detail"])
    slice_s, usd, billed_s, billed_usd = (sum(one[name] for one in last.values()) for name in SUMS)
    return core.Spending(slice_s, usd, billed_s=billed_s, billed_usd=billed_usd)


def _spending(journal: str, detail: str) -> dict[str, float]:
    """What a row says was spent. Raises DamagedFileError: no budget is spent twice over a row that nobody can read.

    Rows from before bills were counted say what was held; that is the least that was billed.
    """
    said = json_object(f"events of {journal}", detail)
    found: dict[str, Any] = {"billed_s": said.get("slice_s"), "billed_usd": said.get("usd")} | said
    if not all(is_number(found.get(name)) and found[name] >= 0 for name in SUMS):
        raise DamagedFileError(f"events of {journal}: a row {SPENT} does not say what was spent: {detail[:80]}")
    return found


def read(rows: Iterable[Mapping[str, Any]]) -> tuple[core.State, Iterator[tuple[Event, tuple[Action, ...]]]]:
    """Return the state that a journal began with, and its events with what was decided on each, in order.

    `rows` are one journal's of the store's events table. Raises ValueError where they do not begin as a journal does.
    """
    lines = [(row["kind"], row["run_id"], json.loads(row["detail"])) for row in rows]
    if not lines or lines[0][0] != BEGAN:
        raise ValueError("a journal begins with the settings of its launch")
    began = lines[0][2]
    runs = [_run(run_id, detail) for kind, run_id, detail in lines if kind == RUN]
    state = core.initial(runs, *_settings(began))
    return state, _decided([line for line in lines if line[0] in EVENTS or line[0] in ACTIONS])


def _settings(began: dict[str, Any]) -> tuple[ClusterSpec, core.Spending, core.Tariff]:
    """The settings of a launch, what was spent before it, and what is billed; older journals capped what was held."""
    cluster, billed = began["cluster"], began.get("tariff")
    spent: dict[str, Any] = {
        name: core.Rate(*value) if isinstance(value, list) else value for name, value in began["spent"].items()
    }
    if billed is None:
        cluster = cluster | {"budget": cluster["budget"] | {"of": "held"}}
    tariff = core.Tariff() if billed is None else core.Tariff(**billed | {"usd_per_hour": Map(billed["usd_per_hour"])})
    return ClusterSpec.model_validate(cluster), core.Spending(**spent), tariff


def replayed(rows: Iterable[Mapping[str, Any]]) -> core.State:
    """Return the state that the core comes to from the journal's events.

    Raises ValueError at the first event on which it decides something else than the journal says.
    """
    state, told = read(rows)
    for event, decided in told:
        state, actions = core.advance(state, event)
        if actions != decided:
            raise ValueError(f"on {event} the journal has {decided}, the core decides {actions}")
    return state


def _write(journal: Journal, item: Event | Action) -> None:
    detail = _plain(item)
    run_id = ""
    if "gang" in detail:
        run_id, detail["start"] = detail.pop("gang")
    journal.event(type(item).__name__, run_id=run_id, **detail)


def _plain(item: Any) -> dict[str, Any]:
    fields = {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    if isinstance(item, ClusterSeen):
        fields["pools"] = dict(item.pools)
        fields["slices"] = [_plain(one) for one in item.slices]
    return fields


def _decided(lines: list[tuple[str, str, dict[str, Any]]]) -> Iterator[tuple[Event, tuple[Action, ...]]]:
    event: Event | None = None
    actions: list[Action] = []
    for kind, run_id, detail in lines:
        if "start" in detail:
            detail = {**detail, "gang": Gang(run_id, detail["start"])}
            del detail["start"]
        if kind in ACTIONS:
            actions.append(ACTIONS[kind](**detail))
            continue
        if event is not None:
            yield event, tuple(actions)
        event, actions = _event(kind, detail), []
    if event is not None:
        yield event, tuple(actions)


def _event(kind: str, detail: dict[str, Any]) -> Event:
    if kind == "ClusterSeen":
        detail["slices"] = tuple(SliceSeen(**{**one, "hosts": tuple(one["hosts"])}) for one in detail["slices"])
    if kind in ("Asked", "Reordered"):
        detail["run_ids"] = tuple(detail["run_ids"])
    return EVENTS[kind](**detail)


def _run(run_id: str, detail: dict[str, Any]) -> core.Run:
    return core.Run(run_id, **{**detail["run"], "phase": core.Phase(detail["run"]["phase"]), "past": ()})
