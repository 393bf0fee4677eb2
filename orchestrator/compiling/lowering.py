"""Each kind of program as a run would have it, traced for devices that are not here: for the compiler's process.

What is asked for comes as the JSON of `questions`; the programs themselves are those of `experiments`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from dit_grid.experiments.evaluation.evaluation import lower_sampling
from dit_grid.experiments.metrics.names import INCEPTION
from dit_grid.experiments.networks.autoencoder import VAEConfig, lower_decode
from dit_grid.experiments.networks.autoencoder_config import config_said
from dit_grid.experiments.networks.features import PREPARATIONS, TF1
from dit_grid.experiments.networks.inception import lower_features
from dit_grid.experiments.networks.local_devices import batch_size, compiled_for, decoded_at_once
from dit_grid.experiments.spec.measurement import EvalSetting
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.training.update import Program, bytes_a_device
from dit_grid.orchestrator.compiling.questions import DECODE, FEATURES, SAMPLE


class Traced(NamedTuple):
    """A program that is ready to compile, with the host of each partition, and bytes on one device: of all that it
    takes; of what stays between its calls, a training state or a network's weights; and of what comes with each."""

    lowered: jax.stages.Lowered
    hosts: list[int]
    argument_bytes: int
    stays_bytes: int
    comes_bytes: int


def traced(asked: dict[str, Any], devices: Sequence[jax.Device]) -> Traced:
    """Return the program that is asked for. Raises LayoutError for a batch or mesh that does not divide."""
    kind = asked["program"]
    if kind in (DECODE, FEATURES):
        return _of_an_image_network(kind, asked["what"], devices)
    program = Program(RunSpec.model_validate(asked["what"]["run"]), devices)
    state = bytes_a_device(program.state_shapes())
    if kind == SAMPLE:
        lowered, others = lower_sampling(program, EvalSetting.model_validate(asked["what"]["setting"]))
        network = bytes_a_device(program.state_shapes().ema)
        comes = bytes_a_device(others)
        return Traced(lowered, _hosts(program.mesh.devices.flat), network + comes, state, comes)
    lowered, taken = program.lower_step()
    return Traced(lowered, _hosts(program.mesh.devices.flat), taken, state, taken - state)


def _of_an_image_network(kind: str, what: dict[str, Any], devices: Sequence[jax.Device]) -> Traced:
    with compiled_for(devices):
        if kind == DECODE:
            said = what["config"]
            config = config_said(said, Path("config.json")) if said else VAEConfig()
            lowered, (network, images) = lower_decode(config, what["side"], decoded_at_once())
        else:
            resize = what["network"].removeprefix(INCEPTION).removeprefix("-")
            known = resize if resize in PREPARATIONS else TF1
            lowered, (network, images) = lower_features(known, what["side"], batch_size())
    stays, comes = bytes_a_device(network), bytes_a_device(images)
    return Traced(lowered, _hosts(devices), stays + comes, stays, comes)


def _hosts(devices: Any) -> list[int]:
    return [device.process_index for device in devices]
