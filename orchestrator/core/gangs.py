"""What the core makes of news about gangs: progress, ends, losses, and the verdict once a gang is gone.

News of a gang that is not its run's present one changes nothing but the books of what it still holds.
"""

from dataclasses import replace

from dit_grid.orchestrator.core.draft import Draft
from dit_grid.orchestrator.core.endings import (
    DONE,
    PERMANENT,
    POLICIES,
    START_FAILED,
    Verdict,
    backoff_s,
    bad_news,
    ends_a_run,
    judge,
    watchdog_due,
)
from dit_grid.orchestrator.core.events import (
    Gang,
    GangGone,
    GangStarted,
    Kill,
    Progressed,
    RankEnded,
    RankLost,
    StartFailed,
)
from dit_grid.orchestrator.core.state import Attempt, Evidence, GangPhase, Phase, Run, without_checkpoint

TIMES_KEPT = 100
"""Step times that the watchdog's percentile is taken of."""


def started(draft: Draft, event: GangStarted) -> None:
    """A gang is up; one that was found alive is taken over if its run waits, and killed if nobody wants it."""
    run = _present(draft, event.gang)
    if run is not None and run.attempt is not None:
        if run.attempt.phase is GangPhase.STARTING:
            attempt = replace(run.attempt, phase=GangPhase.RUNNING, advanced_at=draft.now)
            draft.put(replace(run, attempt=attempt), watchdog_due(attempt, run, draft.options))
        return
    if not event.adopted or event.gang in draft.strays:
        return
    run = draft.runs.get(event.gang.run_id)
    if event.slice is not None and event.slice in draft.ledger.held:
        return  # the book says that another gang has it; the backend will find that this one is gone
    if run is None or run.phase is not Phase.WAITING or run.attempt is not None or draft.stopping:
        _turn_away(draft, event, run)
        return
    attempt = Attempt(
        event.gang, event.slice, draft.ledger.ranks(event.slice), draft.now, phase=GangPhase.RUNNING, resumed=run.step,
        step=run.step, advanced_at=draft.now,
    )  # fmt: skip
    draft.hold(attempt, run)
    starts = max(run.starts, event.gang.start)
    taken = replace(run, phase=Phase.RUNNING, starts=starts, attempt=attempt, reason="", not_before=0.0)
    draft.put(taken, watchdog_due(attempt, run, draft.options))


def start_failed(draft: Draft, event: StartFailed) -> None:
    """Nothing of the gang is left, so this is its end and the evidence of it."""
    if _leave_stray(draft, event.gang):
        return
    run = _present(draft, event.gang)
    if run is None or run.attempt is None or run.attempt.phase is GangPhase.GONE:
        return
    what = PERMANENT if event.permanent else START_FAILED
    _gone(draft, _with_evidence(run, Evidence(draft.now, 0, what, event.message)), run.step)


def progressed(draft: Draft, event: Progressed) -> None:
    """Note the step, and reset the watchdog if it is a new one."""
    run = _present(draft, event.gang)
    if run is None or run.attempt is None or run.attempt.phase is GangPhase.GONE:
        return
    before, known = run.attempt, run
    attempt, run = before, replace(run, committed=max(run.committed, event.checkpoint))
    if before.resumed is None:
        if event.step < run.step:  # its newest checkpoint could not be read; what is past this one does not count
            run = replace(run, committed=event.step)
        run = _resumed_at(run, event.step)
        attempt = replace(attempt, resumed=event.step, step=event.step)
        if event.activity != "training":
            attempt = replace(attempt, heard_at=draft.now)
    if event.step > attempt.step or event.activity != before.activity:
        steps, times, most = event.step - attempt.step, before.step_times, before.report_steps
        if steps > 0 and event.activity == before.activity == "training":
            times = (*times[-TIMES_KEPT + 1 :], (draft.now - before.advanced_at) / steps)
            most = max(most, steps)
        attempt = replace(
            attempt, step=max(event.step, attempt.step), activity=event.activity, advanced_at=draft.now,
            step_times=times, report_steps=most,
        )  # fmt: skip
    if event.checkpoint > max(run.step, attempt.resumed or 0):
        draft.ledger = draft.ledger.trusted(attempt.slice)
    if attempt is before and run.committed == known.committed:
        return
    due = draft.due.get(("run", run.id))
    if attempt.phase in (GangPhase.STARTING, GangPhase.RUNNING) and not attempt.evidence:
        due = watchdog_due(attempt, run, draft.options)
    draft.put(replace(run, attempt=attempt), due)


def rank_ended(draft: Draft, event: RankEnded) -> None:
    """A process ended by itself; after bad news the others cannot go on."""
    run = _present(draft, event.gang)
    if run is None or run.attempt is None:
        return
    attempt = run.attempt
    step = max(attempt.step, event.step) if attempt.resumed is not None else attempt.step
    run = replace(run, attempt=replace(attempt, step=step))
    _note(draft, run, Evidence(draft.now, event.rank, event.outcome, event.message))


def rank_lost(draft: Draft, event: RankLost) -> None:
    """A process is gone without a word."""
    run = _present(draft, event.gang)
    if run is not None:
        _note(draft, run, Evidence(draft.now, event.rank, f"lost-{event.cause}", event.message))


def slice_lost(draft: Draft, gang: Gang, message: str) -> None:
    """The cluster shows that a host under the gang is not there any more."""
    run = _present(draft, gang)
    if run is None or run.attempt is None or any(item.what == "lost-host" for item in run.attempt.evidence):
        return
    _note(draft, run, Evidence(draft.now, -1, "lost-host", message))


def gone(draft: Draft, event: GangGone) -> None:
    """What the gang held is free; why it ended is judged now or when the settle window is over."""
    if _leave_stray(draft, event.gang):
        return
    run = _present(draft, event.gang)
    if run is not None and run.attempt is not None and run.attempt.phase is not GangPhase.GONE:
        if event.done:
            run = _with_evidence(run, Evidence(draft.now, 0, DONE))
        _gone(draft, run, event.checkpoint)


def overdue(draft: Draft, run: Run) -> None:
    """The run's alarm rang: a verdict, a hang, a stop that takes too long, or the end of a back-off."""
    attempt = run.attempt
    if attempt is None:
        draft.put(run, None)  # its back-off is over
    elif attempt.phase is GangPhase.GONE:
        _verdict(draft, run, attempt)
    elif attempt.phase is GangPhase.STARTING:
        draft.kill(run, "start-timeout")
    elif attempt.phase is GangPhase.RUNNING and not attempt.evidence:
        draft.kill(run, "no-progress", stacks=True)
    else:
        draft.kill(run)


def _note(draft: Draft, run: Run, item: Evidence) -> None:
    attempt = run.attempt
    if attempt is None or any((seen.rank, seen.what) == (item.rank, item.what) for seen in attempt.evidence):
        return  # told twice
    run = _with_evidence(run, item)
    if attempt.phase is GangPhase.GONE:
        draft.put(run, draft.due.get(("run", run.id)))
        if run.attempt is not None:
            _verdict(draft, run, run.attempt)
        return
    due = draft.due.get(("run", run.id), draft.now)
    others = attempt.phase in (GangPhase.STARTING, GangPhase.RUNNING, GangPhase.STOPPING)
    ended_alone = attempt.ranks == 1 and item.what != "lost-unreachable"
    if others and bad_news(item) and not ended_alone and not any(map(bad_news, attempt.evidence)):
        draft.put(run, due)
        draft.kill(run)
    else:
        ends = draft.now + draft.options.stop_grace_s
        draft.put(run, ends if attempt.phase is GangPhase.RUNNING and not attempt.evidence else due)


def _with_evidence(run: Run, item: Evidence) -> Run:
    attempt = run.attempt
    if attempt is None:
        return run
    return replace(run, attempt=replace(attempt, evidence=(*attempt.evidence, item)))


def _gone(draft: Draft, run: Run, checkpoint: int) -> None:
    attempt = run.attempt
    if attempt is None:
        return
    draft.release(attempt.slice, run.kind, run.count, run.usd_per_hour)
    attempt = replace(attempt, phase=GangPhase.GONE, gone_at=draft.now, checkpoint=checkpoint)
    run = replace(run, attempt=attempt)
    draft.put(run, None)
    _verdict(draft, run, attempt)


def _verdict(draft: Draft, run: Run, attempt: Attempt) -> None:
    """Judge the gang if it can be judged by now, and do what its class asks for."""
    verdict = judge(attempt, draft.now, draft.ledger.usable(attempt.slice), draft.options)
    if isinstance(verdict, float):
        draft.put(run, verdict)
        return
    if verdict.outcome in POLICIES and POLICIES[verdict.outcome].strike and attempt.slice is not None:
        draft.ledger = draft.ledger.struck(attempt.slice, draft.now, draft.options.strikes, draft.options.quarantine_s)
        strikes = draft.ledger.strikes[attempt.slice]
        if strikes.until > draft.now:
            draft.alarm("slice", attempt.slice, max(strikes.until, draft.due.get(("slice", attempt.slice), 0.0)))
    held = run.step
    run = _accounted(run, attempt, verdict)
    run, due = _after(draft, run, attempt, verdict, gained=run.step > held)
    followed = without_checkpoint(run, draft.runs)  # its training may have ended, or gone back, meanwhile
    draft.put(followed, due if followed is run else None)
    draft.place_again = True


def _accounted(run: Run, attempt: Attempt, verdict: Verdict) -> Run:
    """Close the books of the attempt: what it ran, and what of that its newest checkpoint does not hold."""
    checkpoint = attempt.checkpoint if attempt.checkpoint is not None else run.step
    if verdict.outcome == DONE:
        checkpoint = max(checkpoint, attempt.step)
    resumed = attempt.resumed if attempt.resumed is not None else min(run.step, checkpoint)
    reached = max(attempt.step, checkpoint, resumed)
    ran, kept = reached - resumed, checkpoint - run.step
    closed = replace(attempt, step=reached, resumed=resumed, checkpoint=checkpoint, outcome=verdict.outcome)
    return replace(
        run, attempt=None, past=(*run.past, closed), step=checkpoint, committed=checkpoint,
        ran_steps=run.ran_steps + ran, wasted_steps=run.wasted_steps + ran - kept,
        avoid=attempt.slice if verdict.outcome in POLICIES and POLICIES[verdict.outcome].other_slice else None,
    )  # fmt: skip


def _after(
    draft: Draft, run: Run, attempt: Attempt, verdict: Verdict, gained: bool
) -> tuple[Run, float | None]:  # fmt: skip
    """Return the run after its gang's end, and when to look at it again."""
    if gained:
        run = replace(run, fruitless=0)
    if verdict.outcome == DONE:
        return replace(run, phase=Phase.DONE, reason=""), None
    policy = POLICIES.get(verdict.outcome, POLICIES["error"])
    said = f"{verdict.outcome}: {verdict.message}" if verdict.message else verdict.outcome
    if not policy.retry:
        advice = f"; {policy.advice}" if policy.advice else ""
        return replace(run, phase=Phase.FAILED, reason=f"{said}{advice}"), None
    if attempt.stop == "enough":
        return replace(run, phase=Phase.CANCELLED, reason=run.known), None
    if attempt.stop in ("cancel", "pause"):
        phase = Phase.CANCELLED if attempt.stop == "cancel" else Phase.PAUSED
        reason = f"{phase} by request at step {run.step}"
        return replace(run, phase=phase, reason=reason), None
    if draft.stopping or attempt.stop in ("stop", "budget"):
        reason = "stopped; begins again" if run.of else f"stopped at step {run.step}; goes on from there"
        return replace(run, phase=Phase.WAITING, reason=reason), None
    going_on = f"{said}; {'begins again' if run.of else f'goes on from step {run.step}'}"
    if attempt.stop == "resume":
        return replace(run, phase=Phase.WAITING, reason=going_on), None
    if policy.free:
        return _again_for_free(draft, replace(run, reason=going_on))
    run = replace(run, fruitless=0 if gained else run.fruitless + 1)
    if run.fruitless > run.max_retries and ends_a_run(verdict):
        reason = f"{said} (no progress in {run.fruitless} attempts, execution.max_retries {run.max_retries})"
        return replace(run, phase=Phase.FAILED, reason=reason), None
    until = draft.now + backoff_s(run, run.fruitless, draft.options)
    return replace(run, phase=Phase.WAITING, reason=going_on, not_before=until), until


def _again_for_free(draft: Draft, run: Run) -> tuple[Run, float | None]:
    """Return the run ready at once; but one that is taken away again and again before its first step must not spin."""
    last = run.past[-1]
    stepped = last.step > (last.resumed or 0)
    run = replace(run, phase=Phase.WAITING, barren=0 if stepped else run.barren + 1)
    if run.barren < 2:
        return run, None
    until = draft.now + backoff_s(run, run.barren - 1, draft.options)
    return replace(run, not_before=until), until


def _resumed_at(run: Run, step: int) -> Run:
    """Return the run after its gang's first word, at the step that it really went on from.

    An earlier one than its newest checkpoint means that this could not be read; `compute` counts what is run again. A
    later one means that a checkpoint was committed after its gang's end was told: what counted as wasted was not.
    """
    found = step - run.step
    if found <= 0:
        return run
    saved = min(found, run.wasted_steps)
    return replace(run, step=step, wasted_steps=run.wasted_steps - saved, ran_steps=run.ran_steps + found - saved)


def _present(draft: Draft, gang: Gang) -> Run | None:
    """Return the run whose present gang it is; None for a gang of the past."""
    run = draft.runs.get(gang.run_id)
    return run if run is not None and run.attempt is not None and run.attempt.gang == gang else None


def _turn_away(draft: Draft, event: GangStarted, run: Run | None) -> None:
    """Kill a gang that was found alive and that nobody wants; what it holds stays held until it is gone."""
    kind, count = (run.kind, run.count) if run is not None else ("cpu", 0)
    draft.ledger = draft.ledger.take(event.slice, kind, count, event.gang)
    draft.spending = draft.spending.holding(1, 0.0, draft.by_gang(event.slice))
    draft.strays = draft.strays.set(event.gang, (event.slice, kind, count))
    draft.actions.append(Kill(event.gang))


def _leave_stray(draft: Draft, gang: Gang) -> bool:
    held = draft.strays.get(gang)
    if held is None:
        return False
    draft.strays = draft.strays.delete(gang)
    draft.release(*held, 0.0)
    return True
