"""The parts of a run's time, by arithmetic from figures with a source; together they are its hours."""

from pathlib import Path

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.spec.execution import ResourceSpec
from dit_grid.orchestrator.planning.plan import plan
from dit_grid.orchestrator.planning.terms import FEED_LATENTS_PER_S, beside_terms
from dit_grid.orchestrator.screen.plan_table import _plan_totals

GRID = Path(__file__).parents[3] / "experiments" / "grid.yaml"


def terms(model="XL/2", evaluate_on=None, optimizer="adamw", speed=5.7, **price):
    """The run's row of the plan, and its hours by term."""
    spec = load_spec(GRID)
    run = next(run for run in spec.runs if run.model.name == model)
    run = run.model_copy(update={"execution": run.execution.model_copy(update={"evaluate_on": evaluate_on})})
    rule = run.train.optimizer.model_copy(update={"name": optimizer})
    run = run.model_copy(update={"train": run.train.model_copy(update={"optimizer": rule})})
    spec = spec.model_copy(update={"plan": spec.plan.model_copy(update=price), "runs": (run,)})
    (row,) = plan(spec, {run.id: speed})
    return row, {term.name: term for term in row.terms}


def test_the_terms_of_a_run_add_up_to_the_hours_that_it_holds_its_slice():
    row, found = terms(preemptions_per_hour=0.1)
    assert sum(term.hours for term in found.values() if term.billed) == pytest.approx(row.hours)
    assert all(term.source for term in found.values())


def test_the_terms_add_up_to_the_money_where_evaluations_are_on_a_cheaper_slice():
    row, found = terms(evaluate_on=ResourceSpec(slice="v3-8"), preemptions_per_hour=0.1)
    assert row.usd
    assert sum(term.usd for term in found.values()) == pytest.approx(row.usd)
    lost = found["preemptions and overhead"]
    assert lost.usd < lost.hours * row.usd_per_hour


def test_decoding_and_scoring_of_every_sample_by_arithmetic():
    """460,000 samples: 31.6 ms of a core each by the compiler, on 256; 8 x 50,000 of them for precision and recall."""
    _, found = terms()
    assert found["VAE decoding"].hours * 3600 == pytest.approx(460_000 * 0.253 / 8 / 256)
    host_s = 460_000 * 4.38 / 50_000 + 8 * 50_000 * 10.3 / 10_000 + 14 * 1.1
    assert found["statistics and scores"].hours * 3600 == pytest.approx(host_s)


def test_checkpoints_hold_the_state_and_are_waited_for_before_evaluations():
    """XL/2 has 674,834,720 parameters, in four float32 copies: 10.8 GB, 54 s at 200 MB/s, eight times."""
    _, found = terms()
    assert found["writing checkpoints"].hours * 3600 == pytest.approx(8 * 16 * 674_834_720 / 200e6)
    slow = terms(checkpoint_mb_per_s=5.0)[1]["writing checkpoints"].hours * 3600
    write_s, train_s = 16 * 674_834_720 / 5e6, 400_000 / 5.7
    assert slow == pytest.approx(8 * write_s + 40 * (write_s - train_s / 40))


@pytest.mark.parametrize(("optimizer", "arrays"), [("lion", 3), ("sgd", 3)])
def test_checkpoints_hold_what_the_optimizer_keeps(optimizer, arrays):
    _, found = terms(optimizer=optimizer)
    assert found["writing checkpoints"].hours * 3600 == pytest.approx(8 * 4 * arrays * 674_834_720 / 200e6)


def test_a_feed_that_is_too_slow_holds_the_run_up_and_a_measured_one_is_said():
    """256 x 5.7 images a second on 32 hosts are 45.6 a host."""
    said = terms()[1]["waiting for data"]
    assert (said.hours, "46 a second;" in said.source, "measured" in said.source) == (0, True, True)
    row, found = terms(latents_per_s=22.8)
    assert found["waiting for data"].hours == pytest.approx(row.train_hours)
    assert "46 a second, is starved; spec: plan.latents_per_s" in found["waiting for data"].source
    assert "waiting for data" not in [name for name, term in terms(latents_per_s=1e6)[1].items() if term.hours]


def test_a_slice_is_starved_by_the_measured_feed_where_it_trains_faster_than_one_core_of_each_host_reads():
    """S/8 at 1,000 updates a second on the four hosts of a v3-32 wants 64,000 a second and host, 2.8 times 23,000."""
    row, found = terms("S/8", speed=1000.0)
    assert found["waiting for data"].hours == pytest.approx(row.train_hours * (64_000 / FEED_LATENTS_PER_S - 1))
    assert "64,000 a second, is starved" in found["waiting for data"].source


def test_what_a_folder_of_pixels_gives_is_not_known():
    run = load_spec(GRID).networks[0]
    pixels = run.model_copy(update={"model": run.model.model_copy(update={"channels": 3})})
    (data, start, *_) = beside_terms(pixels, load_spec(GRID).plan, 1.0)
    assert "what the feed gives is not known" in data.source
    assert start.name == "start"  # pixels come in no shards


def test_capacity_that_was_taken_is_waited_for_and_not_billed():
    row, found = terms(preemptions_per_hour=0.1, back_s=3600.0)
    assert found["waiting for capacity"].hours == pytest.approx(0.1 * row.hours)
    assert not found["waiting for capacity"].billed


def test_what_the_spec_states_is_said_to_be_the_specs_and_what_it_does_not_an_assumption():
    assert terms()[1]["compilation"].source == "assumption: plan.compile_s 60"
    assert terms(compile_s=300.0)[1]["compilation"].source == "spec: plan.compile_s 300"


def test_parts_of_the_time_that_nobody_knows_are_named_below_the_hours():
    """Of a GPU nobody measured decoding, and of a folder that is not here nobody said how many images it holds."""
    spec = load_spec(GRID)
    run = spec.networks[0]
    on = run.execution.model_copy(update={"resources": ResourceSpec(gpus=8)})
    spec = spec.model_copy(
        update={
            "plan": spec.plan.model_copy(update={"images": None}),
            "runs": (run.model_copy(update={"execution": on}),),
        }
    )
    rows = plan(spec, {run.id: 5.0})
    assert {term.name for term in rows[0].terms if not term.known} == {
        "VAE decoding", "Inception features", "first reading of shards",
    }  # fmt: skip
    (said,) = [
        line for line in _plan_totals(spec, rows) if line.startswith("not in these hours: VAE decoding (not known")
    ]
    assert "first reading of shards (how many images are trained on is not known: plan.images)" in said
    assert not [line for line in _plan_totals(load_spec(GRID), plan(load_spec(GRID))) if "not in these" in line]


def test_a_utilisation_says_nothing_of_gpus_and_the_plan_does_not_ask_for_it_again():
    spec = load_spec(GRID)
    run = spec.networks[0]
    on = run.execution.model_copy(update={"resources": ResourceSpec(gpus=8)})
    spec = spec.model_copy(update={"runs": (run.model_copy(update={"execution": on}),)})
    assert spec.plan.mfu is not None
    said = _plan_totals(spec, plan(spec))[-1]
    assert said.endswith("which GPU it will be, and so its peak for plan.mfu, is not known here")
    bare = spec.model_copy(update={"plan": spec.plan.model_copy(update={"mfu": None})})
    assert _plan_totals(bare, plan(bare))[-1].endswith("or plan.mfu in the spec")
