"""What is asked for: a YAML file becomes an `ExperimentSpec` that holds one frozen, complete `RunSpec` a run,
or a `TrainerRun` where somebody's own trainer runs.

Nothing below reads YAML, environment or flags; what of it is left to do, and costs, is the orchestrator's `planning`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.experiments.spec.any_run import AnyRun as AnyRun, costs as costs
    from dit_grid.experiments.spec.cluster import BudgetSpec as BudgetSpec, ClusterSpec as ClusterSpec
    from dit_grid.experiments.spec.execution import ExecutionSpec as ExecutionSpec, ResourceSpec as ResourceSpec
    from dit_grid.experiments.spec.expand import load_spec as load_spec
    from dit_grid.experiments.spec.experiment import ExperimentSpec as ExperimentSpec, UntilSpec as UntilSpec
    from dit_grid.experiments.spec.measurement import EvalSetting as EvalSetting
    from dit_grid.experiments.spec.objective import DiffusionSpec as DiffusionSpec
    from dit_grid.experiments.spec.price import PriceSpec as PriceSpec
    from dit_grid.experiments.spec.run import RunSpec as RunSpec
    from dit_grid.experiments.spec.source import Problem as Problem, SpecError as SpecError
    from dit_grid.experiments.spec.trainer import TrainerRun as TrainerRun

__getattr__, __dir__ = on_first_use(__name__)
