"""`dit-grid report` and `dit-grid fit` as a person types them."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from dit_grid.analysis.fits import CannotFitError, SumOfPowers
from dit_grid.orchestrator.commands.cli import cli
from dit_grid.orchestrator.control.errors import RequestError

TRUTH = {"scale[params]": 482.01, "scale[tokens]": 2085.43, "floor": 1.8172, "exponent[params]": 0.3478}


def dit_grid(*arguments):
    """What a command prints; a mistake of the user's is raised, and the command line makes it one line."""
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def runs(tmp_path):
    """A CSV with columns params, flops, loss of a planted Chinchilla law, and a row that cannot be used."""
    rng = np.random.default_rng(0)
    params, flops = np.exp(rng.uniform(17, 23, 60)), np.exp(rng.uniform(44, 49, 60))
    frame = pd.DataFrame({"params": params, "tokens": flops / (6 * params)})
    law = SumOfPowers(("params", "tokens"), "loss")
    frame["loss"] = np.exp(law.mean(np.array([*TRUTH.values(), 0.3658]), frame))
    frame.loc[3, "loss"] = np.nan
    path = tmp_path / "runs.csv"
    frame.assign(flops=flops)[["params", "flops", "loss"]].to_csv(path, index=False)
    return path


def test_a_table_of_params_flops_and_loss_gives_back_the_planted_law(runs):
    done = dit_grid("fit", runs, "--delta", "1e-3", "--bootstrap", "200", "--json")
    found = json.loads(done.output)
    values = {name: found["coefficients"][name]["value"] for name in TRUTH}
    assert values == pytest.approx(TRUTH, rel=1e-5)
    assert found["dropped"] == [{"row": 5, "reason": "loss is nan"}]  # its line in the file
    assert found["bootstrap"]["refits"] == 200
    assert (done.exit_code, found["n"], found["status"]) == (0, 59, "converged")


def test_the_printed_report_says_how_it_was_fitted(runs):
    text = dit_grid("fit", runs, "--delta", "1e-3").output
    for words in ("Huber, threshold 0.001", "dropped row 5: loss is nan", "59 points", "variable projection"):
        assert words in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--y", "fid"], "no column 'fid'; it has params, flops, loss"),
        (["--form", "power"], "form power takes 1 column; got params, tokens"),
        (["--form", "interaction", "--delta", "1"], "--delta is for powers"),
    ],
)
def test_a_table_that_does_not_fit_the_request_is_one_line(runs, options, words):
    with pytest.raises(CannotFitError, match=words) as error:
        dit_grid("fit", runs, *options)
    assert "\n" not in str(error.value)


def test_report_writes_a_page_into_the_store(tmp_path, planted):
    where = planted.store(tmp_path / "store", sizes={"S": (32, 2), "B": (48, 3)}, patches=(8, 4))
    done = dit_grid("report", where)
    assert done.exit_code == 0
    page = (tmp_path / "store" / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "report.html" in done.output


def test_a_bucket_needs_a_place_for_the_page():
    with pytest.raises(RequestError, match="say where to write the page"):
        dit_grid("report", "gs://nowhere/grid")
