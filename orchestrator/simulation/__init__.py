"""The real scheduler against a virtual cluster with a virtual clock: what a campaign will take, before it is paid for.

`campaign` drives the core, `cluster` plays Ray and the hosts, `faults` says what goes wrong and how often.
"""

from dit_grid.orchestrator.simulation.campaign import Outcome, simulate
from dit_grid.orchestrator.simulation.cluster import Pace
from dit_grid.orchestrator.simulation.faults import Faults

__all__ = ["Faults", "Outcome", "Pace", "simulate"]
