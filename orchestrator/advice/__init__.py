"""What results so far say about runs to come: which next, when to stop, and what to expect of each.

Beside the commands the only part of the orchestrator that sees fits; the statistics are `dit_grid.analysis`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.orchestrator.advice.expectations import Expectation as Expectation
    from dit_grid.orchestrator.advice.until import adviser as adviser, asked_until as asked_until

__getattr__, __dir__ = on_first_use(__name__)
