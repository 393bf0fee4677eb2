"""What a run is: its spec, its data, its training and evaluation, and the store that its numbers go to.

One process is enough for all of it; many runs on a cluster are `dit_grid.orchestrator`, what numbers mean is
`dit_grid.analysis`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.experiments.running import train as train
    from dit_grid.experiments.spec import ExperimentSpec as ExperimentSpec, RunSpec as RunSpec, load_spec as load_spec
    from dit_grid.experiments.store import Store as Store
    from dit_grid.experiments.training import Context as Context

__getattr__, __dir__ = on_first_use(__name__)
