"""Which programs a run has, of each what the compiler is told and what its answer depends on; needs no JAX.

A run's evaluation is its sampler, and where it measures images its decoder and its feature network. Guidance scales and
numbers of steps change no program: the sampler is compiled at COMPILED_STEPS, and its loop counted as often as it runs.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dit_grid.experiments.data.remote import is_remote
from dit_grid.experiments.metrics.names import IMAGES, INCEPTION
from dit_grid.experiments.spec.execution import SAMPLE_BATCH
from dit_grid.experiments.spec.measurement import EvalSetting
from dit_grid.experiments.spec.run import OptimizerSpec, RunSpec
from dit_grid.orchestrator.compiling.generations import Topology, host_of, topology_of

UPDATE, SAMPLE, DECODE, FEATURES = "update", "sample", "decode", "features"

COMPILED_STEPS = 97
"""Of every sampler that is compiled: a prime above any depth, so that its loop is told from those over layers."""

LEVELS = 4
"""Of Stable Diffusion's autoencoder, which halves an image's sides at each but the first."""


@dataclass(frozen=True)
class Question:
    """One program for one topology. `what` is all that the compiler is told, `depends` what the answer depends on
    beside versions and code, `said` names it in messages, and `steps` is how often a sampler's loop runs, less one."""

    program: str
    what: dict[str, Any]
    depends: dict[str, Any]
    topology: Topology
    slice: str
    said: str
    steps: int = COMPILED_STEPS


def update_of(run: RunSpec, slice_name: str) -> Question:
    """Return the question of the run's training step."""
    what = {"run": canonical(run).model_dump(mode="json")}
    said = f"{run.model.name} for {slice_name}"
    return Question(UPDATE, what, _depends(run), topology_of(slice_name), slice_name, said)


def evaluation_of(run: RunSpec) -> list[Question]:
    """Return the questions of what the run's evaluations execute, where that is a slice; each program once."""
    resources = run.execution.evaluate_on or run.execution.resources
    if not resources.slice:
        return []
    execution = run.execution.model_copy(update={"resources": resources})
    there = run.model_copy(update={"execution": execution})
    drawing = (setting for setting in run.evaluate.settings if setting.draws)
    asked = [question for setting in drawing for question in _of_setting(there, resources.slice, setting)]
    return list({json.dumps([q.program, q.depends, q.steps], sort_keys=True): q for q in asked}.values())


def canonical(run: RunSpec) -> RunSpec:
    """Return the run with everything that its programs do not depend on set alike."""
    plain = OptimizerSpec()
    optimizer = run.train.optimizer.model_copy(
        update={"learning_rate": plain.learning_rate, "beta1": plain.beta1, "beta2": plain.beta2}
    )
    train = run.train.model_copy(
        update={"steps": 1000, "log_every": 1000, "class_dropout": 0.1, "optimizer": optimizer}
    )
    fields = ("resources", "remat", "attention", "sharding", "mesh")
    execution = {name: getattr(run.execution, name) for name in fields}
    return RunSpec.model_validate({
        "model": run.model.model_dump(), "data": {"name": "compiled"}, "diffusion": run.diffusion.model_dump(),
        "train": train.model_dump(), "evaluate": {"every": 1000},
        "execution": {name: value.model_dump() if hasattr(value, "model_dump") else value
                      for name, value in execution.items()} | {"checkpoint_every": 1000},
    })  # fmt: skip


def _depends(run: RunSpec) -> dict[str, Any]:
    fields = canonical(run).model_dump(mode="json")
    fields["model"].pop("size")
    execution = fields["execution"]
    return {
        "model": fields["model"], "diffusion": fields["diffusion"], "train": fields["train"],
        "layout": [run.execution.layout, execution.get("mesh"), execution["remat"], execution["attention"]],
    }  # fmt: skip


def _of_setting(run: RunSpec, slice_name: str, setting: EvalSetting) -> Iterator[Question]:
    yield _sampler(run, slice_name, setting)
    host, side = host_of(slice_name), run.model.image_size
    if setting.decoder:
        config = _config_beside(run.evaluate.files.get(setting.decoder, ""))
        what: dict[str, Any] = {"config": config, "side": side}
        said = f"the decoder of {side} x {side} latents for a host of {slice_name}"
        yield Question(DECODE, what, what, host, slice_name, said)
        side *= 2 ** (len((config or {}).get("block_out_channels", range(LEVELS))) - 1)
    network = setting.features or INCEPTION
    if set(setting.metrics) & IMAGES.keys() and network.partition("-")[0] == INCEPTION:
        asked: dict[str, Any] = {"network": network, "side": side}
        yield Question(
            FEATURES, asked, asked, host, slice_name, f"{network} at {side} pixels for a host of {slice_name}"
        )


def _sampler(run: RunSpec, slice_name: str, setting: EvalSetting) -> Question:
    topology = topology_of(slice_name)
    batch = min(run.execution.sample_batch or SAMPLE_BATCH, -(-setting.samples // topology.devices))
    steps = COMPILED_STEPS if run.diffusion.path or run.diffusion.timesteps >= COMPILED_STEPS else setting.steps
    alike: dict[str, Any] = {
        "metrics": ("fid",), "samples": batch * topology.devices, "steps": steps, "seed": 0, "labels": "data",
        "when": "every", "weights": "ema", "decoder": None, "features": None, "reference": None,
        "guidance": 1.0 if setting.guidance == 1.0 else 2.0,
    }  # fmt: skip
    drawn = setting.model_copy(update=alike).model_dump(mode="json")
    plain = canonical(run)
    there = plain.model_copy(update={"execution": plain.execution.model_copy(update={"sample_batch": batch})})
    what = {"run": there.model_dump(mode="json"), "setting": drawn}
    guided = "" if setting.guidance == 1.0 else ", guided"
    return Question(
        SAMPLE, what, _depends(run) | {"setting": drawn}, topology, slice_name,
        f"{setting.sampler} of {run.model.name}{guided}, {batch} images a core of {slice_name}",
        COMPILED_STEPS + setting.steps - steps,
    )  # fmt: skip


def _config_beside(place: str) -> dict[str, Any] | None:
    """Return diffusers' `config.json` beside the decoder's weights on this disk; None, the published sizes, without."""
    if place and not is_remote(place):
        path = Path(place)
        with suppress(OSError, ValueError):
            return dict(json.loads(((path if path.is_dir() else path.parent) / "config.json").read_text()))
    return None
