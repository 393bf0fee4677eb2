"""Stores with one damaged file, whichever it is: every command that reads one shows the same, or says what is wrong.

Rows lie under page checksums, so no number changes in silence. Records in JSON have none: they are refused where they
cannot be what they should be, and `store check` finds what a whole reading finds.
"""

import contextlib
import io
import json
import shutil
import sys

import pytest

from dit_grid.experiments.store import Store
from dit_grid.experiments.store.check import check
from dit_grid.experiments.store.checkpoint_marks import damage as damage_of, mark_whole
from dit_grid.experiments.store.compaction import compact
from dit_grid.orchestrator.control.lease import Watcher
from dit_grid.orchestrator.control.requests import ask
from dit_grid.orchestrator.screen.status import driver_line, read_status

INPUTS, QUICK = 250, 5
RUNS = ("s-4-aaaaaaaa", "s-2-bbbbbbbb", "s-8-cccccccc")

SUMMARY = {
    "model": "S/4",
    "steps": 40,
    "steps_per_s": 2.0,
    "mfu": None,
    "loss": 0.1,
    "metrics": {"fid": 2.0},
    "device": "cpu",
}


def filled(where):
    """A run that is done, one that goes on, and one packed; a driver, two requests, a checkpoint."""
    store = Store.create(str(where))
    for number, run_id in enumerate(RUNS):
        store.add_run({
            "run_id": run_id, "experiment": "e", "model": f"S/{2 ** (number + 1)}", "size": "S",
            "patch": 2 ** (number + 1), "block": "adaln-zero", "image_size": 8, "width": 16, "depth": 1,
            "heads": 2, "params": 1000 + number, "tokens": 4, "forward_macs": 10**6 * (number + 1), "batch": 8,
            "steps": 40, "seed": 0, "dataset": "digits",
            "spec": json.dumps({"train": {"steps": 40, "ema": {"decay": 0.5}}}),
        })  # fmt: skip
        attempt = store.begin_attempt(
            run_id, 0, {"host": "elsewhere", "pid": 17, "device": "cpu", "versions": {"jax": "1"}}
        )
        with store.writer(attempt, rows_per_flush=2) as writer:
            for step in (10, 20, 30, 40):
                writer.train({"step": step, "loss": 1 / step, "steps_per_s": 2.0, "wall_unix_s": 1e9})
                writer.eval({
                    "step": step, "metric": "fid", "value": 100 / step, "protocol": "p", "samples": 100,
                    "weights": "raw",
                })  # fmt: skip
        if number == 0:
            store.end_attempt(attempt, "done", {"step": 40, "summary": SUMMARY})
        if number == 2:
            store.end_attempt(attempt, "failed", {"class": "nan", "message": "m", "step": 40, "traceback": "t"})
            compact(store)
    folder = where / "checkpoints" / RUNS[1] / "a000001" / "s000000020"
    folder.mkdir(parents=True)
    (folder / "data").write_bytes(b"0123456789")
    mark_whole(store.files, RUNS[1], 1, 20, {"step": 20})
    ask(store.files, "pause", [RUNS[1]])
    ask(store.files, "resume", [RUNS[1]])
    lease = Watcher(store).take()
    assert lease is not None
    lease.note = {"waits": {"no slice is free": [RUNS[1]]}}
    lease.renew()
    with store.journal("driver-1") as journal:
        journal.event("Began", detail_of="x")
    return store


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The folder of a store of which each test damages a copy."""
    where = tmp_path_factory.mktemp("sound") / "store"
    filled(where)
    return where


@pytest.fixture
def store(fuzz, sound):
    shutil.copytree(sound, fuzz.folder / "store")
    return Store.open(str(fuzz.folder / "store"))


def names():
    """One name of every kind of file that a store has, as a pattern."""
    return (
        "FORMAT.json", "runs/s-4*", "train/s-4*/a*n00000001*", "evals/s-4*/a*n00000000*", "train/s-8*/c*", "events/*",
        "attempts/s-4*start*", "attempts/s-4*done*", "attempts/s-8*failed*", "checkpoints/*/whole*",
        "control/request-00000002*", "control/driver-000001.json", "control/driver-000001.beat*",
    )  # fmt: skip


def seen(where):
    """What the store's readers find: the rows, how runs stand, what the checkpoint's mark says."""
    store = Store.open(str(where))
    tables = [table.to_pylist() for table in (store.runs(), store.train(), store.evals(), store.events())]
    rows = read_status(store)
    driver_line(store)
    mark = damage_of(store.files, RUNS[1], 1, 20)
    return repr((tables, rows)), mark, [finding.name for finding in check(store) if finding.is_error]


def alike(whole, found):
    """The same, or the damage is found by `store check`, or shown where it lies (records that have no checksum)."""
    return whole[0] == found[0] or bool(found[2])


@pytest.mark.parametrize("name", names())
@pytest.mark.filterwarnings("ignore:control/request")
def test_a_damaged_file_of_a_store(fuzz, damage, store, inputs, name):
    where = fuzz.folder / "store"
    (path,) = where.glob(name)
    sound = path.read_bytes()

    def read(data):
        path.write_bytes(data)
        return seen(where)

    kind = damage.bytes if path.suffix == ".parquet" else damage.json
    checked = path.suffix == ".parquet"
    kind = kind if sound.startswith((b"{", b"PAR1")) else damage.bytes
    same = alike if checked else None
    fuzz(sound, read, inputs, same=same, damage=kind, name=path.name, prepared=True, multiple=300)


@pytest.mark.parametrize("name", ["train/s-4*/a*n00000001*", "attempts/s-4*done*", "runs/s-4*"])
def test_a_damaged_file_leaves_the_analysis_as_it_was_or_stops_it(fuzz, damage, store, inputs, name):
    from dit_grid.analysis import load, results_table
    from dit_grid.analysis.report import Besides, report_html
    from dit_grid.analysis.report.history import read_history

    where = fuzz.folder / "store"
    (path,) = where.glob(name)
    sound = path.read_bytes()

    def read(data):
        path.write_bytes(data)
        results = load(str(where))
        report_html(results, Besides({}, read_history(str(where), results.runs["run_id"])))
        return results_table(results)

    kind = damage.bytes if path.suffix == ".parquet" else damage.json
    same = (lambda whole, found: whole.equals(found)) if path.suffix == ".parquet" else None
    fuzz(sound, read, inputs // 5, same=same, damage=kind, name=path.name, prepared=True, multiple=5000)


def dit_grid(*arguments):
    from dit_grid.orchestrator.commands import cli

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["dit-grid", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as end:
            return int(end.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("control/request-00000002.json", b"{"),
        ("control/request-00000002.json", b'{"what": "stop", "runs": 3}'),
        ("control/driver-000001.json", b'{"host": "x"}'),
        ("control/driver-000001.json", b"[]"),
        ("control/driver-000001.beat-00000000", b'{"waits": {"x": 3}}'),
        ("attempts/s-4-aaaaaaaa.a000001.done.json", b'{"step": 40, "summary": {}}'),
        ("attempts/s-4-aaaaaaaa.a000001.done.json", b'{"step": "x", "summary": {"model": 3}}'),
        ("attempts/s-2-bbbbbbbb.a000001.start.json", b'{"resume_step": 0, "pid": 1e99, "started_unix_s": "x"}'),
        ("attempts/s-2-bbbbbbbb.a000001.start.json", b'{"resume_step": 0, "host": null, "versions": [1]}'),
    ],
)
def test_a_damaged_record_does_not_keep_anybody_from_looking(store, fuzz, file, data):
    """Status is still there, with every run; of a request a warning says that it is not heeded."""
    where = fuzz.folder / "store"
    (where / file).write_bytes(data)
    status, out, err = dit_grid("status", where)
    assert status == 0
    assert all(run_id in out for run_id in RUNS)
    assert ("warning: control/request-00000002.json" in err) == ("request" in file)
    assert dit_grid("report", where, "-o", fuzz.folder / "report.html")[0] == 0


def test_a_run_whose_folder_is_a_link_is_read_like_any(store, fuzz):
    """A folder moved to another disk, with a link where it was: the same rows, and a loop of links ends."""
    where = fuzz.folder / "store"
    whole = seen(where)
    for table in ("train", "evals"):
        shutil.move(where / table / RUNS[1], fuzz.folder / f"moved-{table}")
        (where / table / RUNS[1]).symlink_to(fuzz.folder / f"moved-{table}")
    (fuzz.folder / "moved-train" / "loop").symlink_to(where / "train")
    (fuzz.folder / "moved-train" / "itself").symlink_to(fuzz.folder / "moved-train")
    assert seen(where) == whole
    attempt = store.begin_attempt(RUNS[1], 40)
    with store.writer(attempt) as writer:
        writer.train({"step": 50, "loss": 0.01})
    assert Store.open(str(where)).train([RUNS[1]])["step"].to_pylist()[-1] == 50
