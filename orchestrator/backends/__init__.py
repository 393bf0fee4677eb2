"""Where runs execute: the contract that the driver's loop relies on, the worker process, and Ray as its keeper.

Which run starts where is decided in `core`; here it is done.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.orchestrator.backends.contract import Backend as Backend
    from dit_grid.orchestrator.backends.worker import Worker as Worker

__getattr__, __dir__ = on_first_use(__name__)
