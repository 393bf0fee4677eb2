"""What must hold of every state, whatever happened: used by the simulator after events and by tests.

`cheap` looks only at indexes; `full` derives everything again from the runs.
"""

from dit_grid.orchestrator.core.placement import why
from dit_grid.orchestrator.core.state import FINAL, GangPhase, Phase, State, has_its_checkpoint


def cheap(state: State) -> None:
    """Raise AssertionError where a count is impossible."""
    book = state.ledger
    for kind, used in book.used.items():
        assert used >= 0, f"{kind}: {used} used"
    held = state.spending.held
    assert 0 <= state.active <= len(state.runs), state.active
    assert len(book.held) <= held <= state.active + len(state.strays), "more is held than gangs are there"
    for kind, names in book.free.items():
        assert not any(name in book.held for name in names), f"{kind}: a held slice is on offer"
    cap = state.options.budget.slices
    assert cap is None or held <= cap + len(state.strays), f"{held} slices held, the budget allows {cap}"


def full(state: State) -> None:
    """Raise AssertionError where an index and the runs differ, or a run has no reason for how it stands."""
    cheap(state)
    holders: dict[str, str] = {}
    used: dict[str, int] = {}
    ready: dict[tuple[str, int], int] = {}
    active = unfinished = 0
    assert set(state.order) == set(state.runs), "a run was lost or invented"
    for place, run_id in enumerate(state.order):
        run = state.runs[run_id]
        attempt = run.attempt
        active += attempt is not None
        unfinished += run.phase not in FINAL
        assert (attempt is not None) == (run.phase is Phase.RUNNING), f"{run_id}: {run.phase} with {attempt}"
        assert run.ran_steps - run.wasted_steps == run.productive_steps, f"{run_id}: steps do not add up"
        assert run.wasted_steps >= 0, f"{run_id}: wasted {run.wasted_steps}"
        if attempt is not None:
            assert ("run", run_id) in state.due, f"{run_id}: nobody looks at it again"
            if attempt.phase is not GangPhase.GONE:
                _hold(holders, used, attempt.slice, run.kind, run.count, run_id)
        if run.phase is Phase.WAITING:
            assert why(state, run_id), f"{run_id} waits without a reason"
            if run.not_before <= state.now and has_its_checkpoint(run, state.runs):
                ready[run.kind, run.count] = ready.get((run.kind, run.count), 0) | 1 << place
        if not has_its_checkpoint(run, state.runs) and attempt is None:
            over = state.runs[run.of].phase in (Phase.FAILED, Phase.CANCELLED)
            assert run.phase is not Phase.DONE, f"{run_id} is done without a checkpoint that counts"
            assert not over or run.phase in FINAL, f"{run_id} waits for a checkpoint that will never come"
        if run.phase in (Phase.FAILED, Phase.CANCELLED, Phase.PAUSED):
            assert run.reason, f"{run_id} {run.phase} without a reason"
    for gang, (name, kind, count) in state.strays.items():
        _hold(holders, used, name, kind, count, str(gang))
    assert set(holders) == set(state.ledger.held), "the book of slices is not what gangs hold"
    assert {k: c for k, c in used.items() if c} == {k: c for k, c in state.ledger.used.items() if c}, "pools differ"
    assert {need: bits for need, bits in state.ready.items() if bits} == ready, "the ready set is not what is ready"
    assert (state.active, state.unfinished) == (active, unfinished)
    options = state.options
    if not state.spending.exhausted:
        late = state.spending.exhausted_at(options.budget, options.stop_grace_s + options.kill_again_s)
        assert late is None or late > state.now, "the budget is all but spent and gangs go on"
    for compute in (state.compute, state.evaluation_compute):
        assert compute.productive + compute.wasted == compute.total, compute
    assert sorted((when, *key) for key, when in state.due.items()) == list(state.timers)


def _hold(
    holders: dict[str, str], used: dict[str, int], name: str | None, kind: str, count: int, by: str
) -> None:  # fmt: skip
    if name is None:
        used[kind] = used.get(kind, 0) + count
        return
    assert name not in holders, f"{name} is given to {holders.get(name)} and {by}"
    holders[name] = by
