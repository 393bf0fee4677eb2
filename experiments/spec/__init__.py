"""What is asked for: a YAML file becomes an `ExperimentSpec` that holds one frozen, complete `RunSpec` a run,
or a `TrainerRun` where somebody's own trainer runs.

Nothing below reads YAML, environment or flags; what of it is left to do, and costs, is the orchestrator's `planning`.
"""

from dit_grid.experiments.spec.any_run import AnyRun, costs
from dit_grid.experiments.spec.cluster import BudgetSpec, ClusterSpec
from dit_grid.experiments.spec.execution import ExecutionSpec, ResourceSpec
from dit_grid.experiments.spec.expand import ExperimentSpec, PriceSpec, UntilSpec, load_spec
from dit_grid.experiments.spec.objective import DiffusionSpec
from dit_grid.experiments.spec.run import EvalSetting, RunSpec
from dit_grid.experiments.spec.source import Problem, SpecError
from dit_grid.experiments.spec.trainer import TrainerRun

__all__ = [
    "AnyRun",
    "BudgetSpec",
    "ClusterSpec",
    "DiffusionSpec",
    "EvalSetting",
    "ExecutionSpec",
    "ExperimentSpec",
    "PriceSpec",
    "Problem",
    "ResourceSpec",
    "RunSpec",
    "SpecError",
    "TrainerRun",
    "UntilSpec",
    "costs",
    "load_spec",
]
