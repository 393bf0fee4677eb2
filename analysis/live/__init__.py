"""The report as a page that is served and changes while runs go on: what is new in a store, and a small server for it.

What the page shows and how it looks is `dit_grid.analysis.report`; nothing of a store is ever written.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.analysis.live.feed import Feed as Feed
    from dit_grid.analysis.live.listening import (
        CannotServeError as CannotServeError,
        address_of as address_of,
        bound as bound,
    )
    from dit_grid.analysis.live.serving import serve as serve, serve_beside as serve_beside

__getattr__, __dir__ = on_first_use(__name__)
