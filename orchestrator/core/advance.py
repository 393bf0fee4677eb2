"""The scheduler's decisions as one pure function: (state, event) -> (state, actions).

No clock, no Ray, no file: a backend turns actions into processes and feeds events back, and a test or a simulator can
do the same in microseconds. Time is what events say it is.
"""

from dataclasses import replace

from dit_grid.orchestrator.core import gangs
from dit_grid.orchestrator.core.draft import BUDGET, RUN, SLICE, Draft
from dit_grid.orchestrator.core.events import (
    Action,
    Asked,
    ClusterSeen,
    Event,
    GangGone,
    GangStarted,
    Progressed,
    RankEnded,
    RankLost,
    Reordered,
    SliceDraining,
    StartFailed,
    Tick,
    Unwatched,
)
from dit_grid.orchestrator.core.placement import place
from dit_grid.orchestrator.core.slices import FALSE_ALARM_S
from dit_grid.orchestrator.core.state import FINAL, Phase, Run, State, reordered, without_checkpoint


def advance(state: State, event: Event) -> tuple[State, tuple[Action, ...]]:
    """Return the state after `event`, and what is to be done now, in this order.

    An event may come late, twice, or about a gang that is no more: then it changes nothing. Raises ValueError only for
    a cluster with two slices of one name.
    """
    draft = Draft(reordered(state, event.run_ids) if isinstance(event, Reordered) else state, event.at)
    _take(draft, event)
    _ring(draft)
    if draft.place_again:
        place(draft)
    _watch_budget(draft)
    return draft.done()


def _take(draft: Draft, event: Event) -> None:
    match event:
        case ClusterSeen():
            _cluster_seen(draft, event)
        case GangStarted():
            gangs.started(draft, event)
        case StartFailed():
            gangs.start_failed(draft, event)
        case Progressed():
            gangs.progressed(draft, event)
        case RankEnded():
            gangs.rank_ended(draft, event)
        case RankLost():
            gangs.rank_lost(draft, event)
        case GangGone():
            gangs.gone(draft, event)
        case SliceDraining(_, name, deadline):
            draft.ledger = draft.ledger.drained(name, deadline)
            draft.alarm(SLICE, name, max(deadline + FALSE_ALARM_S, draft.due.get((SLICE, name), 0.0)))
            _drain(draft, name)
        case Asked():
            _asked(draft, event)
        case Reordered():
            draft.enough, draft.place_again = event.enough, True
            if event.enough and event.stop_running:
                _stop_all(draft, "stop")
        case Unwatched():
            draft.ledger = draft.ledger.having_seen(event.most)
            draft.spending = draft.spending.with_missed(event)
            draft.count_slices()
        case Tick():
            pass


def _cluster_seen(draft: Draft, event: ClusterSeen) -> None:
    """Take the cluster as it is, and tell every gang whose slice is not what it was."""
    draft.ledger = draft.ledger.seen(event)
    draft.count_slices()
    draft.place_again = True
    for name, gang in sorted(draft.ledger.held.items()):
        item = draft.ledger.slices.get(name)
        if item is not None:  # also of a broken one: what a loss means depends on how many processes there are
            _count_ranks(draft, draft.runs.get(gang.run_id), len(item.hosts))
        if item is None:
            gangs.slice_lost(draft, gang, f"slice {name} is gone")
        elif None in item.hosts:
            missing = ", ".join(str(worker) for worker, host in enumerate(item.hosts) if host is None)
            gangs.slice_lost(draft, gang, f"slice {name} lost host {missing}")
        elif item.draining:
            _drain(draft, name)


def _count_ranks(draft: Draft, run: Run | None, ranks: int) -> None:
    """A gang that was taken over before the cluster was seen learns how many processes it has."""
    if run is not None and run.attempt is not None and run.attempt.ranks != ranks:
        draft.put(replace(run, attempt=replace(run.attempt, ranks=ranks)), draft.due.get((RUN, run.id)))


def _drain(draft: Draft, name: str) -> None:
    gang = draft.ledger.held.get(name)
    run = draft.runs.get(gang.run_id) if gang is not None else None
    if run is not None and run.attempt is not None and run.attempt.gang == gang and not run.attempt.stop:
        draft.ask_to_stop(run, "drain")


def _asked(draft: Draft, event: Asked) -> None:
    if event.what == "stop":
        if not draft.stopping:
            draft.stopping = True
            _stop_all(draft, "stop")
        return
    for run_id in event.run_ids:
        if event.what == "enough":
            _end_is_known(draft, run_id, event.why)
            continue
        for name in (run_id, *draft.before.evaluations.get(run_id, ())):
            if name in draft.runs:
                _asked_of(draft, draft.runs[name], event.what)


def _end_is_known(draft: Draft, run_id: str, why: str) -> None:
    """End a training whose end is known; what measures the checkpoints that it has goes on."""
    run = draft.runs.get(run_id)
    if run is None or run.phase in FINAL or run.known:
        return
    draft.put(replace(run, known=why), draft.due.get((RUN, run_id)))
    if run.attempt is not None:
        draft.ask_to_stop(draft.runs[run_id], "enough")
    else:
        draft.put(replace(draft.runs[run_id], phase=Phase.CANCELLED, reason=why), None)


def _asked_of(draft: Draft, run: Run, what: str) -> None:
    if what in ("cancel", "pause"):
        if run.attempt is not None:
            draft.ask_to_stop(run, what)
        elif run.phase not in FINAL:
            phase = Phase.CANCELLED if what == "cancel" else Phase.PAUSED
            draft.put(replace(run, phase=phase, reason=f"{phase} by request at step {run.step}"), None)
    elif run.attempt is not None:
        if run.attempt.stop in ("cancel", "pause", "enough"):
            draft.put(replace(run, known="", attempt=replace(run.attempt, stop="resume")), draft.due.get((RUN, run.id)))
    elif run.phase is Phase.PAUSED or (what == "retry" and run.phase in (Phase.FAILED, Phase.CANCELLED)):
        reason = f"{what} asked; {run.reason}".rstrip("; ")
        waiting = replace(run, phase=Phase.WAITING, reason=reason, fruitless=0, not_before=0.0, avoid=None, known="")
        draft.put(without_checkpoint(waiting, draft.runs), None)


def _stop_all(draft: Draft, why: str) -> None:
    """Ask every gang to checkpoint and end, in the order of launching."""
    active = {name for _, kind, name in draft.timers if kind == RUN}
    for run_id in sorted(active, key=draft.before.place_of.__getitem__):
        if draft.runs[run_id].attempt is not None:
            draft.ask_to_stop(draft.runs[run_id], why)


def _ring(draft: Draft) -> None:
    """Let every alarm ring whose time has come, earliest first."""
    while draft.timers and draft.timers[0][0] <= draft.now:
        _, kind, name = draft.timers[0]
        draft.alarm(kind, name, None)
        if kind == RUN:
            gangs.overdue(draft, draft.runs[name])
        elif kind == SLICE:
            draft.ledger = draft.ledger.reconsidered(name, draft.now)
            draft.place_again = True
        elif not draft.spending.exhausted:
            draft.spending, draft.place_again = replace(draft.spending, exhausted=True), True
            _stop_all(draft, "budget")


def _watch_budget(draft: Draft) -> None:
    """Set the alarm for the moment at which gangs must begin to stop, so that no cap is passed."""
    options = draft.options
    if options.budget.slice_hours is None and options.budget.usd is None:
        return
    due = None
    if not draft.spending.exhausted:
        due = draft.spending.exhausted_at(options.budget, options.stop_grace_s + options.kill_again_s)
    draft.alarm(BUDGET, "", due)
    if due is not None and due <= draft.now:
        _ring(draft)  # what is there already may cost more than is left
        if draft.place_again:
            place(draft)
