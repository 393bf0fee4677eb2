"""One driver at a time; `test_launch` has a second launch of a grid, which takes over when the first is killed."""

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.backends.contract import InProcess
from dit_grid.orchestrator.control.lease import Ended, Lease, Watcher
from dit_grid.orchestrator.control.requests import CANCEL, ask
from dit_grid.orchestrator.core import Phase
from dit_grid.orchestrator.driving.under_lease import drive_under
from dit_grid.orchestrator.planning.work import record_runs


def prepared(spec_file):
    spec = load_spec(spec_file)
    store = Store.create(spec.store)
    record_runs(spec, store)
    return spec, store


def taken(store) -> Lease:
    lease = Watcher(store).take()
    assert lease is not None
    return lease


def test_a_cancelled_run_is_not_started_and_the_watchers_are_told_how_it_ended(miniature_spec, tmp_path):
    spec, store = prepared(miniature_spec(tmp_path))
    small, large = spec.runs
    ask(store.files, CANCEL, [large.id])
    state = drive_under(taken(store), spec, store, InProcess(store), lambda grid: None)
    assert state is not None
    assert (state.runs[small.id].phase, state.runs[large.id].phase) == (Phase.DONE, Phase.CANCELLED)
    assert large.id not in store.states()
    ended = Watcher(store).look()
    assert isinstance(ended, Ended)
    assert ended.detail["phases"] == {small.id: "done", large.id: "cancelled"}


def test_a_driver_whose_lease_is_taken_stops_at_once(miniature_spec, tmp_path):
    spec, store = prepared(miniature_spec(tmp_path))
    lease = taken(store)
    store.files.create("control/driver-000002.json", b"{}")
    assert not lease.renew()
    assert drive_under(lease, spec, store, InProcess(store), lambda grid: None) is None
    assert store.states() == {}
