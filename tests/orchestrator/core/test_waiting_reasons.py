"""`dit-grid status` says why each waiting run waits, from the store alone, by the last word of the driver."""

import json
from pathlib import Path

from click.testing import CliRunner

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator import core
from dit_grid.orchestrator.commands.cli import cli
from dit_grid.orchestrator.control.lease import Watcher
from dit_grid.orchestrator.core.events import ClusterSeen, SliceSeen, Tick
from dit_grid.orchestrator.driving.under_lease import _spent, waits
from dit_grid.orchestrator.planning.account import tariff
from dit_grid.orchestrator.planning.work import core_run, record_runs, unfinished
from dit_grid.orchestrator.screen.grid import Grid
from dit_grid.orchestrator.screen.live_grid import summary


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


def test_status_says_what_is_billed_and_what_runs_hold_while_a_driver_is_at_work(tmp_path, monkeypatch):
    """Two slices of 32 USD an hour for two hours, one of them held."""
    spec = load_spec(Path(__file__).parents[3] / "experiments" / "grid.yaml")
    spec = spec.model_copy(update={"runs": spec.runs[:1]})
    store = Store.create(str(tmp_path / "store"))
    there = tuple(SliceSeen(name, "v3-32", ("h0", "h1", "h2", "h3")) for name in "ab")
    state = core.initial([core_run(run, spec.plan) for run in spec.runs], tariff=tariff(spec))
    for event in (ClusterSeen(0.0, {}, there), Tick(7200.0)):
        state, _ = core.advance(state, event)
    assert summary(Grid(spec.runs, state, {}, {}, 7200.0)).endswith("2:00:00 so far; billed 128 USD, held 64")
    lease = Watcher(store).take()
    assert lease is not None
    lease.note = _spent(state, spec)
    assert lease.renew()
    monkeypatch.setenv("COLUMNS", "80")
    lines = CliRunner().invoke(cli, ["status", str(tmp_path / "store")]).stdout.splitlines()
    assert "billed about 4 slice-hours, 128.00 USD" in " ".join(lines)
    assert "its runs held 2 slice-hours, 64.00 USD" in " ".join(" ".join(lines).split())
    assert max(map(len, lines[-2:])) <= 80
