"""The scheduler's core: what it knows, and what it decides, with no clock, no Ray and no file.

`advance` is the whole of it, on the records of `state`. `slices`: who holds what, and which slices are broken or left
alone; `endings`: why a gang ended, and what is done about it; `placement`: which run starts next, and where.
"""

from dit_grid.orchestrator.core.advance import advance
from dit_grid.orchestrator.core.budget import Rate, Spending
from dit_grid.orchestrator.core.endings import LOST, POLICIES, PREEMPTED
from dit_grid.orchestrator.core.placement import why
from dit_grid.orchestrator.core.state import FINAL, Attempt, GangPhase, Phase, Run, State, initial
from dit_grid.orchestrator.core.tariff import Tariff

__all__ = [
    "FINAL",
    "LOST",
    "POLICIES",
    "PREEMPTED",
    "Attempt",
    "GangPhase",
    "Phase",
    "Rate",
    "Run",
    "Spending",
    "State",
    "Tariff",
    "advance",
    "initial",
    "why",
]
