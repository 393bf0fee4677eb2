"""Which waiting run starts next and on what, and why every other one still waits.

By priority, then in the order of the launch; what a run needs is free, trusted and within the budget, or it waits.
"""

from dit_grid.orchestrator.core.budget import Claim, claim
from dit_grid.orchestrator.core.draft import RUN, Draft
from dit_grid.orchestrator.core.state import Phase, Run, State, has_its_checkpoint

Need = tuple[str, int]


def place(draft: Draft) -> None:
    """Start every run that can start now."""
    draft.place_again = False
    if draft.stopping:
        return
    spoken_for = _spoken_for(draft)
    refused = _training(draft) if draft.enough else dict[Need, int]()
    while (found := _first(draft, refused)) is not None:
        run = found
        need = (run.kind, run.count)
        if draft.spending.refusal(draft.options.budget, spoken_for, needed(run, draft)):
            refused[need] = refused.get(need, 0) | 1 << draft.before.place_of[run.id]
            if draft.spending.exhausted or _slices_capped(draft):
                break  # the next one would hear the same
            continue
        spoken_for += needed(run, draft)
        draft.start(run, None if draft.ledger.is_pool(run.kind) else draft.ledger.choose(run.kind, run.avoid))
    draft.blocked = _blocked(draft, refused)


def why(state: State, run_id: str) -> str:
    """Return why the run waits, in words that are true now; empty if it does not wait."""
    run = state.runs[run_id]
    if run.phase is Phase.PAUSED:
        return run.reason or "paused by request"
    if run.phase is not Phase.WAITING:
        return ""
    if state.stopping:
        return run.reason or "the grid is stopping; launch again to go on"
    if not has_its_checkpoint(run, state.runs):
        training = state.runs[run.of]
        return f"waits for the checkpoint at step {run.at_step} of {training.id}; the newest is at {training.committed}"
    if state.enough and not run.of:
        return state.enough
    before = f" after {run.reason}" if run.reason else ""
    if run.not_before > state.now:
        return f"backs off for {run.not_before - state.now:.0f} s more{before}"
    book, kind = state.ledger, run.kind
    if run.count > book.total(kind):
        broken = book.broken.get(kind, 0)
        also = f" ({broken} broken or leaving)" if broken else ""
        return f"needs {run.count} x {kind}, the cluster has {book.total(kind)}{also}"
    if run.count > book.available(kind):
        aside = sum(1 for _ in book.aside(kind, state.now))
        also = f", {aside} put aside after failures" if aside else ""
        return f"waits for {run.count} x {kind}; {book.available(kind)} of {book.total(kind)} free{also}"
    draft = Draft(state, state.now)
    return draft.spending.refusal(draft.options.budget, _spoken_for(draft), needed(run, draft)) or (
        f"waits for a run of higher priority that needs more of {kind}"
    )


def _training(draft: Draft) -> dict[Need, int]:
    """Return every run that waits to train: once enough is known only checkpoints that are there are measured."""
    found: dict[Need, int] = {}
    for need, bits in draft.ready.items():
        while bits:
            place = bits & -bits
            if not draft.runs[draft.before.order[place.bit_length() - 1]].of:
                found[need] = found.get(need, 0) | place
            bits ^= place
    return found


def needed(run: Run, draft: Draft) -> Claim:
    """Return what the run will need from now to its end."""
    options, tariff = draft.options, draft.before.tariff
    by_gang = options.budget.of == "held" or not tariff.stays or draft.ledger.is_pool(run.kind)
    grace_s = options.stop_grace_s + options.kill_again_s
    remaining_s = run.remaining_s
    if remaining_s is not None and run.attempt is not None and run.seconds_per_step is not None:
        remaining_s = max(run.steps - max(run.attempt.step, run.step), 0) * run.seconds_per_step
    return claim(remaining_s, run.usd_per_hour, grace_s, by_gang)


def _spoken_for(draft: Draft) -> Claim:
    """Return what the gangs that hold something will still need; not looked at where nothing is capped."""
    total, budget = Claim(), draft.options.budget
    if budget.slice_hours is None and budget.usd is None:
        return total
    for _, kind, name in draft.timers:  # in order, so that the sum does not depend on a hash
        if kind == RUN and draft.runs[name].attempt is not None:
            total += needed(draft.runs[name], draft)
    return total


def _first(draft: Draft, refused: dict[Need, int]) -> Run | None:
    """Return the first run in order that fits what is free and was not refused."""
    book, fitting, waits_for = draft.ledger, [], dict[str, int]()
    for need, bits in sorted(draft.ready.items()):
        bits &= ~refused.get(need, 0)
        if not bits:
            continue
        kind, count = need
        place = (bits & -bits).bit_length() - 1
        head = draft.runs[draft.before.order[place]]
        if book.available(kind) >= count:
            fitting.append((place, head))
        elif book.total(kind) >= count:
            waits_for[kind] = max(waits_for.get(kind, head.priority), head.priority)
    # What is too large for what is free is passed by its equals; a run of higher priority is not.
    able = [(place, run) for place, run in fitting if run.priority >= waits_for.get(run.kind, run.priority)]
    return min(able, key=lambda found: found[0])[1] if able else None


def _slices_capped(draft: Draft) -> bool:
    cap = draft.options.budget.slices
    return cap is not None and draft.spending.held >= cap


def _blocked(draft: Draft, refused: dict[Need, int]) -> bool:
    """Return whether only the budget keeps the waiting runs from starting, and nothing runs."""
    if draft.active or not draft.unfinished:
        return False
    if draft.spending.exhausted:
        return True
    delayed = any(kind == RUN for _, kind, _ in draft.timers)
    return bool(refused) and not delayed and all(not bits & ~refused.get(need, 0) for need, bits in draft.ready.items())
