"""Measuring a run's checkpoint outside its training: under the spec's own settings, or others, now or years later.

The measuring is `evaluation`, the same that `launch` does, so the same settings give the same rows; what is here finds
the checkpoint, and records rows without touching those that are there.
"""

from collections.abc import Callable, Mapping
from typing import Any

from dit_grid.experiments.data.conditions import dataset_of
from dit_grid.experiments.evaluation.evaluation import Evaluation
from dit_grid.experiments.evaluation.partial_state import Measured, PartialEvaluation
from dit_grid.experiments.sampling.pictures import chosen_checkpoint, process_for, restored, run_spec
from dit_grid.experiments.spec.measurement import EvalSetting, EvaluateSpec
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import Store, StoreError
from dit_grid.experiments.training.checkpoints import Checkpoints
from dit_grid.experiments.training.context import code_sha256, versions
from dit_grid.experiments.training.kept_programs import program_of


def measure(
    store: Store, run_id: str, step: int | None, settings: tuple[EvalSetting, ...], files: Mapping[str, str],
    heard: Callable[[dict[str, Any]], None] = lambda row: None, stop_requested: Callable[[], bool] = lambda: False,
    data: str | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows of `records.EVALS` for the newest live checkpoint, or the one at `step`; `heard` gets each as it comes.

    `files` adds to, or replaces, where the spec says that decoders, features and references lie, and `data` where its
    last training found its data. Raises StoreError
    without such a checkpoint, and whatever a setting that does not fit raises, before anything is drawn; StoppedError
    once a stop was requested and what is measured so far is in the store.
    """
    run = run_spec(store, run_id, data)
    checkpoints = Checkpoints(store, run_id)
    try:
        attempt, step = chosen_checkpoint(checkpoints, step)
        asked = with_settings(run, settings, files)
        program = program_of(asked)
        for setting in asked.evaluate.settings:
            if setting.draws:
                process_for(run.diffusion, setting)
        evaluation = Evaluation(asked, program, dataset_of(run))
        state = restored(checkpoints, attempt, step, program)
    finally:
        checkpoints.close()
    partial, rows = PartialEvaluation(Measured(store, run_id, attempt, step), stop_requested), []
    for row in evaluation.rows(step, state, partial):
        rows.append(row)
        heard(row)
    partial.clear()
    return rows


def with_settings(run: RunSpec, settings: tuple[EvalSetting, ...], files: Mapping[str, str]) -> RunSpec:
    """The run measured under other settings, at any step."""
    always = tuple(setting.model_copy(update={"when": "every"}) for setting in settings)
    evaluate = EvaluateSpec(every=run.evaluate.every, settings=always, files={**run.evaluate.files, **files})
    return run.model_copy(update={"evaluate": evaluate})


def record(store: Store, run_id: str, rows: list[dict[str, Any]]) -> int:
    """Add rows to a finished run, under an attempt of their own, and return its number; nothing else changes.

    A row of the same step, metric and settings that is there already gives way, so nothing counts twice. Raises
    StoreError unless the run is done: a new attempt would take the place of one that still trains.
    """
    check_recordable(store, run_id)
    run = run_spec(store, run_id)
    facts = {"kind": "evaluation", "versions": versions(), "code_sha256": code_sha256()}
    attempt = store.begin_attempt(run_id, run.train.steps, facts)
    with store.writer(attempt) as writer:
        for row in rows:
            writer.eval(row)
    store.end_attempt(attempt, "done", {"step": run.train.steps, "rows": len(rows)})
    return attempt.number


def check_recordable(store: Store, run_id: str) -> None:
    """Raise StoreError unless rows may be added to the run."""
    state = store.states().get(run_id)
    if state is None or state.outcome != "done":
        how = "was never started" if state is None else (state.outcome or "is not finished")
        raise StoreError(
            f"{run_id} in {store.paths.root}: {how}, and rows can be added to finished runs only; measure it without "
            "--record, or let dit-grid launch finish it"
        )
