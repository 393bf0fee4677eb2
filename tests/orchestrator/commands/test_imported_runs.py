"""Imported runs go through every command that reads a store, whatever of them is unknown; a refusal leaves nothing."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from dit_grid.orchestrator.commands.cli import cli

DOCS = (Path(__file__).parents[3] / "docs" / "store.md").read_text(encoding="utf-8")
(MAPPING,) = re.findall(r"```yaml\n(.*?)```", DOCS, flags=re.DOTALL)
LOG = "name,_step,train/loss,fid50k\nother,100,0.5,\nother,200,0.25,43.5\n"
MODELS = ("S/8", "S/4", "B/8", "B/4", "L/4", "XL/4")


def run(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def imported(folder, log=LOG, mapping=MAPPING, expect=0):
    (folder / "mapping.yaml").write_text(mapping)
    (folder / "log.csv").write_text(log)
    found = run("store", "import", folder / "log.csv", folder / "store", "--mapping", folder / "mapping.yaml")
    assert (found.exit_code == 0) == (expect == 0), found.output
    return folder / "store"


def test_the_mapping_of_the_docs_goes_through_every_command(tmp_path):
    store = imported(tmp_path)
    law = run("analyze", store)
    assert law.exit_code == 0, law.output
    assert "No fit: it needs 3 models with a final fid; 1 of 1 run has one so far." in law.output
    report = run("report", store)
    assert report.exit_code == 0, report.output
    page = (store / "report.html").read_text()
    assert "No law yet: 1 model has a final FID" in page
    assert not re.search(r"\bnan\b", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))
    forecast = run("forecast", store, "--models", "XL/2")
    assert "a forecast needs at least 6 models with a final fid; got 1" in str(forecast.exception)
    assert "5.565" in run("results", store).output
    assert "other" in run("status", store).output


def test_runs_of_a_log_make_a_law_and_unknown_ones_are_named(tmp_path):
    names = [*MODELS, "mine"]
    rows = [
        f"r{i},{m},{s},{0.5 - s / 1000},{100 / (i + 1) * (3 - s / 100)}"
        for i, m in enumerate(names)
        for s in (100, 200)
    ]
    log = "\n".join(["name,model,_step,train/loss,fid50k", *rows, ""])
    store = imported(tmp_path, log, MAPPING.replace("model: B/4, params: 130_000_000", "model: {column: model}"))
    law = run("analyze", store)
    assert law.exit_code == 0, law.output
    assert "6 models, 6 runs; step 200; ddpm, guidance 1, 50,000 images" in law.output
    assert "Left out: r6 (size, patch, params, tokens, gmacs unknown)" in law.output
    assert "needs the batch of every run; unknown of r0" in (store / "figures" / "index.html").read_text()
    assert run("report", store).exit_code == 0
    forecast = run("forecast", store, "--models", "XL/2")
    assert forecast.exit_code == 0, forecast.output
    assert "nan" not in forecast.output


def test_an_unknown_run_without_a_number_leaves_the_law_of_the_others(tmp_path):
    rows = ["r0,S/4,200,0.5,60", "r1,B/4,200,0.4,50", "r2,L/4,200,0.3,20", "r3,,200,nan,nan"]
    log = "\n".join(["name,model,_step,train/loss,fid50k", *rows, ""])
    store = imported(tmp_path, log, MAPPING.replace("model: B/4, params: 130_000_000", "model: {column: model}"))
    law = run("analyze", store)
    assert law.exit_code == 0, law.output
    assert "Better with every size at patch 4." in law.output
    assert "No number to draw or fit: 1 of 4 values of fid (nan 1; first r3 at step 200)" in law.output
    assert "Missing: r3 (fid is nan)" in law.output
    assert run("report", store).exit_code == 0


def test_a_store_of_nothing_but_unknown_runs_says_so(tmp_path):
    store = imported(tmp_path, mapping=MAPPING.replace("model: B/4, params: 130_000_000", "model: mine"))
    for arguments in (("report", store), ("analyze", store), ("results", store)):
        found = run(*arguments)
        assert found.exit_code == 0, found.output
    assert "No law yet: no run is known well enough" in (store / "report.html").read_text()
    assert "no runs whose network is known" in str(run("forecast", store, "--models", "B/2").exception)


@pytest.mark.parametrize("log", [LOG.replace("fid50k", "fid"), LOG.replace(",", ";"), "name,_step,train/loss,fid50k\n"])
def test_a_refused_import_leaves_nothing(tmp_path, log):
    assert not imported(tmp_path, log, expect=2).exists()


def test_beside_the_paper_what_nobody_said_is_unknown(tmp_path):
    found = run("compare", imported(tmp_path), "--metric", "fid")
    assert found.exit_code == 0, found.output
    assert "batch unknown, paper 256" in found.output
    assert "nan" not in found.output


def test_own_features_distance_has_a_law_and_is_not_nothing(tmp_path):
    store = imported(tmp_path, mapping=MAPPING.replace("metric: fid", "metric: fd"))
    law = run("analyze", store)
    assert law.exit_code == 0, law.output
    assert "Scaling law: Fréchet distance (fd) against GMACs" in law.output
    assert "Nothing was measured" not in law.output
