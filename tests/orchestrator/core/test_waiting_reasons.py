"""`dit-grid status` says why each waiting run waits, from the store alone, by the last word of the driver."""

import json

from click.testing import CliRunner

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator import core
from dit_grid.orchestrator.commands.cli import cli
from dit_grid.orchestrator.control.lease import Watcher
from dit_grid.orchestrator.core.events import ClusterSeen
from dit_grid.orchestrator.driving.under_lease import waits
from dit_grid.orchestrator.planning.work import core_run, record_runs, unfinished


def test_status_tells_each_runs_reason_while_a_driver_is_at_work_and_after_it_ended(miniature_spec, tmp_path):
    path = miniature_spec(tmp_path)
    path.write_text(path.read_text().replace("execution:\n", "execution:\n  evaluate_on: {gpus: 2}\n"))
    spec = load_spec(path)
    store = Store.create(spec.store)
    record_runs(spec, store)
    state = core.initial([core_run(run, spec.plan) for run in unfinished(spec)])
    state, started = core.advance(state, ClusterSeen(0.0, {"cpu": 1}))
    first, second = (run.id for run in spec.runs)
    assert [action.gang.run_id for action in started] == [first]
    lease = Watcher(store).take()
    assert lease is not None
    lease.note = {"waits": waits(state)}
    assert lease.renew()
    assert lease.note_is_old

    def said():
        rows = json.loads(CliRunner().invoke(cli, ["status", spec.store, "--json"]).stdout)
        return {row["run_id"]: row["waits_for"] for row in rows}

    expected = {
        first: f"evaluation of step 400: waits for the checkpoint at step 400 of {first}; the newest is at 0",
        second: "waits for 1 x cpu; 0 of 1 free",
    }
    assert said() == expected
    text = CliRunner().invoke(cli, ["status", spec.store]).stdout
    assert f"{second}: {expected[second]}" in text
    lease.end({"outcome": "ended", "waits": waits(state)})
    assert said() == expected
