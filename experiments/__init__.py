"""What a run is: its spec, its data, its training and evaluation, and the store that its numbers go to.

One process is enough for all of it; many runs on a cluster are `dit_grid.orchestrator`, what numbers mean is
`dit_grid.analysis`. A trainer of one's own begins with `from dit_grid.experiments import current_run`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dit_grid.experiments.trainers.client import current_run as current_run


def __getattr__(name: str) -> Any:
    from dit_grid.model.lazy import on_first_use  # not before somebody asks: the store is to load no other folder

    return on_first_use(__name__)[0](name)


def __dir__() -> list[str]:
    from dit_grid.model.lazy import on_first_use

    return on_first_use(__name__)[1]()
