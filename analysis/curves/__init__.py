"""Runs along their training: where each will end while it still trains, and which one has left its peers' curve.

Models that were not run at all are `forecasting`; what is drawn along training is `figures`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.analysis.curves.collapse import Departure as Departure
    from dit_grid.analysis.curves.ends import final_values as final_values
    from dit_grid.analysis.curves.peers import Looked as Looked, departures as departures
    from dit_grid.analysis.curves.results_alarm import departed as departed
    from dit_grid.analysis.curves.store_ends import ends_of as ends_of, known_within as known_within

__getattr__, __dir__ = on_first_use(__name__)
