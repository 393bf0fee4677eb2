"""Nobody spends money by accident: a launch on priced slices without a budget says what it costs and asks."""

import sys
from pathlib import Path

import click
import pytest

from dit_grid.experiments.spec import BudgetSpec, load_spec
from dit_grid.orchestrator.commands.cost_question import ask_whether_to_pay
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.driving import who_drives

ROOT = Path(__file__).parents[3]
GRID = ROOT / "experiments" / "grid.yaml"


class Terminal:
    """Standard input as a person at a terminal would have it."""

    def isatty(self):
        return True


def with_budget(spec, **budget):
    return spec.model_copy(update={"cluster": spec.cluster.model_copy(update={"budget": BudgetSpec(**budget)})})


def test_where_nobody_can_be_asked_it_is_one_line_with_the_cost_and_the_ways_on():
    spec = load_spec(GRID)
    with pytest.raises(RequestError, match=r"13,\d{3} USD billed: v3-256=1.*add --yes, or a cap") as caught:
        ask_whether_to_pay(spec, list(spec.runs), yes=False)
    assert "\n" not in str(caught.value)


def test_yes_says_what_it_costs_and_goes_on(capsys):
    spec = load_spec(GRID)
    ask_whether_to_pay(spec, list(spec.runs[:3]), yes=True)
    assert "USD billed" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "goes_on"), [(True, True), (False, False)])
def test_a_person_is_asked_and_no_starts_nothing(monkeypatch, capsys, answer, goes_on):
    spec = load_spec(GRID)
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(click, "confirm", lambda question: answer)
    if goes_on:
        ask_whether_to_pay(spec, list(spec.runs[:1]), yes=False)
    else:
        with pytest.raises(SystemExit) as ended:
            ask_whether_to_pay(spec, list(spec.runs[:1]), yes=False)
        assert ended.value.code == 130
        assert "nothing was started" in capsys.readouterr().err


@pytest.mark.parametrize(
    "spec", [with_budget(load_spec(GRID), usd=100.0), with_budget(load_spec(GRID), slice_hours=9.0)]
)
def test_a_budget_is_answer_enough_and_what_it_caps_is_said(spec, capsys):
    ask_whether_to_pay(spec, list(spec.runs), yes=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert "13,714 USD billed" in shown  # six slices at 576 USD an hour for 23.81 hours
    assert "caps what is billed while launches go on" in shown
    assert "less than the whole is billed" in shown


def test_what_has_no_price_or_runs_on_cores_asks_nothing():
    unpriced = load_spec(GRID).model_copy(update={"plan": load_spec(GRID).plan.model_copy(update={"price_rows": ()})})
    for spec in (unpriced, load_spec(ROOT / "experiments" / "digits.yaml")):
        ask_whether_to_pay(spec, list(spec.runs), yes=False)


def test_it_is_asked_before_the_cluster_is_touched_and_not_where_another_driver_is_at_work(tmp_path, monkeypatch):
    spec = load_spec(GRID).model_copy(update={"store": str(tmp_path / "store")})

    def refuse():
        raise RequestError("asked")

    with pytest.raises(RequestError, match="asked"):
        who_drives.launch_on_cluster(spec, "nowhere:1", refuse)
    assert not (tmp_path / "store").exists()
    monkeypatch.setattr(who_drives, "_watcher", lambda spec: object())
    ended = who_drives.Ended(1, {"runs": [run.id for run in spec.runs]})
    monkeypatch.setattr(who_drives, "_watched", lambda spec, watcher: ended)
    assert who_drives.launch_on_cluster(spec, "nowhere:1", refuse).other is ended
