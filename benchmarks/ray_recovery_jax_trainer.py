"""The other half of ray_recovery.py: the same run under Ray's JaxTrainer; started by it, not by hand."""

import sys

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.jax import JaxTrainer

from dit_grid.experiments.spec import load_spec


def loop(settings):
    """Train the run as JaxTrainer's workers do: jax.distributed is up, the store has the checkpoints."""
    from dit_grid.experiments.running.training_run import train
    from dit_grid.experiments.spec.run import RunSpec
    from dit_grid.experiments.store import Store
    from dit_grid.experiments.training.context import Context

    train(RunSpec.model_validate_json(settings["run"]), Context(Store.open(settings["store"])))


if __name__ == "__main__":
    spec = load_spec(sys.argv[1])
    ray.init(address=sys.argv[2], log_to_driver=False)
    JaxTrainer(
        loop,
        train_loop_config={"run": spec.runs[0].model_dump_json(), "store": spec.store},
        scaling_config=ScalingConfig(
            use_tpu=True, topology="2x2x2", accelerator_type="TPU-V4", num_workers=2,
            resources_per_worker={"TPU": 4, "CPU": 1},
        ),
        run_config=RunConfig(
            failure_config=FailureConfig(max_failures=0), worker_runtime_env={"env_vars": {"JAX_PLATFORMS": "cpu"}}
        ),
    ).fit()  # fmt: skip
