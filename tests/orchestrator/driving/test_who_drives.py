"""One driver at a time; `test_launch` has a second launch of a grid, which takes over when the first is killed."""

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.backends.contract import InProcess
from dit_grid.orchestrator.control.lease import Ended, Lease, Watcher
from dit_grid.orchestrator.control.requests import CANCEL, ask
from dit_grid.orchestrator.core import Phase
from dit_grid.orchestrator.driving.under_lease import drive_under
from dit_grid.orchestrator.planning.work import record_runs

HOW = """
train: {steps: 40, batch: 8, log_every: 10}
evaluate: {every: 40, settings: [{metrics: [heldout_loss], samples: 32}]}
execution: {resources: {cpus: 1}, checkpoint_every: 10, steps_per_call: 10}
"""


@pytest.fixture
def prepared(small_spec, tmp_path):
    """The spec of a small grid, and its store, in which nothing has begun."""
    spec = load_spec(small_spec(tmp_path / "small.yaml", tmp_path / "store", HOW))
    store = Store.create(spec.store)
    record_runs(spec, store)
    return spec, store


def taken(store) -> Lease:
    lease = Watcher(store).take()
    assert lease is not None
    return lease


def test_a_cancelled_run_is_not_started_and_the_watchers_are_told_how_it_ended(prepared):
    spec, store = prepared
    small, large = spec.runs
    ask(store.files, CANCEL, [large.id])
    state = drive_under(taken(store), spec, store, InProcess(store), lambda grid: None)
    assert state is not None
    assert (state.runs[small.id].phase, state.runs[large.id].phase) == (Phase.DONE, Phase.CANCELLED)
    assert large.id not in store.states()
    ended = Watcher(store).look()
    assert isinstance(ended, Ended)
    assert ended.detail["phases"] == {small.id: "done", large.id: "cancelled"}


def test_a_driver_whose_lease_is_taken_stops_at_once(prepared):
    spec, store = prepared
    lease = taken(store)
    store.files.create("control/driver-000002.json", b"{}")
    assert not lease.renew()
    assert drive_under(lease, spec, store, InProcess(store), lambda grid: None) is None
    assert store.states() == {}
