"""Runs of either kind, ours and those of one's own trainer: the questions to which the two have different answers.

Whoever schedules, prices, stores or shows runs asks here, and asks nobody else which kind a run is.
"""

import json
from typing import Any, NamedTuple

from dit_grid.experiments.spec.measurement import EvalSetting
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.model import accounting

AnyRun = RunSpec | TrainerRun


class Costs(NamedTuple):
    """What a run costs; None where it is not known. `forward_macs` is one forward pass of one image or example,
    `train_macs` the training of the whole run, both in multiply-accumulates."""

    params: int | None
    forward_macs: int | None
    tokens: int | None
    train_macs: int | None


def costs(run: AnyRun) -> Costs:
    """Return what the run costs: of our network by `model.accounting`, of another by what its spec says."""
    if isinstance(run, TrainerRun):
        cost, batch = run.cost, run.train.batch
        forward = None if cost.forward_gmacs is None else round(cost.forward_gmacs * 1e9)
        train = None if cost.train_gmacs is None else round(cost.train_gmacs * 1e9)
        if train is None and forward is not None and batch is not None:
            train = accounting.TRAINING_FORWARDS * forward * batch * run.train.steps
        return Costs(cost.params, forward, cost.tokens, train)
    network = run.network
    return Costs(
        accounting.trainable_params(network),
        accounting.forward_macs(network),
        network.tokens,
        accounting.training_macs(network, run.train.batch, run.train.steps),
    )


def objective(run: AnyRun) -> str:
    """Return the words of what our network is trained on; nothing of another, whose trainer alone knows."""
    return "" if isinstance(run, TrainerRun) else run.diffusion.words


def step_macs(run: AnyRun) -> int:
    """Return the multiply-accumulates of one update, at least 1; 1 where nobody knows, so that steps are compared."""
    if isinstance(run, TrainerRun):
        return max(round((costs(run).train_macs or 0) / run.train.steps), 1)
    return accounting.training_macs(run.network, run.train.batch, steps=1)


def columns(run: AnyRun) -> dict[str, object]:
    """Return the run as a row of `records.RUNS`; of one's own trainer what it does not say is null, and patch is 0."""
    known = costs(run)
    shared: dict[str, object] = {
        "run_id": run.id, "model": run.model.name, "size": run.model.size, "batch": run.train.batch,
        "steps": run.train.steps, "seed": run.seed, "params": known.params, "tokens": known.tokens,
        "forward_macs": known.forward_macs, "spec": json.dumps(stored(run), sort_keys=True),
    }  # fmt: skip
    if isinstance(run, TrainerRun):
        return shared | {"patch": 0, "block": "", "dataset": ""}
    named = {"patch", "block", "image_size", "channels", "classes", "width", "depth", "heads"}
    return shared | run.model.model_dump(include=named) | {"dataset": run.data.name}


def stored(run: AnyRun) -> dict[str, Any]:
    """Return what the store keeps of the run's spec: what makes its id, and of one's own how its numbers read."""
    if isinstance(run, TrainerRun):
        reads = run.model_dump(mode="json", include={"cost", "metrics", "label"}, exclude_defaults=True)
        return run.identity() | reads
    return run.identity()


def tree(run: AnyRun) -> dict[str, Any]:
    """Return the run as a spec would write it down."""
    written = run.model_dump(mode="json", exclude_none=True)
    return written | {"config": run.config} if isinstance(run, TrainerRun) else written  # where null is a value


def run_from(fields: dict[str, Any]) -> AnyRun:
    """Return the run of what `stored`, or a dump of the run, held. Raises ValueError for what is none."""
    return TrainerRun.model_validate(fields) if "trainer" in fields else RunSpec.model_validate(fields)


def shortened(run: AnyRun, steps: int, window: int) -> AnyRun:
    """Return the run cut to so many steps, logged every `window`, with nothing evaluated and one checkpoint."""
    train = run.train.model_copy(update={"steps": steps, "log_every": window})
    execution = run.execution.model_copy(update={"checkpoint_every": steps, "keep_checkpoints": 1, "evaluate_on": None})
    changed: dict[str, Any] = {"train": train, "execution": execution, "seed": run.seed}
    if isinstance(run, RunSpec):
        changed["evaluate"] = run.evaluate.model_copy(update={"every": steps, "settings": tuple[EvalSetting, ...]()})
    return type(run).model_validate(run.model_copy(update=changed).model_dump())
