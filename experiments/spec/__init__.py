"""What is asked for: a YAML file becomes an `ExperimentSpec` that holds one frozen, complete `RunSpec` a run."""

from dit_grid.experiments.spec.expand import ExperimentSpec, PriceSpec, load_spec
from dit_grid.experiments.spec.run import EvalSetting, ExecutionSpec, ResourceSpec, RunSpec
from dit_grid.experiments.spec.source import Problem, SpecError

__all__ = [
    "EvalSetting",
    "ExecutionSpec",
    "ExperimentSpec",
    "PriceSpec",
    "Problem",
    "ResourceSpec",
    "RunSpec",
    "SpecError",
    "load_spec",
]
