"""One run from its first step, or its newest checkpoint, to its last: train, measure, keep, and what is owed before.

Many runs at once are `dit_grid.orchestrator`; what a single update does is `training`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.experiments.running.needed_files import (
        check_needed_files as check_needed_files,
        check_runs as check_runs,
    )
    from dit_grid.experiments.running.owed_evaluations import (
        EvaluationJob as EvaluationJob,
        evaluation_steps as evaluation_steps,
        lacking as lacking,
    )
    from dit_grid.experiments.running.training_run import Outcome as Outcome, train as train

__getattr__, __dir__ = on_first_use(__name__)
