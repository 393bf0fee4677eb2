"""One campaign from beginning to end in virtual time, and what it took.

The core, its policies and the journal are the real ones; only the cluster and the clock are virtual.
"""

import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dit_grid.experiments.spec.cluster import ClusterSpec
from dit_grid.orchestrator import core
from dit_grid.orchestrator.control import journal
from dit_grid.orchestrator.control.unwatched import LeftOpen, unwatched
from dit_grid.orchestrator.core.events import Event, Tick
from dit_grid.orchestrator.core.invariants import cheap, full
from dit_grid.orchestrator.simulation.cluster import Pace, Scaling, VirtualCluster
from dit_grid.orchestrator.simulation.faults import Faults

HORIZON_S = 10 * 365 * 24 * 3600.0
"""A campaign that is not over in ten years will not be."""

FULL_CHECK_EVERY = 20_000
"""Events between two derivations of every index from the runs."""


@dataclass(frozen=True)
class Outcome:
    """What the campaign took. `idle` is the share of slice time that no gang held, `lost` that of compute run twice."""

    seed: int
    makespan_h: float
    slice_hours: float
    usd: float
    idle: float
    lost: float
    preemptions: int
    starts: int
    done: int
    failed: int
    unfinished: int
    events: int
    total_macs: int
    productive_macs: int
    wasted_macs: int
    classes: Mapping[str, int]
    evaluated: int = 0
    """Evaluations done that were jobs of their own; `done`, `failed` and `unfinished` count trainings."""
    evaluations: int = 0
    up_hours: Mapping[str, float] = field(default_factory=dict)
    """Hours for which slices of each type were there together; pools count as units."""
    ends_h: Mapping[str, float] = field(default_factory=dict)
    """When the last run on each slice type ended."""
    billed_usd: float | None = None
    """What those cost; None where no price is known."""

    @property
    def billed_hours(self) -> float:
        """Return the slice-hours that are billed."""
        return sum(self.up_hours.values())


class Lines:
    """A journal as lines of JSON; the same launch gives the same bytes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def event(self, kind: str, run_id: str = "", attempt: int | None = None, **detail: Any) -> None:
        """Add an event, as `EventWriter.event` does."""
        self.lines.append(json.dumps({"kind": kind, "run_id": run_id, "detail": detail}, sort_keys=True, default=str))

    def rows(self) -> list[dict[str, str]]:
        """Return the lines as rows of the store's events table."""
        found = [json.loads(line) for line in self.lines]
        return [{**row, "detail": json.dumps(row["detail"])} for row in found]

    def bytes(self) -> bytes:
        """Return the journal as it would be written to a file."""
        return "".join(f"{line}\n" for line in self.lines).encode()


def simulate(
    runs: Iterable[core.Run],
    paces: Mapping[str, Pace],
    slices: Mapping[str, int],
    *,
    options: ClusterSpec = ClusterSpec(),  # noqa: B008  (frozen)
    hosts: Mapping[str, int] | None = None,
    pools: Mapping[str, int] | None = None,
    faults: Faults = Faults(),  # noqa: B008  (frozen)
    seed: int = 0,
    lines: Lines | None = None,
    watch: Callable[[core.State], None] = cheap,
    scaling: Scaling | None = None,
    tariff: core.Tariff | None = None,
) -> Outcome:
    """Return what the campaign took on so many slices of each type. The same arguments give the same journal.

    With `scaling` slices come when a gang wants one.
    `watch` sees the state after every event. Raises AssertionError where the scheduler breaks a promise.
    """
    return _Campaign(
        list(runs), paces, slices, options, hosts or {}, pools or {}, faults, seed, lines, watch, scaling, tariff
    ).outcome()


class _Campaign:
    def __init__(
        self, runs: list[core.Run], paces: Mapping[str, Pace], slices: Mapping[str, int], options: ClusterSpec,
        hosts: Mapping[str, int], pools: Mapping[str, int], faults: Faults, seed: int, lines: Lines | None,
        watch: Callable[[core.State], None], scaling: Scaling | None, tariff: core.Tariff | None,
    ) -> None:  # fmt: skip
        self.tariff = tariff
        self.runs = {run.id: run for run in runs}
        self.dice, self.seed, self.faults, self.lines, self.watch = random.Random(seed), seed, faults, lines, watch
        self.cluster = VirtualCluster(self.runs, paces, slices, hosts, pools, faults, self.dice, scaling)
        self.pools = pools
        self.slice_count = sum(slices.values()) + sum(pools.values())
        self.options = options
        self.events = self.starts = 0
        self.past: list[core.State] = []
        self.dies_at = self._next_driver(0.0)

    def outcome(self) -> Outcome:
        state = self._driver(core.initial(self.runs.values(), self.options, tariff=self.tariff))
        while not state.finished:
            deadline, next_at = state.next_deadline, self.cluster.next_at
            if deadline is None and next_at is None:
                break  # nothing will ever happen: what waits, waits for what is not there
            if min(deadline or HORIZON_S, next_at or HORIZON_S, self.dies_at) >= HORIZON_S:
                break
            if self.dies_at <= min(deadline or HORIZON_S, next_at or HORIZON_S):
                state = self._next(state)
            elif next_at is not None and (deadline is None or next_at <= deadline):
                for event in self.cluster.happen():
                    state = self._take(state, event)
            else:
                self.cluster.now = deadline or 0.0
                state = self._take(state, Tick(self.cluster.now))
        full(state)
        return self._summary(state)

    def _driver(self, state: core.State, left: LeftOpen | None = None) -> core.State:
        """A driver begins: it takes over what lives and what was billed meanwhile, then looks at the cluster."""
        if self.lines is not None:
            journal.open_with(self.lines, state)
        living, seen = self.cluster.living(), self.cluster.seen()
        missed = [unwatched(left, living, seen, self.cluster.now - left.at_unix_s)] if left else []
        found: list[Event] = [*living, *missed, seen]
        for event in found:
            state = self._take(state, event)
        return state

    def _next(self, state: core.State) -> core.State:
        """The driver dies; the next one knows what the store holds, and nothing else."""
        self.cluster.now = self.dies_at
        self.dies_at = self._next_driver(self.cluster.now)
        full(state)
        self.past.append(state)
        known = []
        for run in self.runs.values():
            step = self.cluster.checkpoints[run.id]
            done = run.id in self.cluster.done and run.id not in self.cluster.gangs
            failed = state.runs[run.id].phase is core.Phase.FAILED
            phase = core.Phase.DONE if done else core.Phase.FAILED if failed else core.Phase.WAITING
            reason = state.runs[run.id].reason if failed else ""
            known.append(replace(run, step=step, phase=phase, starts=state.runs[run.id].starts, reason=reason))
        left = LeftOpen(state, state.now, state.spending)
        return self._driver(core.initial(known, self.options, state.spending.before_any_gang(), self.tariff), left)

    def _next_driver(self, now: float) -> float:
        return now + self.dice.expovariate(self.faults.driver / 3600) if self.faults.driver else HORIZON_S

    def _take(self, state: core.State, event: Event) -> core.State:
        state, actions = core.advance(state, event)
        self.events += 1
        if self.lines is not None:
            journal.record(self.lines, event, actions)
        for action in actions:
            self.starts += type(action).__name__ == "Start"
            self.cluster.perform(action)
        self.watch(state)
        if self.events % FULL_CHECK_EVERY == 0:
            full(state)
        return state

    def _summary(self, state: core.State) -> Outcome:
        phases = [run.phase for run in state.in_order() if not run.of]
        measured = [run.phase for run in state.in_order() if run.of]
        compute = [one.compute for one in (*self.past, state)]
        total, productive = sum(c.total for c in compute), sum(c.productive for c in compute)
        classes: dict[str, int] = {}
        for one in (*self.past, state):
            for run in one.in_order():
                for attempt in run.past:
                    classes[attempt.outcome] = classes.get(attempt.outcome, 0) + 1
        hours = state.now / 3600
        slice_hours = state.spending.slice_s / 3600
        self.cluster.now = state.now
        up = {kind: seconds / 3600 for kind, seconds in self.cluster.up_s().items()}
        return Outcome(
            self.seed, hours, slice_hours, state.spending.usd,
            1 - slice_hours / (hours * self.slice_count) if hours else 0.0, 1 - productive / total if total else 0.0,
            self.cluster.preemptions, self.starts, phases.count(core.Phase.DONE), phases.count(core.Phase.FAILED),
            len([phase for phase in phases if phase not in core.FINAL]), self.events, total, productive,
            total - productive, dict(sorted(classes.items())), measured.count(core.Phase.DONE), len(measured),
            up | {kind: hours * count for kind, count in self.pools.items()}, _ends_h(state),
        )  # fmt: skip


def _ends_h(state: core.State) -> dict[str, float]:
    found: dict[str, float] = {}
    for run in state.in_order():
        if run.past and run.past[-1].gone_at is not None:
            found[run.kind] = max(found.get(run.kind, 0.0), run.past[-1].gone_at / 3600)
    return found
