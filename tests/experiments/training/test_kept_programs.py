"""A run's program is traced once in a process, however many attempts and measurements of it there are."""

from typing import Any

from dit_grid.experiments.running.training_run import train
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import Store
from dit_grid.experiments.training import kept_programs
from dit_grid.experiments.training.context import Context
from dit_grid.experiments.training.update import Program
from dit_grid.model import Diffusion


def run_spec(seed=0, samples=20):
    return RunSpec.model_validate({
        "model": {"size": "T", "patch": 8, "image_size": 8, "channels": 1, "classes": 10, "width": 8, "depth": 1,
                  "heads": 1},
        "data": {"name": "digits"}, "seed": seed, "train": {"steps": 4, "batch": 4, "log_every": 2},
        "evaluate": {"every": 2, "settings": [{"metrics": ["heldout_loss"], "samples": samples}]},
        "execution": {"checkpoint_every": 2},
    })  # fmt: skip


def numbers(store):
    train_rows = store.train().select(["step", "loss", "grad_norm"]).to_pylist()
    return train_rows, store.evals().select(["step", "metric", "value"]).to_pylist()


def test_a_second_attempt_in_the_same_process_traces_nothing_and_has_the_same_numbers(tmp_path, monkeypatch):
    traced: list[None] = []
    honest = Diffusion.training_losses

    def counted(self, *arguments):
        traced.append(None)
        return honest(self, *arguments)

    monkeypatch.setattr(Diffusion, "training_losses", counted)
    monkeypatch.setattr(kept_programs, "_kept", {})
    found = []
    for name in ("first", "second"):
        store = Store.create(str(tmp_path / name))
        train(run_spec(), Context(store))
        found.append((numbers(store), len(traced)))
    assert found[0][1] > 0
    assert found[1] == found[0]


def test_runs_of_all_seeds_are_one_compiled_program():
    """So that a grid with several seeds compiles each network once, where compiled programs are kept."""
    texts = [Program(run_spec(seed=seed)).lower_step()[0].as_text() for seed in (0, 1)]
    assert texts[0] == texts[1]


def test_a_program_is_kept_for_its_run_alone_whatever_is_measured_and_only_the_latest_are(monkeypatch):
    monkeypatch.setattr(kept_programs, "_kept", {})
    first = kept_programs.program_of(run_spec())
    assert kept_programs.program_of(run_spec(samples=10)) is first
    others = [kept_programs.program_of(run_spec(seed=seed)) for seed in (1, 2)]
    assert [program.run.seed for program in others] == [1, 2]
    assert kept_programs.program_of(run_spec(seed=2)) is others[1]
    assert kept_programs.program_of(run_spec()) is not first
    assert len(kept_programs._kept) == kept_programs.KEPT
    assert all(isinstance(program, Program) for program in kept_programs._kept.values())


def test_a_process_of_many_runs_holds_no_code_of_those_long_over(monkeypatch):
    monkeypatch.setattr(kept_programs, "_kept", {})
    monkeypatch.setattr(kept_programs, "LET_GO", 1)
    program = kept_programs.program_of(run_spec())
    program.init()
    compiled: Any = program._start
    assert compiled._cache_size() == 1
    for seed in range(1, kept_programs.KEPT + 1):
        kept_programs.program_of(run_spec(seed=seed))
    assert compiled._cache_size() == 0
