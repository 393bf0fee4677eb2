"""The commands as a person types them: what they print, what they refuse, and with which exit status."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.commands import cli
from dit_grid.orchestrator.planning.work import record_runs

SHIPPED = Path(__file__).parents[3] / "experiments"


def dit_grid(*arguments, cwd="."):
    """What the program does when it is called so, in this process: importing pandas costs more than most commands."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["dit-grid", *map(str, arguments)])
        patch.chdir(cwd)
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
    return subprocess.CompletedProcess(sys.argv, status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def store(miniature_spec, tmp_path_factory):
    """A store of two runs by hand: S/4 done, B/4 failed after 400 of 1,200 steps."""
    spec = load_spec(miniature_spec(tmp_path_factory.mktemp("command_line")))
    store = Store.create(spec.store)
    record_runs(spec, store)
    small, large = spec.runs
    for run, last, value in ((small, 1200, 50.0), (large, 400, 70.0)):
        attempt = store.begin_attempt(run.id, 0, {"host": "elsewhere", "pid": 1, "device": "cpu"})
        with store.writer(attempt) as writer:
            for step in range(100, last + 1, 100):
                writer.train({"step": step, "loss": 1 / step, "steps_per_s": 20.0})
            writer.eval({"step": last, "metric": "fd_conv", "value": value, "protocol": "p", "samples": 100})
        if run is small:
            store.end_attempt(attempt, "done", {"step": last})
        else:
            detail = {"class": "nan", "message": "NonFiniteLossError: x", "step": 400, "traceback": "Traceback: y"}
            store.end_attempt(attempt, "failed", detail)
            log = Path(store.paths.full(store.paths.log(run.id, attempt.number)))
            log.parent.mkdir(parents=True)
            log.write_text("a line of the log\n")
    return spec.store


def test_the_plan_reckons_the_papers_hours(tmp_path):
    """XL/2 ran at about 5.7 it/s on a v3-256, so 400K steps take 19.5 hours (paper, section 5, and arithmetic).

    Replicated it has no roofline among those that are shipped, and goes by the utilisation that this is.
    """
    text = (SHIPPED / "grid.yaml").read_text()
    (tmp_path / "grid.yaml").write_text(text.replace("execution:\n", "execution:\n  sharding: replicated\n", 1))
    rows = json.loads(dit_grid("plan", tmp_path / "grid.yaml", "--json").stdout)
    largest = next(row for row in rows if row["model"] == "XL/2")
    assert largest["steps_per_s"] == pytest.approx(5.7, rel=0.01)
    assert largest["steps"] / largest["steps_per_s"] / 3600 == pytest.approx(19.5, rel=0.01)
    assert largest["forward_gmacs"] == pytest.approx(118.64, rel=1e-3)
    assert (largest["params"], largest["chips"]) == (674_834_720, 128)


def test_the_plan_for_a_program_has_the_bill_and_where_each_price_is_from():
    """Six slices at 576 USD an hour, as long as the longest takes; the runs hold a third of it."""
    rows = json.loads(dit_grid("plan", SHIPPED / "grid.yaml", "--json").stdout)
    bill = rows[0]["bill"]
    assert all(row["bill"] == bill for row in rows)
    assert (bill["capacity"], sum(bill["slices"].values())) == ("fixed", 6)
    assert bill["billed_usd"] == pytest.approx(576 * bill["makespan_hours"])
    assert bill["billed_slice_hours"] == pytest.approx(6 * bill["makespan_hours"])
    assert bill["held_usd"] == pytest.approx(sum(row["usd"] for row in rows))
    price = next(row for row in rows if row["model"] == "XL/2")["price"]
    assert (price["of"], price["usd_per_hour"], price["billing"]) == ("v3-256", 256.0, "on-demand")
    assert price["date"] == "2026-11-28"
    assert "skypilot" in price["source"]


def test_the_plan_counts_evaluation_apart():
    """FID-50K with 250 steps, 8 times, is 50,000 x 250 x 8 forward passes, and Figure 10 another 10,000 x (16 + 32 + 64
    + 128 + 256 + 1000) at the end; training is 3 x 256 x 400,000 of them."""
    row = json.loads(dit_grid("plan", SHIPPED / "grid.yaml", "--json").stdout)[0]
    assert row["eval_gmacs"] / row["train_gmacs"] == pytest.approx(
        (50_000 * 250 * 8 + 10_000 * 1496) / (3 * 256 * 400_000)
    )


def test_the_plan_of_the_digits_grid_prints_every_model_and_its_unit():
    output = dit_grid("plan", SHIPPED / "digits.yaml").stdout
    assert all(f"{size}/{patch}" in output for size in ("S", "B", "L", "XL") for patch in (8, 4, 2))
    assert "1e12 multiply-accumulates; a GMAC is 1e9, the paper's Gflop; FLOPs are twice that" in output


def test_status_says_how_every_run_stands(store):
    small, large = json.loads(dit_grid("status", store, "--json").stdout)[::-1]
    assert (small["model"], small["state"], small["step"], small["steps"]) == ("S/4", "done", 1200, 1200)
    assert (large["state"], large["step"], large["message"]) == ("failed", 400, "NonFiniteLossError: x")
    assert large["metrics"] == {"fd_conv": 70.0}
    text = dit_grid("status", store).stdout
    assert "1 done" in text
    assert "1 failed" in text


def test_results_come_in_every_format(store, tmp_path):
    table = pd.read_csv(io.StringIO(dit_grid("results", store, "--format", "csv").stdout))
    assert list(table["model"]) == ["S/4", "B/4"]
    rows = json.loads(dit_grid("results", store, "--format", "json").stdout)
    assert [row["fd_conv"] for row in rows] == [50.0, 70.0]
    out = tmp_path / "results.parquet"
    assert dit_grid("results", store, "--format", "parquet", "-o", out).returncode == 0
    assert list(pd.read_parquet(out)["run_id"]) == [row["run_id"] for row in rows]
    assert "S/4" in dit_grid("results", store).stdout


def test_the_store_reads_with_plain_pandas(store):
    assert set(pd.read_parquet(f"{store}/evals")["value"]) == {50.0, 70.0}


def test_logs_of_a_failed_run_begin_with_its_traceback(store):
    shown = dit_grid("logs", "B/4", store)
    assert "failed (nan)" in shown.stderr
    assert "Traceback: y" in shown.stderr
    assert shown.stdout == "a line of the log\n"


def test_without_where_the_newest_store_under_results_is_meant(store, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "miniature").symlink_to(store)
    assert "1 failed" in dit_grid("status", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["launch", "absent.yaml"], "absent.yaml: no such file"),
        (["plan", "bad.yaml"], "bad.yaml:1: nmae: unknown section (did you mean 'name'?)"),
        (["status"], "no store in results/"),
        (["status", "nowhere"], "nowhere: no results store here"),
        (["results", "{store}", "--format", "parquet"], "needs a file: add -o results.parquet"),
        (["logs", "XL/2", "{store}"], "'XL/2' is no run of this store; name one of: b-4-"),
        (["logs", "S/4", "{store}"], "left no log"),
        (["plan", "{digits}", "--parameters", "S/3"], "has no model 'S/3'; it has XL/2"),
        (["plan", "{digits}", "--group", "x"], "groups: got 'x'; the file has: none"),
        (["sample", "S/4", "--seed", "4294967296"], "4294967296 is not in the range 0<=x<=2147483647"),
        (["analyze", "s3://bucket/x"], "only a local path or a gs:// URL"),
    ],
)
def test_a_request_that_is_wrong_ends_in_a_line_and_status_2(store, tmp_path, arguments, message):
    (tmp_path / "bad.yaml").write_text("nmae: x\nstore: y\n")
    places = {"store": store, "digits": SHIPPED / "digits.yaml"}
    shown = dit_grid(*(argument.format(**places) for argument in arguments), cwd=tmp_path)
    assert shown.returncode == 2
    assert message in shown.stderr
    assert "Traceback" not in shown.stderr


def test_store_commands_check_pack_and_clean_up(store, tmp_path):
    assert "0 errors" in dit_grid("store", "check", store).stdout
    before = dit_grid("results", store, "--format", "csv").stdout
    assert dit_grid("store", "compact", store).returncode == 0
    assert dit_grid("store", "gc", store, "--grace", "0").returncode == 0
    assert dit_grid("results", store, "--format", "csv").stdout == before
    names = dit_grid("store", "export", store, "-o", tmp_path / "out", "--format", "jsonl").stdout.split()
    assert sorted(Path(name).name for name in names) == ["evals.jsonl", "events.jsonl", "runs.jsonl", "train.jsonl"]


def test_the_store_check_finds_a_torn_file(store, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    torn = next((copy / "evals").rglob("*.parquet"))
    torn.write_bytes(torn.read_bytes()[:50])
    shown = dit_grid("store", "check", copy)
    assert shown.returncode == 1
    assert str(torn.relative_to(copy)) in shown.stdout


def test_every_command_has_help_with_an_example():
    listed = dit_grid("--help").stdout.split("Commands:")[1]
    assert "dit-grid store check" in dit_grid("store", "--help").stdout
    commands = [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "]
    assert {"plan", "launch", "status", "logs", "results", "analyze", "doctor"} <= set(commands)
    for command in commands:
        assert f"dit-grid {command}" in dit_grid(command, "--help").stdout.split("Usage:")[1].split("\n", 1)[1]
